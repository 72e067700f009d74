//! Secrets are for those who have shown who they are.

use crate::metrics;

/// Whether a stream is given secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// As any other type.
    Given,
    /// A name is answered as one that does not exist.
    Withheld,
    /// The same, and the log has been told.
    WithheldAndTold,
}

impl Secrets {
    pub(crate) fn to(identified: bool) -> Self {
        if identified { Self::Given } else { Self::Withheld }
    }

    /// Whether this type is withheld; the log is told once a stream.
    pub(crate) fn withholds(&mut self, type_url: &str) -> bool {
        if *self == Self::Given || type_url != model::type_urls::SECRET {
            return false;
        }
        metrics::secrets_withheld();
        if *self == Self::Withheld {
            *self = Self::WithheldAndTold;
            tracing::warn!(
                "a proxy that connects in clear asks for secrets and is given none: let it join, \
                 and connect with its certificate"
            );
        }
        true
    }
}
