//! Callers with keys, and tokens of theirs, good and bad.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use model::Caller;
use serde_json::{Value, json};

/// A caller with its private key.
pub(crate) struct Bound {
    pub(crate) id: &'static str,
    key: SigningKey,
}

/// What a token says.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Claims {
    /// With a claim set to something else, or left out.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        set(&mut self.claims, name, value);
        self
    }

    /// With a header set to something else, or left out.
    pub(crate) fn head(mut self, name: &str, value: Value) -> Self {
        set(&mut self.header, name, value);
        self
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    let object = object.as_object_mut().expect("an object");
    match value {
        Value::Null => object.remove(name),
        value => object.insert(name.to_owned(), value),
    };
}

/// Now, in seconds.
#[expect(clippy::disallowed_methods, reason = "Envoy's clock is the real one")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

impl Bound {
    /// The same for the same id.
    pub(crate) fn new(id: &'static str) -> Self {
        let mut seed = [7; 32];
        seed.iter_mut().zip(id.bytes()).for_each(|(to, from)| *to ^= from);
        Self { id, key: SigningKey::from_bytes(&seed) }
    }

    /// As the renderer sees it.
    pub(crate) fn caller(&self) -> Caller {
        let public = self.key.verifying_key().to_bytes();
        Caller {
            binding: self.id.parse().expect("an id"),
            public_key: URL_SAFE_NO_PAD.encode(public),
            expires_at: None,
        }
    }

    /// What a good token for an instance says, made now.
    pub(crate) fn claims(&self, audience: &str) -> Claims {
        let now = now();
        Claims {
            header: json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id}),
            claims: json!({"iss": self.id, "sub": self.id, "aud": audience, "iat": now, "exp": now + 300}),
        }
    }

    /// A good token for an instance.
    pub(crate) fn token(&self, audience: &str) -> String {
        self.sign(&self.claims(audience))
    }

    /// Signs whatever it is.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let text = signing_input(claims);
        let signature = self.key.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The public key taken for a secret (HS256): what a verifier would accept that believes the
    /// token about its algorithm.
    pub(crate) fn sign_with_public_key(&self, claims: &Claims) -> String {
        let text = signing_input(claims);
        let key = self.key.verifying_key().to_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac(&key, text.as_bytes())))
    }
}

/// What is signed of a token.
pub(crate) fn signing_input(Claims { header, claims }: &Claims) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// HMAC-SHA256 (RFC 2104) with a key no longer than a block.
fn hmac(key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}
