//! A tenant's `%` and `\` on their way through templates: noncharacters that mean nothing to
//! anybody, until it is known in which field they arrive.
//!
//! The model refuses noncharacters in descriptors, so none can be forged.

use std::borrow::Cow;

/// Stands for a tenant's `%`.
pub(crate) const PERCENT: char = '\u{FDD0}';
/// Stands for a tenant's `\`.
pub(crate) const BACKSLASH: char = '\u{FDD1}';

/// How a field reads its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// As it stands.
    Plain,
    /// `%…%` is an operator, `%%` a percent sign.
    Format,
    /// `\1` is a group of the match, `\\` a backslash.
    Substitution,
}

/// A tenant's text as templates see it.
pub(crate) fn mark(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '\\']) {
        return Cow::Borrowed(text);
    }
    let marked = text.chars().map(|c| match c {
        '%' => PERCENT,
        '\\' => BACKSLASH,
        other => other,
    });
    Cow::Owned(marked.collect())
}

/// Whether any mark is in the text.
pub(crate) fn is_marked(text: &str) -> bool {
    // Both begin with the byte EF, which is rare enough to make this a quick test.
    text.contains([PERCENT, BACKSLASH])
}

/// Whether any mark is in encoded text.
pub(crate) fn is_in(bytes: &[u8]) -> bool {
    // U+FDD0 and U+FDD1 in UTF-8.
    bytes.windows(3).any(|three| matches!(three, [0xEF, 0xB7, 0x90 | 0x91]))
}

/// Writes the marks as the field wants them.
pub(crate) fn settle(text: &str, reads: Reads) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match (c, reads) {
            (PERCENT, Reads::Format) => out.push_str("%%"),
            (PERCENT, _) => out.push('%'),
            (BACKSLASH, Reads::Substitution) => out.push_str("\\\\"),
            (BACKSLASH, _) => out.push('\\'),
            (other, _) => out.push(other),
        }
    }
    out
}

/// The text as a regular expression that matches it and nothing else.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c == BACKSLASH || c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_written_as_its_field_reads_it() {
        let marked = mark(r"100% \1");
        assert_eq!(settle(&marked, Reads::Plain), r"100% \1");
        assert_eq!(settle(&marked, Reads::Format), r"100%% \1");
        assert_eq!(settle(&marked, Reads::Substitution), r"100% \\1");
        assert!(is_marked(&marked) && !is_marked("100%"));
    }

    #[test]
    fn a_quoted_text_matches_only_itself() {
        assert_eq!(settle(&quote(&mark(r"/a.b*\d%/é")), Reads::Plain), r"\/a\.b\*\\d%\/é");
    }
}
