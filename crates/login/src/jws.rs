//! What is signed, in its compact form (RFC 7515), before its signature is known to be good.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Refused;

/// The longest token, in bytes: as much as the broker takes in a header.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// The longest name of a key, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;

/// What a signature is made with. Nothing else is accepted: no `none`, which is no signature, and no
/// `HS…`, for which a public key would be the secret (RFC 8725, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// By its name in RFC 7518, RFC 8037 and RFC 9864.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A signed text, taken apart. Its payload is anybody's claim until a key has said otherwise.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    /// What the signature covers.
    pub(crate) covered: &'a str,
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: String,
    pub(crate) payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Signed<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Refused> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let (covered, signature) = text.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = covered.split_once('.').ok_or(Refused::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed);
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Malformed)?;
        let algorithm = Algorithm::named(&header.alg).ok_or(Refused::Algorithm)?;
        // RFC 7515, 4.1.11: what must be understood and is not makes it invalid. `jku`, `jwk` and
        // `x5u` are not even looked at: keys come from the issuer alone.
        if header.crit.is_some() {
            return Err(Refused::Critical);
        }
        // RFC 8725, 3.11: an issuer signs other things with the same keys.
        if header.typ.is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
            return Err(Refused::Type);
        }
        let key_id = header.kid.filter(|id| (1..=KEY_ID_BYTES_MAX).contains(&id.len()));
        Ok(Self {
            covered,
            signature: decode(signature)?,
            algorithm,
            key_id: key_id.ok_or(Refused::KeyId)?,
            payload: decode(payload)?,
        })
    }
}
