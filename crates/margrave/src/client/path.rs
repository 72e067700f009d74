//! Words of users in the paths of requests.

use std::fmt::Write;

/// One segment of a path: whatever a path gives a meaning to is escaped.
pub fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-_~*".contains(&byte)
            || (byte == b'.' && text.len() > 2)
        {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_word_steers_a_request() {
        for (word, path) in [
            ("shop", "shop"),
            ("*.shop.example.com", "*.shop.example.com"),
            ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
            ("..", "%2E%2E"),
            ("tëam", "t%C3%ABam"),
        ] {
            assert_eq!(segment(word), path);
        }
    }
}
