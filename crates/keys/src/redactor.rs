//! Takes secrets out of what people are shown: by value, so that it does not matter which way a
//! secret took to get there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";
/// Shorter texts are not looked for: they are part of too many words.
pub const SECRET_BYTES_MIN: usize = 6;
/// All that is looked for together. With more than this nothing is shown at all.
const SOUGHT_BYTES_MAX: usize = 512 << 10;

/// What is to be taken out. Cheap to clone; shows nothing of itself.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Sought>>);

struct Sought {
    /// The secrets, a line each, as they were given and as they are quoted.
    texts: BTreeSet<String>,
    /// `None`: too much to look for, so that everything is taken out.
    search: Option<AhoCorasick>,
}

impl Redactor {
    /// Takes out these, in upper and lower case, line by line.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let lines = secrets.into_iter().flat_map(str::lines).map(str::trim);
        let sought = lines.filter(|line| line.len() >= SECRET_BYTES_MIN).flat_map(spellings);
        Self::over(sought.collect())
    }

    /// Shows nothing at all: it is not known yet what is secret.
    pub fn everything() -> Self {
        Self(Some(Arc::new(Sought { texts: BTreeSet::new(), search: None })))
    }

    /// Whether nothing is shown at all.
    pub fn is_everything(&self) -> bool {
        self.is_total()
    }

    /// Takes out also what `other` does, as a secret that was replaced may still come up.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            (Some(one), Some(two)) if one.texts.is_superset(&two.texts) => self.clone(),
            (Some(one), Some(two)) => {
                let both = Self::over(one.texts.union(&two.texts).cloned().collect());
                // What is over is less important than to show anything at all.
                if both.is_total() { self.clone() } else { both }
            }
        }
    }

    fn over(texts: BTreeSet<String>) -> Self {
        if texts.is_empty() {
            return Self(None);
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard);
        let search = (bytes <= SOUGHT_BYTES_MAX).then(|| builder.build(&texts).ok()).flatten();
        Self(Some(Arc::new(Sought { texts, search })))
    }

    fn is_total(&self) -> bool {
        self.0.as_ref().is_some_and(|sought| sought.search.is_none())
    }

    /// The text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(sought) = &self.0 else { return Cow::Borrowed(text) };
        let Some(search) = &sought.search else { return Cow::Borrowed(REDACTED) };
        let (mut shown, mut to) = (String::new(), 0);
        for found in merged(search, text) {
            shown += &text[to..found.start];
            shown += REDACTED;
            to = found.end;
        }
        if to == 0 {
            return Cow::Borrowed(text);
        }
        Cow::Owned(shown + &text[to..])
    }

    /// Takes secrets out of a document, its keys included.
    pub fn json(&self, value: &mut Value) {
        if self.0.is_none() {
            return;
        }
        match value {
            Value::String(text) => self.string(text),
            Value::Number(number) => {
                let text = number.to_string();
                if let Cow::Owned(shown) = self.text(&text) {
                    *value = Value::String(shown);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(map) => {
                let shown = std::mem::take(map).into_iter().map(|(mut key, mut value)| {
                    self.string(&mut key);
                    self.json(&mut value);
                    (key, value)
                });
                *map = shown.collect();
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// The same of a text in place.
    pub fn string(&self, text: &mut String) {
        let shown = match self.text(text) {
            Cow::Borrowed(same) if same.len() == text.len() => return,
            shown => shown.into_owned(),
        };
        *text = shown;
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.as_ref().map_or(0, |sought| sought.texts.len());
        write!(f, "Redactor({texts})")
    }
}

impl PartialEq for Redactor {
    fn eq(&self, other: &Self) -> bool {
        let texts = |redactor: &Self| redactor.0.as_ref().map(|sought| sought.texts.clone());
        texts(self) == texts(other)
    }
}

/// As it is, as JSON quotes it, and as a log does.
fn spellings(text: &str) -> [String; 3] {
    let inside = |quoted: String| match quoted.len() {
        0..=2 => quoted,
        length => quoted[1..length - 1].to_owned(),
    };
    let json = serde_json::to_string(text).unwrap_or_default();
    [text.to_owned(), inside(json), inside(format!("{text:?}"))]
}

/// Where anything sought is; what overlaps is one.
fn merged(search: &AhoCorasick, text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<_> = search.find_overlapping_iter(text).map(|one| one.range()).collect();
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_taken_out_of_texts_however_they_are_quoted() {
        let redactor =
            Redactor::of(["s3cr\"t-1", "abcdef", "cdefghij", "two\nmore lines", "short"]);
        for (text, shown) in [
            ("nothing to see", "nothing to see"),
            ("a s3cr\"t-1!", "a [redacted]!"),
            (r#"{"x":"s3cr\"t-1"}"#, r#"{"x":"[redacted]"}"#),
            ("S3CR\"T-1", "[redacted]"),
            ("abcdefghij", "[redacted]"),
            ("abcdefabcdef", "[redacted][redacted]"),
            ("more lines of two", "[redacted] of two"),
            ("too short", "too short"),
        ] {
            assert_eq!(redactor.text(text), shown);
        }
        assert_eq!(format!("{redactor:?}").find("s3cr"), None);
        assert_eq!(Redactor::default().text("anything"), "anything");
    }

    #[test]
    fn secrets_are_taken_out_of_documents() {
        let redactor = Redactor::of(["hunter22", "123456"]);
        let mut value = json!({"a": ["x hunter22", {"hunter22": true}], "pin": 123_456, "n": 5});
        redactor.json(&mut value);
        let shown =
            json!({"a": ["x [redacted]", {"[redacted]": true}], "pin": "[redacted]", "n": 5});
        assert_eq!(value, shown);
    }

    #[test]
    fn older_secrets_are_taken_out_too() {
        let both = Redactor::of(["new-secret"]).and(&Redactor::of(["old-secret"]));
        assert_eq!(both.text("old-secret, new-secret"), "[redacted], [redacted]");
        assert_eq!(both.and(&Redactor::of(["old-secret"])), both);
    }

    #[test]
    fn what_is_too_much_to_look_for_shows_nothing() {
        let many: Vec<String> =
            (0..SOUGHT_BYTES_MAX / 8).map(|n| format!("secret-{n:06}")).collect();
        let total = Redactor::of(many.iter().map(String::as_str));
        assert_eq!(total.text("anything"), REDACTED);
        let mut value = json!({"a": "b"});
        total.json(&mut value);
        assert_eq!(value, json!({REDACTED: REDACTED}));
        let some = Redactor::of(["secret-x"]);
        assert_eq!(some.and(&total), some, "what is over does not hide everything");
    }
}
