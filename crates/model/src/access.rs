//! Secrets that open the door: tokens, platforms' passwords, single-use codes, sessions. How they look,
//! how they are read, and the hash that is kept of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Random bytes of a secret: nobody guesses 256 bits, which is why its hash needs no salt and no
/// slowness.
pub const ACCESS_RANDOM_BYTES: usize = 32;

/// Characters of eight bytes in base 62.
const WORD_CHARS: usize = 11;
/// Characters of the checksum's four bytes in base 62.
const CHECK_CHARS: usize = 6;
/// Such as `mgt_`.
const PREFIX_CHARS: usize = 4;
/// All of a secret.
const CHARS: usize = PREFIX_CHARS + WORD_CHARS * ACCESS_RANDOM_BYTES / 8 + CHECK_CHARS;

/// What a secret is for, as its prefix says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// `mgt_`: a token of people or CI.
    Token,
    /// `mgp_`: the password of an OSB platform.
    Platform,
    /// `mgc_`: a code that opens a session, once.
    Code,
    /// `mgs_`: a session of a browser.
    Session,
    /// `mgj_`: lets one host in as a proxy, once.
    Join,
}

impl AccessKind {
    const ALL: [Self; 5] = [Self::Token, Self::Platform, Self::Code, Self::Session, Self::Join];

    /// How secrets of this kind begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Token => "mgt_",
            Self::Platform => "mgp_",
            Self::Code => "mgc_",
            Self::Session => "mgs_",
            Self::Join => "mgj_",
        }
    }
}

/// A secret, whole. Nothing prints it but [`AccessSecret::expose`].
#[derive(Clone)]
pub struct AccessSecret {
    kind: AccessKind,
    text: String,
}

/// Why a text is not a secret of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// It does not look like one at all.
    #[error("not a secret of this platform")]
    Foreign,
    /// It begins like one, but a character is wrong or missing.
    #[error("the secret is not whole: a character is wrong or missing")]
    Mistyped,
}

impl AccessSecret {
    /// A new secret of these random bytes.
    pub fn new(kind: AccessKind, random: &[u8; ACCESS_RANDOM_BYTES]) -> Self {
        let mut text = kind.prefix().to_owned();
        for word in random.chunks(8) {
            let number = word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            push(&mut text, number, WORD_CHARS);
        }
        let check = checksum(text.as_bytes());
        push(&mut text, check, CHECK_CHARS);
        Self { kind, text }
    }

    /// What it is for.
    pub fn kind(&self) -> AccessKind {
        self.kind
    }

    /// The secret itself, for the one to whom it is given.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub fn hash(&self) -> AccessHash {
        AccessHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

impl FromStr for AccessSecret {
    type Err = AccessError;
    fn from_str(text: &str) -> Result<Self, AccessError> {
        let kind = AccessKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()));
        let kind = kind.ok_or(AccessError::Foreign)?;
        if text.len() != CHARS || !text.is_ascii() {
            return Err(AccessError::Mistyped);
        }
        let (body, check) = text.split_at(CHARS - CHECK_CHARS);
        let mut expected = String::new();
        push(&mut expected, checksum(body.as_bytes()), CHECK_CHARS);
        // The checksum is no secret: whoever has the rest can compute it.
        if check != expected {
            return Err(AccessError::Mistyped);
        }
        Ok(Self { kind, text: text.to_owned() })
    }
}

impl fmt::Debug for AccessSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[redacted]", self.kind.prefix())
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessHash(pub [u8; 32]);

impl fmt::Debug for AccessHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number as so many digits of base 62, the highest first.
fn push(text: &mut String, mut number: u64, digits: usize) {
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        reversed.push(char::from(DIGITS[digit]));
        number /= 62;
    }
    text.extend(reversed.iter().rev());
}

/// CRC-32 (IEEE 802.3), bit by bit: for texts of fifty bytes a table would be longer than the work.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum));
    u64::from(!bytes.iter().fold(u32::MAX, byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(kind: AccessKind, fill: u8) -> AccessSecret {
        AccessSecret::new(kind, &[fill; ACCESS_RANDOM_BYTES])
    }

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn what_is_made_is_read_and_looks_the_same_for_ever() {
        for kind in AccessKind::ALL {
            for fill in [0, 1, 0x7F, 0xFF] {
                let made = secret(kind, fill);
                assert_eq!(made.expose().len(), CHARS);
                let read: AccessSecret = made.expose().parse().unwrap();
                assert_eq!((read.kind(), read.hash()), (kind, made.hash()));
            }
        }
        let kept = "mgt_LygHa16AHYFLygHa16AHYFLygHa16AHYFLygHa16AHYF";
        assert_eq!(secret(AccessKind::Token, 0xFF).expose().get(..48), Some(kept));
    }

    #[test]
    fn different_bytes_are_different_secrets() {
        let one = |at: usize| {
            let mut random = [0; ACCESS_RANDOM_BYTES];
            random[at] = 1;
            AccessSecret::new(AccessKind::Token, &random).hash().0
        };
        let all: std::collections::BTreeSet<_> = (0..ACCESS_RANDOM_BYTES).map(one).collect();
        assert_eq!(all.len(), ACCESS_RANDOM_BYTES);
    }

    #[test]
    fn a_slip_is_told_from_what_is_foreign() {
        let good = secret(AccessKind::Token, 42).expose().to_owned();
        for at in PREFIX_CHARS..CHARS {
            let mut slip = good.clone().into_bytes();
            slip[at] = if slip[at] == b'a' { b'b' } else { b'a' };
            let slip = String::from_utf8(slip).unwrap();
            assert_eq!(slip.parse::<AccessSecret>().unwrap_err(), AccessError::Mistyped, "{slip}");
        }
        for (text, error) in [
            ("", AccessError::Foreign),
            ("hunter2", AccessError::Foreign),
            ("mgx_abc", AccessError::Foreign),
            ("mgt_", AccessError::Mistyped),
            (&good[..CHARS - 1], AccessError::Mistyped),
            (&format!("{good}0"), AccessError::Mistyped),
            (&format!("mgt_{}", "é".repeat(25)), AccessError::Mistyped),
        ] {
            assert_eq!(text.parse::<AccessSecret>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn nothing_prints_it() {
        let made = secret(AccessKind::Session, 9);
        assert_eq!(format!("{made:?}"), "mgs_[redacted]");
        assert_eq!(format!("{:?}", made.hash()), "[hash]");
    }
}
