//! The host's side: a key of its own, the request for its certificate, and the proof that renews it.

use keys::Secret;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};

use crate::AuthorityError;
use crate::request::renewal;

/// A key that was just made, and the request for its certificate.
pub struct Applicant {
    key: KeyPair,
    request: Vec<u8>,
    pem: String,
}

impl std::fmt::Debug for Applicant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Applicant")
    }
}

fn broken(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Request(format!("cannot be made: {error}"))
}

impl Applicant {
    /// A new key.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub fn new() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
        let mut params = CertificateParams::default();
        // What it is called is not its to say.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(broken)?;
        let pem = request.pem().map_err(broken)?;
        Ok(Self { key, request: request.der().to_vec(), pem })
    }

    /// The request, PEM.
    pub fn request(&self) -> &str {
        &self.pem
    }

    /// The private key, PEM: for a file that nobody else can read.
    pub fn key(&self) -> Secret {
        Secret::from(self.key.serialize_pem())
    }

    /// Signs the request with the key of the certificate that it shall replace.
    ///
    /// # Errors
    /// That is not a key of ours.
    pub fn prove(&self, old: &Secret) -> Result<Vec<u8>, AuthorityError> {
        let text = old.expose_str().ok_or_else(|| broken("the old key is not PEM"))?;
        let old = KeyPair::from_pem(text).map_err(|_| broken("the old key cannot be read"))?;
        old.sign(&renewal(&self.request)).map_err(broken)
    }
}
