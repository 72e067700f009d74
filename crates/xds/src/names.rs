//! Names as clients write them.

use tonic::Status;

/// The longest resource name that a client may ask for.
pub(crate) const NAME_BYTES_MAX: usize = 1024;
/// What is kept of a client's words when it refuses a resource.
const MESSAGE_BYTES_MAX: usize = 2048;

/// A resource name.
pub(crate) fn text(name: &[u8]) -> Result<&str, Status> {
    match std::str::from_utf8(name) {
        Ok(text) if text.len() <= NAME_BYTES_MAX => Ok(text),
        _ => Err(Status::invalid_argument("a resource name is UTF-8, 1024 bytes at most")),
    }
}

/// The beginning of a client's words.
pub(crate) fn clip(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"ü".repeat(2000)).len(), MESSAGE_BYTES_MAX);
        assert_eq!(clip(&format!("x{}", "ü".repeat(2000))).len(), MESSAGE_BYTES_MAX - 1);
    }

    #[test]
    fn names_are_utf8_and_not_endless() {
        assert!(text(b"public/shop.test").is_ok());
        assert!(text(b"\xff").is_err());
        assert!(text(&[b'a'; NAME_BYTES_MAX + 1]).is_err());
    }
}
