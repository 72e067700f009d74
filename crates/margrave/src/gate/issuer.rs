//! Who signs: the authority itself, or somebody who was given what it signed.

use authority::{Authority, ServerPair, TrustDomain};
use model::Millis;
use rustls_pki_types::CertificateDer;

use crate::clock;

/// How long a certificate of the platform's own listener is good; it is replaced after two thirds.
pub const LIFE_MILLIS: Millis = 7 * 24 * 60 * 60 * 1000;
/// How often it is made anew: a life is left for longer than the listener may be unable to.
const RENEWED_MILLIS: Millis = LIFE_MILLIS / 3 * 2;

/// What a listener needs of the platform's authority.
pub trait Issuer: Send + Sync {
    /// The authority's certificate, by which clients are known.
    fn certificate(&self) -> anyhow::Result<CertificateDer<'static>>;

    /// The platform that it is of.
    fn domain(&self) -> anyhow::Result<TrustDomain>;

    /// A certificate for the listener, and its key.
    fn pair(&self) -> anyhow::Result<ServerPair>;

    /// Another number for each certificate that should be shown.
    fn turn(&self) -> i64;
}

impl Issuer for Authority {
    fn certificate(&self) -> anyhow::Result<CertificateDer<'static>> {
        Ok(self.certificate().clone())
    }

    fn domain(&self) -> anyhow::Result<TrustDomain> {
        Ok(self.domain().clone())
    }

    fn pair(&self) -> anyhow::Result<ServerPair> {
        Ok(self.serve(rand::random(), clock::now(), LIFE_MILLIS)?)
    }

    fn turn(&self) -> i64 {
        clock::now().div_euclid(RENEWED_MILLIS)
    }
}
