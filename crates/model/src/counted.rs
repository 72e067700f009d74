//! Numbers of things, for people.

use std::fmt::Display;

/// So many: `1 proxy`, `2 proxies`. Only for nouns that end like ours do.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    if count == N::from(1) {
        return format!("1 {one}");
    }
    match one.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_one() {
        for (count, one, text) in [
            (0, "instance", "0 instances"),
            (1, "instance", "1 instance"),
            (1, "proxy", "1 proxy"),
            (2, "proxy", "2 proxies"),
            (21, "key", "21 keys"),
        ] {
            assert_eq!(counted(count, one), text);
        }
    }
}
