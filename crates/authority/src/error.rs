//! Why a certificate is not made or not believed.

/// Why not. The text is for whoever asked; none holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The request for a certificate is not one that is signed here.
    #[error("the certificate request {0}")]
    Request(String),
    /// What was shown is not a certificate of a proxy of this platform.
    #[error("the certificate {0}")]
    Certificate(String),
    /// The proof that whoever asks has the certificate's key is not one.
    #[error("the proof is not a signature of this request by the key of this certificate")]
    Proof,
    /// Our own key or certificate cannot be used.
    #[error("the platform's certificate authority {0}")]
    Authority(String),
}
