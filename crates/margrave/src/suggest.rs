//! "Did you mean …?"

/// How alike two words must be (Jaro-Winkler) for one to be offered in place of the other.
const LIKENESS_MIN: f64 = 0.85;

/// `; did you mean …?` with the known word nearest to `word`, or nothing.
pub fn near<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let scored = known.map(|other| (strsim::jaro_winkler(word, other), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, other)) if likeness >= LIKENESS_MIN => {
            format!("; did you mean `{other}`?")
        }
        _ => String::new(),
    }
}
