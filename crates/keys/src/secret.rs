//! Bytes that nobody shall see.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that no log, view or dump can show: there is no `Display` and no serialisation, `Debug`
/// says nothing, a comparison takes the same time whatever differs, and what was held is overwritten
/// when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for whom they are meant. Every call is a place to look at twice.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_nothing_and_compares_by_content() {
        let secret = Secret::from("s3cr3t".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
        assert_eq!(secret, Secret::new(b"s3cr3t".to_vec()));
        assert_ne!(secret, Secret::new(b"s3cr3".to_vec()));
        assert_eq!(secret.expose_str(), Some("s3cr3t"));
    }
}
