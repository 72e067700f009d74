//! Whatever is written, the parser answers; what it accepts, it can say again.

use model::descriptor::generate::descriptor;
use model::descriptor::{Refusal, show};
use model::{Descriptor, Parameters};
use proptest::prelude::*;

/// 256 cases, or what `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads a text in every way there is, and holds the answers to what they promise.
fn answers(text: &str) {
    match Descriptor::from_yaml(text) {
        Ok(read) => says_itself_again(&read),
        Err(refusals) => in_place(&refusals, text),
    }
    if let Err(refusals) = Parameters::from_json(text) {
        assert!(!refusals.is_empty());
        assert!(refusals.iter().all(|refusal| !refusal.to_string().contains('\n')));
    }
}

fn says_itself_again(read: &Descriptor) {
    let json = read.to_json().to_string();
    assert_eq!(Descriptor::from_yaml(&json).as_ref(), Ok(read), "{json}");
    let parameters = read.parameters.to_json().to_string();
    assert_eq!(Parameters::from_json(&parameters).as_ref(), Ok(&read.parameters), "{parameters}");
    let stored: Parameters = serde_json::from_str(&parameters).expect("a row");
    assert_eq!(stored, read.parameters);
}

/// There is a refusal, each lies within the text, they come in its order, and can be shown.
fn in_place(refusals: &[Refusal], text: &str) {
    assert!(!refusals.is_empty());
    let breaks = text.replace("\r\n", "\n").matches(['\n', '\r']).count();
    let lines = u32::try_from(breaks).expect("few lines") + 1;
    let places: Vec<_> = refusals.iter().filter_map(|refusal| refusal.place).collect();
    for place in &places {
        assert!((1..=lines).contains(&place.line), "{place:?} of {lines} lines");
        assert!(place.col >= 1 && place.len >= 1, "{place:?}");
    }
    assert!(places.is_sorted_by_key(|place| (place.line, place.col)), "{places:?}");
    let shown = show(refusals, "margrave.yaml", text);
    assert!(shown.lines().count() >= refusals.len());
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

/// Pieces that YAML, JSON or the decoder pay attention to.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    const WORDS: &[&str] = &[
        "service",
        "upstream",
        "routes",
        "name",
        "match",
        "prefix",
        "path",
        "to",
        "redirect",
        "respond",
        "upstreams",
        "url",
        "addresses",
        "hostnames",
        "requestHeaders",
        "set",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n- ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "!!x ",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "? ",
        "%",
        "@",
        "`",
        "\\u",
        "\\ud800",
        "\t",
        "\r\n",
        "\u{feff}",
        "\u{0}",
        "\u{fdd0}",
        "\u{10ffff}",
        "é",
        "\u{2028}",
        "null",
        "~",
        "true",
        "1e999",
        "-",
        "5s",
        "/a",
        "http://a",
        "<<",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..60)
}

/// A change to a text: what to do, where (in thousandths of its length), and with which piece.
type Edit = (u8, usize, usize, String);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let piece = pieces().prop_map(|pieces| pieces.into_iter().next().unwrap_or_default());
    prop::collection::vec((0..5_u8, 0..1000_usize, 0..40_usize, piece), 1..5)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (what, at, length, piece) in edits {
        let start = chars.len() * at / 1000;
        let end = (start + length).min(chars.len());
        let span: Vec<char> = chars[start..end].to_vec();
        match what {
            0 => drop(chars.drain(start..end)),
            1 => drop(chars.splice(start..start, piece.chars())),
            2 => drop(chars.splice(start..end, piece.chars())),
            3 => drop(chars.splice(start..start, span)),
            _ => chars[start..end].reverse(),
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answers(&text);
    }

    #[test]
    fn any_heap_of_pieces_is_answered(pieces in pieces()) {
        answers(&pieces.concat());
    }

    #[test]
    fn any_edited_descriptor_is_answered(seed in any::<u64>(), edits in edits()) {
        answers(&edited(&descriptor(seed).0, &edits));
    }
}

/// Texts that made other parsers slow or deep. The limit is not time but that they end.
#[test]
fn texts_that_grow_are_refused() {
    let nested = "[".repeat(200_000);
    let maps = "{a: ".repeat(60_000);
    let dashes = "- ".repeat(100_000);
    let anchors = "&a ".repeat(80_000);
    let questions = "? ".repeat(100_000);
    let keys: String = (0..20_000).map(|index| format!("k{index}: 1\n")).collect();
    let same: String = "a: 1\n".repeat(20_000);
    let laughs: String =
        (1..30).map(|n| format!("l{n}: &l{n} [{}]\n", format!("*l{},", n - 1).repeat(9))).collect();
    let laughs = format!("l0: &l0 [x,x,x,x]\n{laughs}");
    let long = format!("service: {}\nupstream: &u {}\n", "a".repeat(50_000), "b".repeat(100_000));
    let copies = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(10_000), "*a,".repeat(1_000));
    let json_depth = format!("{{\"a\":{}", "[".repeat(200_000));
    let too_long = " ".repeat(300_000);
    for text in [
        nested, maps, dashes, anchors, questions, keys, same, laughs, long, copies, json_depth,
        too_long,
    ] {
        let refusals = Descriptor::from_yaml(&text).unwrap_err();
        assert!(refusals.len() <= model::descriptor::REFUSALS_MAX + 1);
        in_place(&refusals, &text);
    }
}
