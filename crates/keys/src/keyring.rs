//! Sealing at rest: several keys, of which the newest seals and all open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305, XNonce};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Secret, Seed};

/// Keys of a ring. A rotation needs two; more are left only by rotations that were cut off.
pub const KEYS_MAX: usize = 16;
/// The form of what is sealed.
const FORM: u8 = 1;
/// Bytes of a key's id in what is sealed.
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;

/// Random bytes of one sealing, never used again.
pub type Nonce = [u8; NONCE_BYTES];

/// Where something sealed lies: what is sealed in one place opens in no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Such as a table.
    pub kind: &'a str,
    /// Which of them.
    pub id: &'a str,
}

/// Something sealed: bytes that may lie anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The bytes as they were kept.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id of the key that it was sealed with; empty when these are not our bytes.
    pub fn key(&self) -> String {
        HEXLOWER.encode(self.0.get(1..=ID_BYTES).unwrap_or_default())
    }
}

/// Why something sealed does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ring does not have its key.
    #[error("it was sealed with the key `{0}`, which the keyring does not have")]
    Unknown(String),
    /// It was changed, moved from elsewhere, or never sealed by us.
    #[error("it was changed, or belongs elsewhere")]
    Damaged,
}

/// Why a keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It is not the document that a keyring is.
    #[error("the keyring cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It has no key, too many, or one that does not belong to its id.
    #[error("the keyring is damaged: {0}")]
    Damaged(&'static str),
}

/// The keys by which secrets are sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// In the order in which they were made; never empty.
    keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: [u8; ID_BYTES],
    secret: Secret,
    created_at: i64,
}

impl Key {
    fn new(seed: &Seed, created_at: i64) -> Self {
        let digest = Sha256::new().chain_update(b"margrave key\n").chain_update(seed.as_slice());
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest.finalize()[..ID_BYTES]);
        Self { id, secret: Secret::new(seed.to_vec()), created_at }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(CipherKey::from_slice(self.secret.expose()))
    }
}

impl Keyring {
    /// A ring of one key.
    pub fn new(seed: &Seed, now: i64) -> Self {
        Self { keys: vec![Key::new(seed, now)] }
    }

    /// Adds a key, with which everything is sealed from now on.
    ///
    /// # Errors
    /// The ring is full: rotations were begun and none has ended.
    pub fn add(&mut self, seed: &Seed, now: i64) -> Result<(), KeyringError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(KeyringError::Damaged("it has 16 keys; wait until a rotation has ended"));
        }
        self.keys.push(Key::new(seed, now));
        Ok(())
    }

    /// Forgets every key but the newest. What was sealed with another can never be opened again.
    pub fn keep_newest(&mut self) {
        let old = self.keys.len().saturating_sub(1);
        self.keys.drain(..old);
    }

    /// The same, that opens also what `other` opens.
    ///
    /// # Errors
    /// That would be too many keys.
    pub fn with(&self, other: &Self) -> Result<Self, KeyringError> {
        let is_new = |key: &&Key| !self.keys.iter().any(|own| own.id == key.id);
        let others = other.keys.iter().filter(is_new);
        let keys: Vec<_> = others.chain(&self.keys).cloned().collect();
        if keys.len() > KEYS_MAX {
            return Err(KeyringError::Damaged("with the other's it would have more than 16 keys"));
        }
        Ok(Self { keys })
    }

    /// The ids of the keys and when each was made, the newest last.
    pub fn keys(&self) -> Vec<(String, i64)> {
        self.keys.iter().map(|key| (HEXLOWER.encode(&key.id), key.created_at)).collect()
    }

    /// The id of the key that seals.
    pub fn newest(&self) -> String {
        self.keys.last().map(|key| HEXLOWER.encode(&key.id)).unwrap_or_default()
    }

    /// Whether it has this key.
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| HEXLOWER.encode(&key.id) == id)
    }

    /// Seals a secret for one place.
    ///
    /// # Errors
    /// The secret is larger than a cipher takes (256 GiB).
    pub fn seal(
        &self,
        place: Place<'_>,
        nonce: &Nonce,
        secret: &Secret,
    ) -> Result<Sealed, SealError> {
        let key = self.keys.last().ok_or(SealError::Damaged)?;
        let aad = associated(&key.id, place);
        let payload = Payload { msg: secret.expose(), aad: &aad };
        let encrypted = key.cipher().encrypt(XNonce::from_slice(nonce), payload);
        let encrypted = encrypted.map_err(|_| SealError::Damaged)?;
        Ok(Sealed([&[FORM], key.id.as_slice(), nonce, &encrypted].concat()))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// The ring does not have its key, or it is not what was sealed here.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        let (form, rest) = sealed.0.split_first().ok_or(SealError::Damaged)?;
        let (id, rest) = rest.split_at_checked(ID_BYTES).ok_or(SealError::Damaged)?;
        let (nonce, encrypted) = rest.split_at_checked(NONCE_BYTES).ok_or(SealError::Damaged)?;
        if *form != FORM {
            return Err(SealError::Damaged);
        }
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::Unknown(HEXLOWER.encode(id)))?;
        let aad = associated(&key.id, place);
        let payload = Payload { msg: encrypted, aad: &aad };
        let opened = key.cipher().decrypt(XNonce::from_slice(nonce), payload);
        opened.map(Secret::new).map_err(|_| SealError::Damaged)
    }

    /// The document of the ring, to be kept where nobody else can read.
    pub fn to_json(&self) -> Secret {
        let keys = self.keys.iter().map(|key| KeyDocument {
            id: HEXLOWER.encode(&key.id),
            created_at: key.created_at,
            key: Zeroizing::new(HEXLOWER.encode(key.secret.expose())),
        });
        let document = Document { keys: keys.collect() };
        Secret::new(serde_json::to_vec_pretty(&document).unwrap_or_default())
    }

    /// The ring of a document.
    ///
    /// # Errors
    /// It is not one, or its keys are not those that its ids name.
    pub fn from_json(text: &[u8]) -> Result<Self, KeyringError> {
        let document: Document = serde_json::from_slice(text)?;
        if !(1..=KEYS_MAX).contains(&document.keys.len()) {
            return Err(KeyringError::Damaged("it has no key, or more than 16"));
        }
        let keys = document.keys.iter().map(KeyDocument::read).collect::<Option<Vec<_>>>();
        let keys = keys.ok_or(KeyringError::Damaged("a key is not the one that its id names"))?;
        Ok(Self { keys })
    }
}

/// What the tag covers beside the secret: lengths keep two places from reading the same.
fn associated(key: &[u8; ID_BYTES], Place { kind, id }: Place<'_>) -> Vec<u8> {
    let text = format!("margrave sealed {FORM}\n{}:{kind}{}:{id}", kind.len(), id.len());
    [text.as_bytes(), key.as_slice()].concat()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<KeyDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    id: String,
    created_at: i64,
    /// 32 bytes as hexadecimal digits.
    key: Zeroizing<String>,
}

impl KeyDocument {
    fn read(&self) -> Option<Key> {
        let mut seed = Seed::default();
        let digits = self.key.as_bytes();
        if digits.len() != 2 * seed.len() {
            return None;
        }
        HEXLOWER_PERMISSIVE.decode_mut(digits, &mut seed[..]).ok()?;
        Some(Key::new(&seed, self.created_at)).filter(|key| HEXLOWER.encode(&key.id) == self.id)
    }
}
