//! Exposure: the plan that was asked for, and the listeners that follow from it.

use serde::{Deserialize, Serialize};

/// The OSB service plan of an instance, and the descriptor's `visibility`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// Answers on internal listeners only. The default: nothing is public by accident.
    #[default]
    Internal,
    /// Answers on public and on internal listeners.
    Public,
}

/// A kind of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// Reached from inside the platform's network.
    Internal,
    /// Reached from anywhere.
    Public,
}

impl Plan {
    /// Every plan, in the order of the catalog.
    pub const ALL: [Self; 2] = [Self::Internal, Self::Public];

    /// The kinds of listener that an instance of this plan answers on.
    pub fn exposures(self) -> &'static [Exposure] {
        match self {
            Self::Internal => &[Exposure::Internal],
            Self::Public => &[Exposure::Internal, Exposure::Public],
        }
    }

    /// The plan's name: `internal` or `public`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl Exposure {
    /// Every exposure.
    pub const ALL: [Self; 2] = [Self::Internal, Self::Public];

    /// The exposure's name, the first segment of scope and route configuration names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}
