//! Near misses: the key or word that was probably meant.

use super::record::Keys;
use super::{Decode, Reader, key_spot};
use crate::descriptor::refusal::quote;
use crate::descriptor::tree::Entry;
use crate::descriptor::{Code, Refusal, syntax};

/// How alike two words must be (Jaro-Winkler) for one to be suggested for the other.
const ALIKE: f64 = 0.84;
/// Words longer than this are nobody's typing mistake.
const WORD_BYTES_MAX: usize = 64;

/// What is being read: it decides which keys may stand at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A whole descriptor.
    Descriptor,
    /// OSB parameters.
    Parameters,
}

impl Scope {
    /// Whether a key of the descriptor's top level is not one of this document's.
    pub(crate) fn hides(self, key: &str) -> bool {
        self == Self::Parameters && matches!(key, "visibility" | "$schema")
    }
}

/// The option most like `word`, if any is like it.
pub(crate) fn near<'o>(word: &str, options: impl Iterator<Item = &'o str>) -> Option<&'o str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = fold(word);
    options
        .map(|option| (alike(&word, &fold(option)), option))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, option)| option)
}

/// Jaro-Winkler, which is hard on short words: there one wrong letter is enough alike.
fn alike(word: &str, option: &str) -> f64 {
    let alike = strsim::jaro_winkler(word, option);
    let one_off = word.len() >= 3 && strsim::osa_distance(word, option) <= 1;
    if one_off { alike.max(ALIKE) } else { alike }
}

/// `max_body-size` and `maxBodySize` are the same word.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

impl Reader {
    /// Whether a record here has this key.
    pub(super) fn knows(&self, key: &str, keys: &Keys) -> bool {
        keys.known.contains(&key) && !(self.path.is_empty() && self.scope.hides(key))
    }

    /// Refuses a key that its record does not have, and says which one or which place was meant.
    pub(super) fn unknown_key(&mut self, entry: &Entry, keys: &Keys) {
        let spot = key_spot(self, entry);
        let key = quote(&entry.key);
        let here = place_of(&self.path);
        let refusal = Refusal::new(Code::UnknownKey, &spot, format!("unknown key {key} {here}"));
        let known: Vec<&str> =
            keys.known.iter().copied().filter(|known| self.knows(known, keys)).collect();
        let refusal = if self.refusals.is_full() {
            refusal
        } else if self.scope.hides(&entry.key) {
            self.hidden_key(&entry.key, refusal)
        } else {
            match suggest(&entry.key, &known, self.scope) {
                Hint::Key(near) => refusal.label(format!("did you mean `{near}`?")),
                Hint::Elsewhere(homes) => Refusal {
                    message: format!("{key} belongs {}, not {here}", homes.join(" or ")),
                    ..refusal
                }
                .help("move it there"),
                Hint::None => refusal.help(format!("known here: {}", known.join(", "))),
            }
        };
        self.refusals.push(refusal);
    }

    fn hidden_key(&self, key: &str, refusal: Refusal) -> Refusal {
        if key != "visibility" {
            return refusal.help("leave it out: it belongs to the file, not to the parameters");
        }
        let message = "`visibility` is not a parameter: the service plan says it".to_owned();
        Refusal { message, ..refusal }
            .help("leave it out, and choose the plan `internal` or `public`")
    }
}

enum Hint<'k> {
    Key(&'k str),
    Elsewhere(Vec<String>),
    None,
}

/// The same word spelled otherwise, else the same key elsewhere, else a similar key here.
fn suggest<'k>(key: &str, known: &[&'k str], scope: Scope) -> Hint<'k> {
    if let Some(same) = known.iter().find(|known| fold(known) == fold(key)) {
        return Hint::Key(same);
    }
    let homes = homes(key, scope);
    if !homes.is_empty() {
        return Hint::Elsewhere(homes);
    }
    near(key, known.iter().copied()).map_or(Hint::None, Hint::Key)
}

/// The records that do have this key.
fn homes(key: &str, scope: Scope) -> Vec<String> {
    syntax::Descriptor::shape()
        .records()
        .into_iter()
        .filter(|(_, record)| record.keys.iter().any(|known| known.name == key))
        .filter(|(path, _)| !(path.is_empty() && scope.hides(key)))
        .map(|(path, _)| place_of(&path))
        .collect()
}

fn place_of(path: &str) -> String {
    if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") }
}
