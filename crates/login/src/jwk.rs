//! The keys that an issuer publishes (RFC 7517, RFC 7518, RFC 8037).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::jws::{Algorithm, Signed};

/// Keys of one issuer: some publish dozens.
const KEYS_MAX: usize = 100;
/// Sizes of an RSA modulus, in bytes: 2,048 to 8,192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// A coordinate of P-256, or a key of Ed25519, in bytes.
const POINT_BYTES: usize = 32;

/// A set of keys, as it is published.
#[derive(Debug, Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A public key that something can have been signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    id: String,
    public: Public,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// Those that are of use here. What is for encryption, weak, or not known to us is passed over, as
    /// RFC 7517, 5 wants it.
    pub(crate) fn keys(self) -> Result<Vec<Key>, &'static str> {
        if self.keys.len() > KEYS_MAX {
            return Err("publishes more than 100 keys");
        }
        let keys: Vec<Key> = self.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("publishes no key for RS256, ES256 or EdDSA");
        }
        Ok(keys)
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = |text| bytes(text).filter(|bytes| bytes.len() == POINT_BYTES);
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => {
                let modulus: Vec<u8> =
                    bytes(&jwk.n)?.into_iter().skip_while(|byte| *byte == 0).collect();
                let modulus = Some(modulus).filter(|all| MODULUS_BYTES.contains(&all.len()))?;
                Public::Rsa { modulus, exponent: bytes(&jwk.e)? }
            }
            ("EC", Some("P-256")) => {
                // SEC 1, 2.3.3: uncompressed.
                Public::P256([vec![4], point(&jwk.x)?, point(&jwk.y)?].concat())
            }
            ("OKP", Some("Ed25519")) => Public::Ed25519(point(&jwk.x)?),
            _ => return None,
        };
        let key = Self { id: jwk.kid, public };
        // A key is for one algorithm (RFC 8725, 3.1).
        let fits = |name: &str| Algorithm::named(name) == Some(key.algorithm());
        jwk.alg.as_deref().is_none_or(fits).then_some(key)
    }

    fn algorithm(&self) -> Algorithm {
        match self.public {
            Public::Rsa { .. } => Algorithm::Rs256,
            Public::P256(_) => Algorithm::Es256,
            Public::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether it is the one that something says to be signed with.
    pub(crate) fn is_of(&self, signed: &Signed<'_>) -> bool {
        self.id == signed.key_id && self.algorithm() == signed.algorithm
    }

    /// Whether it has signed this.
    pub(crate) fn has_signed(&self, signed: &Signed<'_>) -> bool {
        let (message, signature) = (signed.covered.as_bytes(), signed.signature.as_slice());
        let verified = match &self.public {
            Public::Rsa { modulus, exponent } => {
                let components = RsaPublicKeyComponents { n: modulus, e: exponent };
                components.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Public::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Public::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}
