//! Refusals as text for a terminal: each with the line that it is about.

use super::refusal::escape;
use super::tree::lines;
use super::{Place, Refusal};

/// Characters of a line that are shown; the rest is cut off on the side away from the place.
const LINE_CHARS_MAX: usize = 120;

/// All refusals as text, with the lines of `text` that they are about. `file` is how its author
/// calls it. Without colour; ends with a line break.
pub fn show(refusals: &[Refusal], file: &str, text: &str) -> String {
    let text = lines(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let shown: Vec<String> = refusals.iter().map(|refusal| one(refusal, file, text)).collect();
    shown.join("\n")
}

fn one(refusal: &Refusal, file: &str, text: &str) -> String {
    let gutter = [refusal.place, refusal.also.as_ref().and_then(|also| also.place)]
        .into_iter()
        .flatten()
        .map(|place| place.line.to_string().len())
        .max()
        .unwrap_or(1);
    let bar = format!("{:gutter$} |\n", "");
    let mut out = format!("error[{}]: {}\n", refusal.code, refusal.message);
    let label = refusal.label.as_deref().unwrap_or_default();
    out.push_str(&at(refusal.place, &refusal.path, file, text, label, gutter));
    if let Some(also) = &refusal.also {
        if also.place.is_some() {
            out.push_str(&bar);
        }
        out.push_str(&at(also.place, &also.path, file, text, &also.label, gutter));
    }
    let notes = [("why", &refusal.why), ("help", &refusal.help)];
    if refusal.place.is_some() && notes.iter().any(|(_, note)| note.is_some()) {
        out.push_str(&bar);
    }
    for (kind, note) in notes {
        if let Some(note) = note {
            out.push_str(&format!("{:gutter$} = {kind}: {note}\n", ""));
        }
    }
    out
}

/// Where it is, and the line with a caret under it.
fn at(
    place: Option<Place>,
    path: &str,
    file: &str,
    text: &str,
    label: &str,
    gutter: usize,
) -> String {
    let path = if path.is_empty() { String::new() } else { format!(" {path}") };
    let Some(place) = place else {
        let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
        return format!("{:gutter$}--> {file}{path}{label}\n", "");
    };
    let Place { line, col, .. } = place;
    let source = text.lines().nth(line as usize - 1).unwrap_or_default();
    let (before, marked, after) = cut(source, place);
    let caret =
        format!("{}{} {label}", " ".repeat(width(&before)), "^".repeat(width(&marked).max(1)));
    format!(
        "{:gutter$}--> {file}:{line}:{col}{path}\n{:gutter$} |\n{line:>gutter$} | {before}{marked}{after}\n{:gutter$} | {}\n",
        "",
        "",
        "",
        caret.trim_end(),
    )
}

/// The line before, in and after a place; cut where it is long.
fn cut(line: &str, place: Place) -> (String, String, String) {
    let chars: Vec<char> = line.chars().collect();
    let start = (place.col as usize - 1).min(chars.len());
    let end = start.saturating_add(place.len as usize).min(chars.len());
    let first = if end > LINE_CHARS_MAX { start.saturating_sub(LINE_CHARS_MAX / 3) } else { 0 };
    let last = chars.len().min(first + LINE_CHARS_MAX);
    let end = end.min(last);
    let part = |range: std::ops::Range<usize>| {
        chars[range].iter().copied().map(flat).flat_map(escape).collect::<String>()
    };
    let left = if first > 0 { "…" } else { "" };
    let right = if last < chars.len() { "…" } else { "" };
    (left.to_owned() + &part(first..start), part(start..end), part(end..last) + right)
}

/// A tab takes one column here, so that the caret stays under its place.
fn flat(c: char) -> char {
    if c == '\t' { ' ' } else { c }
}

fn width(text: &str) -> usize {
    text.chars().count()
}
