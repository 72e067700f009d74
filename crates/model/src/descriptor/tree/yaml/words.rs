//! What the YAML parser says, in words for whoever wrote the file.

/// A part of what the parser says, what we say instead, and how to mend it. The first that fits.
const WORDS: [(&str, &str, &str); 13] = [
    ("tab", "a tab stands where YAML wants spaces", "indent with spaces"),
    ("in quoted scalar", "this quoted text does not end", "close the quote"),
    ("scanning a quoted scalar", "this quoted text does not end", "close the quote"),
    (
        "after double-quoted scalar",
        "something follows a quoted text",
        "put all of it between the quotes; write `\\\"` for a quote inside",
    ),
    (
        "parsing a quoted scalar",
        "an escape that YAML does not know",
        "write `\\\\` for a backslash, or put the text in single quotes",
    ),
    ("mapping values are", COLON, HELP),
    ("illegal placement of ':'", COLON, HELP),
    ("unknown anchor", "nothing above has this anchor", "give a value above the anchor `&name`"),
    (
        "unexpected character",
        "a value cannot begin like this",
        "put texts that begin with `@`, `%` or a backtick in quotes",
    ),
    (
        "flow mapping",
        "expected `,` or `}`",
        "close the bracket; quote texts that hold `: ` or `, `",
    ),
    (
        "flow sequence",
        "expected `,` or `]`",
        "close the bracket; quote texts that hold `: ` or `, `",
    ),
    (
        "block sequence entries",
        "a list cannot begin here",
        "put `- ` on a line of its own, indented like its neighbours",
    ),
    (
        "unprintable",
        "a character that YAML does not allow",
        "write it as an escape in double quotes",
    ),
];

const COLON: &str = "no key can begin here";
const HELP: &str =
    "check indentation, quotes and brackets here and above; quote texts that hold `: `";

/// Message and help.
pub(super) fn of(info: &str) -> (&str, &'static str) {
    let found = WORDS.iter().find(|(part, _, _)| info.contains(part));
    found.map_or((info, HELP), |(_, message, help)| (message, help))
}
