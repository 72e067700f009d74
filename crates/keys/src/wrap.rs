//! A keyring that leaves the machine: wrapped by a passphrase.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::keyring::KeyringError;
use crate::{Keyring, Nonce, Secret, Seed};

/// The shortest passphrase that wraps a keyring.
pub const PASSPHRASE_BYTES_MIN: usize = 12;
/// The form of what is wrapped.
const MAGIC: &[u8; 4] = b"MGK1";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = MAGIC.len() + 3 * 4 + SALT_BYTES + NONCE_BYTES;
/// The largest that is unwrapped: 16 keys are far smaller.
const WRAPPED_BYTES_MAX: usize = 64 << 10;

/// Random bytes of one wrapping.
pub type Salt = [u8; SALT_BYTES];

/// What a passphrase costs to try (RFC 9106, section 4, for where memory is scarce).
const COST: Cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 };
/// The most that a wrapping may ask of the machine that opens it.
const COST_MAX: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };

#[derive(Debug, Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Why a keyring is not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The passphrase would be guessed.
    #[error("the passphrase has fewer than {PASSPHRASE_BYTES_MIN} bytes")]
    Short,
    /// It is not a wrapped keyring, or asks for more memory than any of ours.
    #[error("this is not a wrapped keyring")]
    Unknown,
    /// The passphrase is another, or the bytes were changed.
    #[error("the passphrase is wrong, or the wrapped keyring was changed")]
    Wrong,
    /// What was wrapped is no keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl Keyring {
    /// The ring, for nobody without the passphrase.
    ///
    /// # Errors
    /// The passphrase is too short.
    pub fn wrap(
        &self,
        passphrase: &Secret,
        salt: &Salt,
        nonce: &Nonce,
    ) -> Result<Vec<u8>, WrapError> {
        if passphrase.expose().len() < PASSPHRASE_BYTES_MIN {
            return Err(WrapError::Short);
        }
        let words = [COST.memory_kib, COST.passes, COST.lanes].map(u32::to_be_bytes).concat();
        let header = [MAGIC, words.as_slice(), salt, nonce].concat();
        let text = self.to_json();
        let payload = Payload { msg: text.expose(), aad: &header };
        let cipher = cipher(passphrase, salt, COST)?;
        let encrypted = cipher.encrypt(XNonce::from_slice(nonce), payload);
        Ok([header, encrypted.map_err(|_| WrapError::Wrong)?].concat())
    }

    /// The ring that was wrapped.
    ///
    /// # Errors
    /// It was not wrapped by us, or not with this passphrase.
    pub fn unwrap(wrapped: &[u8], passphrase: &Secret) -> Result<Self, WrapError> {
        if wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(WrapError::Unknown);
        }
        let (header, encrypted) =
            wrapped.split_at_checked(HEADER_BYTES).ok_or(WrapError::Unknown)?;
        let rest = header.strip_prefix(MAGIC).ok_or(WrapError::Unknown)?;
        let (words, rest) = rest.split_at(12);
        let (salt, nonce) = rest.split_at(SALT_BYTES);
        let cipher = cipher(passphrase, salt, cost(words)?)?;
        let payload = Payload { msg: encrypted, aad: header };
        let text = cipher.decrypt(XNonce::from_slice(nonce), payload);
        let text = Secret::new(text.map_err(|_| WrapError::Wrong)?);
        Ok(Self::from_json(text.expose())?)
    }
}

fn cost(words: &[u8]) -> Result<Cost, WrapError> {
    let mut words = words.chunks_exact(4).map(|word| word.try_into().map(u32::from_be_bytes));
    let mut next = || words.next().and_then(Result::ok).ok_or(WrapError::Unknown);
    let cost = Cost { memory_kib: next()?, passes: next()?, lanes: next()? };
    let fits = cost.memory_kib <= COST_MAX.memory_kib
        && cost.passes <= COST_MAX.passes
        && cost.lanes <= COST_MAX.lanes;
    fits.then_some(cost).ok_or(WrapError::Unknown)
}

fn cipher(passphrase: &Secret, salt: &[u8], cost: Cost) -> Result<XChaCha20Poly1305, WrapError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None);
    let params = params.map_err(|_| WrapError::Unknown)?;
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Seed::default();
    argon
        .hash_password_into_with_memory(
            passphrase.expose(),
            salt,
            key.as_mut_slice(),
            memory.as_mut_slice(),
        )
        .map_err(|_| WrapError::Unknown)?;
    Ok(XChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
}
