//! A request for a certificate (PKCS #10, RFC 2986): a public key, and the proof that whoever asks has the
//! private one. Whatever else it says is not read.

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::AuthorityError;

/// The longest request that is read, in bytes of PEM. Ours have about 400.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// A request whose signature was verified.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) key: SubjectPublicKeyInfo,
    der: Vec<u8>,
}

impl Request {
    /// Reads PEM. The key must be ECDSA on P-256, which every Envoy takes and is cheap to verify.
    ///
    /// # Errors
    /// It is too long, no request, of another kind of key, or not signed by its own key.
    pub fn read(pem: &str) -> Result<Self, AuthorityError> {
        let refused = |why: &str| AuthorityError::Request(why.to_owned());
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(refused("is longer than 8 KiB"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| refused("is not PEM of the kind `CERTIFICATE REQUEST`"))?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|_| refused("cannot be read as PKCS #10"))?;
        if !rest.is_empty() {
            return Err(refused("has bytes after its end"));
        }
        let key =
            SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
                .ok()
                .filter(|key| key.algorithm() == &PKCS_ECDSA_P256_SHA256)
                .ok_or_else(|| refused("must be of a key of ECDSA on P-256"))?;
        request.verify_signature().map_err(|_| refused("is not signed by its own key"))?;
        Ok(Self { key, der: der.to_vec() })
    }

    /// What is signed to renew: these bytes, marked as being for this use.
    pub(crate) fn renewal(&self) -> Vec<u8> {
        renewal(&self.der)
    }
}

/// What the old key signs of a request by which its certificate is renewed.
pub(crate) fn renewal(der: &[u8]) -> Vec<u8> {
    [b"margrave renewal 1\n".as_slice(), &Sha256::digest(der)].concat()
}
