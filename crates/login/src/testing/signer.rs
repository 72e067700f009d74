//! Real keys: one of RSA that lies beside, others made on the spot.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// Signs tests' logins, and nothing else anywhere: making one takes seconds.
const RSA: &[u8] = include_bytes!("rsa.pk8");

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RS256.
    Rsa,
    /// ES256.
    P256,
    /// EdDSA.
    Ed25519,
}

/// A key pair with a name.
pub struct Signer {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A pair of this kind: always the same of RSA, a new one of the others.
    pub fn new(kind: Kind, id: &str) -> Self {
        let random = SystemRandom::new();
        let pair = match kind {
            Kind::Rsa => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(RSA).expect("a key"))),
            Kind::P256 => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
                Pair::P256(pair.expect("a key"))
            }
            Kind::Ed25519 => {
                let made = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key"))
            }
        };
        Self { id: id.to_owned(), pair }
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// Its public half, as it is published.
    pub fn jwk(&self) -> Value {
        let (id, alg) = (&self.id, self.algorithm());
        match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e }: RsaPublicKeyComponents<Vec<u8>> =
                    pair.public().into();
                json!({"kty": "RSA", "kid": id, "alg": alg, "use": "sig", "n": encode(&n), "e": encode(&e)})
            }
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": alg, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": x})
            }
        }
    }

    /// A header that names it.
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"})
    }

    /// These claims under that header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.header(), claims)
    }

    /// These claims under any header.
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let covered = covered(header, claims);
        let signature = self.signature(covered.as_bytes());
        format!("{covered}.{}", encode(&signature))
    }

    /// Signed with its public key as the secret of an HMAC, as if that were one.
    pub fn sign_as_hmac(&self, claims: &Value) -> String {
        let covered = covered(&json!({"alg": "HS256", "kid": self.id, "typ": "JWT"}), claims);
        let secret = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), covered.as_bytes());
        format!("{covered}.{}", encode(tag.as_ref()))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.expect("it signs");
                signature
            }
            Pair::P256(pair) => pair.sign(&random, message).expect("it signs").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Header and claims with a signature that is anything.
pub fn seal(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}", covered(header, claims), encode(signature))
}

fn covered(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
