//! A refusal: one thing that is wrong with a descriptor, said to whoever wrote it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Code;

/// Refusals of one descriptor; what is wrong beyond these is counted in the last one.
pub const REFUSALS_MAX: usize = 100;

/// One thing that is wrong with a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of mistake; stable across releases.
    pub code: Code,
    /// Where in the document, as `routes[0].match.prefix`; empty for the whole.
    pub path: String,
    /// Where in the text, when there is a text that its author knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// A few words for the caret, such as a near miss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why that is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The other half of the mistake: the first of two duplicates, the other of two routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Also>,
}

/// A piece of one line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub col: u32,
    /// In characters, at least 1; may reach beyond the end of the line.
    pub len: u32,
}

/// A second place that a refusal speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    /// As in [`Refusal`].
    pub path: String,
    /// As in [`Refusal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is there.
    pub label: String,
}

/// Where a value was written, in the document and in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) place: Option<Place>,
}

impl Refusal {
    pub(crate) fn new(code: Code, spot: &Spot, message: impl Into<String>) -> Self {
        Self {
            code,
            path: spot.path.clone(),
            place: spot.place,
            message: message.into(),
            label: None,
            why: None,
            help: None,
            also: None,
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn also(mut self, spot: &Spot, label: impl Into<String>) -> Self {
        self.also = Some(Also { path: spot.path.clone(), place: spot.place, label: label.into() });
        self
    }
}

/// One line: code, place, what is wrong and how to mend it. For API answers and logs.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        if let Some(place) = self.place {
            write!(f, " (line {}, column {})", place.line, place.col)?;
        }
        write!(f, ": {}", self.message)?;
        for more in [&self.label, &self.help].into_iter().flatten() {
            write!(f, "; {more}")?;
        }
        if let Some(also) = &self.also {
            write!(f, "; {}: {}", also.label, if also.path.is_empty() { "/" } else { &also.path })?;
        }
        Ok(())
    }
}

/// Collects refusals up to [`REFUSALS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    list: Vec<Refusal>,
    beyond: usize,
}

impl Refusals {
    pub(crate) fn push(&mut self, refusal: Refusal) {
        if self.list.len() < REFUSALS_MAX {
            self.list.push(refusal);
        } else {
            self.beyond += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether something at or below a spot was refused: then what it lacks may be what was meant.
    pub(crate) fn concern(&self, spot: &Spot) -> bool {
        self.list.iter().any(|refusal| {
            let below = refusal.path.strip_prefix(&spot.path);
            below.is_some_and(|below| {
                spot.path.is_empty() || below.is_empty() || below.starts_with(['.', '['])
            })
        })
    }

    /// Whether further ones will only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= REFUSALS_MAX
    }

    /// In the order of the text.
    pub(crate) fn into_vec(self) -> Vec<Refusal> {
        let mut list = self.list;
        list.sort_by_key(|refusal| refusal.place.map(|place| (place.line, place.col)));
        if self.beyond > 0 {
            let message = format!("and {} more; mend these first", self.beyond);
            list.push(Refusal::new(Code::TooMuch, &Spot::default(), message));
        }
        list
    }
}

/// A tenant's text in a message: in backticks, on one line, clipped.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(escape).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Control and other invisible characters as escapes, the rest as it is.
pub(crate) fn escape(c: char) -> impl Iterator<Item = char> {
    let plain = matches!(c, '"' | '\'' | '\\').then_some(c);
    plain.into_iter().chain(plain.is_none().then(|| c.escape_debug()).into_iter().flatten())
}
