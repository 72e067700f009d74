//! Secrets: a type that nothing prints, their sealing at rest, and the key pairs of callers.
//!
//! *Architecture invariant:* nothing here waits, reads a clock or a file, or draws a random number:
//! what must be random is an argument.

mod caller;
mod keyring;
mod redactor;
mod secret;
mod wrap;

pub use caller::{KeyPair, PairError, TOKEN_S_MAX, Token};
pub use keyring::{KEYS_MAX, Keyring, KeyringError, Nonce, Place, SealError, Sealed};
pub use redactor::{REDACTED, Redactor, SECRET_BYTES_MIN};
pub use secret::Secret;
pub use wrap::{PASSPHRASE_BYTES_MIN, Salt, WrapError};

/// 32 random bytes: a key, or the seed of a key pair.
pub type Seed = zeroize::Zeroizing<[u8; 32]>;
