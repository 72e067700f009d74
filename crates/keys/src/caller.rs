//! The key pair of a caller, and the short tokens that it signs (RFC 7519, RFC 8037).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{Secret, Seed};

/// The longest that a token may be good for, in seconds: the edge accepts no longer.
pub const TOKEN_S_MAX: u32 = 300;

/// An Ed25519 key pair. Overwritten when it is dropped.
pub struct KeyPair(SigningKey);

/// Why a document is not a private key of a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not a private Ed25519 key as a JWK (RFC 8037): {0}")]
pub struct PairError(&'static str);

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// The binding: who calls.
    pub binding: &'a str,
    /// The instance: what is called.
    pub audience: &'a str,
    /// Now, in seconds since the Unix epoch.
    pub now_s: i64,
    /// How long it is good for; never longer than [`TOKEN_S_MAX`].
    pub lifetime_s: u32,
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    d: Zeroizing<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
}

impl KeyPair {
    /// The pair of a seed.
    pub fn new(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The pair of a seed that was sealed.
    ///
    /// # Errors
    /// It is not 32 bytes long.
    pub fn from_secret(secret: &Secret) -> Result<Self, PairError> {
        let seed = secret.expose().try_into().map_err(|_| PairError("it is not 32 bytes long"))?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// The seed, to be sealed.
    pub fn seed(&self) -> Secret {
        Secret::new(self.0.to_bytes().to_vec())
    }

    /// The public key: 32 bytes as base64url without padding.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    /// The private key as a JWK, the text of a JSON object.
    pub fn jwk(&self, id: &str) -> Secret {
        let jwk = Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: self.public_key(),
            d: Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(self.0.to_bytes()))),
            kid: Some(id.to_owned()),
            alg: Some("EdDSA".to_owned()),
        };
        Secret::new(serde_json::to_vec(&jwk).unwrap_or_default())
    }

    /// The pair of a private JWK.
    ///
    /// # Errors
    /// It is something else, or its halves do not belong together.
    pub fn from_jwk(text: &[u8]) -> Result<Self, PairError> {
        let jwk: Jwk = serde_json::from_slice(text)
            .map_err(|_| PairError("`kty`, `crv`, `x` and `d` are needed"))?;
        if (jwk.kty.as_str(), jwk.crv.as_str()) != ("OKP", "Ed25519") {
            return Err(PairError("`kty` is not `OKP` or `crv` is not `Ed25519`"));
        }
        let private = URL_SAFE_NO_PAD.decode(jwk.d.as_bytes()).map(Secret::new);
        let pair = Self::from_secret(&private.map_err(|_| PairError("`d` is not base64url"))?)?;
        if pair.public_key() != jwk.x {
            return Err(PairError("`x` is not the public key of `d`"));
        }
        Ok(pair)
    }

    /// A signed token: a JWT in its compact form.
    pub fn token(&self, token: Token<'_>) -> Secret {
        let Token { binding, audience, now_s, lifetime_s } = token;
        let until = now_s.saturating_add(i64::from(lifetime_s.min(TOKEN_S_MAX)));
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": binding});
        let claims =
            json!({"iss": binding, "sub": binding, "aud": audience, "iat": now_s, "exp": until});
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        Secret::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
