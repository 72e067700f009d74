//! Texts that are legal, and that somebody could mistake for something else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rng::Rng;
use crate::descriptor::HeaderRules;

/// Values that Envoy, a template, a regular expression or YAML would read as their own. All of them
/// are good header values.
const HOSTILE: [&str; 22] = [
    "%ENVIRONMENT(X)%",
    "%REQ(authorization)%",
    "100%",
    "%%",
    "%",
    "\\1",
    "\\",
    "\"quoted\" and 'quoted'",
    "{{ instance.id }}",
    "{% raw %}",
    "{#",
    "${HOME} $(id)",
    "a: b # c",
    "null",
    "true",
    "503",
    "5s",
    "~",
    "*x",
    "a\tb",
    "<script>",
    "]]}",
];

/// Query values have no blanks.
const QUERY: [&str; 10] =
    ["1", "", "%41", "%ENVIRONMENT(X)%", "100%", "\\1", "a+b", "\"'", "{{x}}", "a=b"];

const BODIES: [&str; 9] = [
    "pong",
    "",
    "two\nlines\n",
    "žluťoučký kůň 🐎 日本語",
    "%ENVIRONMENT(X)% 100% \\1",
    "{\"json\": [1, null]}",
    "  blanks  ",
    "{{ x }} {% if %}",
    "\ttab\n\n",
];

const NAMES: [&str; 7] =
    ["x-tenant", "x-a", "cache-control", "x_under_score", "authorization", "user-agent", "x-b"];

/// A header's value.
pub(super) fn value(rng: &mut Rng) -> String {
    match rng.below(30) {
        0 => "v".repeat(4096),
        1..=9 => rng.pick(&["1", "shop", "max-age=31536000"]).to_owned(),
        _ => rng.pick(&HOSTILE).to_owned(),
    }
}

/// A query parameter's value.
pub(super) fn query_value(rng: &mut Rng) -> String {
    rng.pick(&QUERY).to_owned()
}

/// A body.
pub(super) fn body(rng: &mut Rng) -> String {
    if rng.chance(5) { "é".repeat(2048) } else { rng.pick(&BODIES).to_owned() }
}

/// A path that is its own normal form, below `/` and `stem`.
pub(super) fn path(rng: &mut Rng, stem: &str) -> String {
    let tail = rng.pick(&[
        "",
        "/x",
        "/a.b+c(d)*$",
        "/100%25",
        "/b%C3%BCcher",
        "/$&';=:@,!~",
        "/%7B%7B%20x%20%7D%7D",
        "/.../x",
    ]);
    let long = if rng.chance(4) { format!("/{}", "p".repeat(400)) } else { String::new() };
    format!("/{stem}{tail}{long}")
}

/// A duration between two bounds in milliseconds.
pub(super) fn duration(rng: &mut Rng, min: u64, max: u64) -> Duration {
    let some = rng.pick(&[min, max, 1_000, 5_000, 90_000, 1_500, 61_001, 250]);
    Duration::from_millis(some.clamp(min, max))
}

/// Header rules, none of which contradicts another.
pub(super) fn header_rules(rng: &mut Rng, percent: usize) -> HeaderRules {
    if !rng.chance(percent) {
        return HeaderRules::default();
    }
    let mut names = NAMES.map(str::to_owned).to_vec();
    rng.shuffle(&mut names);
    let mut take = |rng: &mut Rng| -> Vec<String> {
        let count = rng.below(3);
        (0..count).filter_map(|_| names.pop()).collect()
    };
    let (set, add, mut remove) = (take(rng), take(rng), take(rng));
    remove.sort();
    HeaderRules { set: valued(rng, set), add: valued(rng, add), remove }
}

fn valued(rng: &mut Rng, names: Vec<String>) -> BTreeMap<String, String> {
    names.into_iter().map(|name| (name, value(rng))).collect()
}
