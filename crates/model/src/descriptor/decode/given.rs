//! What became of a key: absent, refused, or a value with its place.

use crate::descriptor::refusal::Spot;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) spot: Spot,
}

/// What became of a key. A bad value was refused already; checks pass it over in silence, so that
/// one mistake is told once and all others are still found.
#[derive(Debug, Clone)]
pub(crate) enum Given<T> {
    Absent,
    Bad,
    Good(At<T>),
}

impl<T> Given<T> {
    /// The value with its place, when there is a good one.
    pub(crate) fn at(&self) -> Option<&At<T>> {
        match self {
            Self::Good(at) => Some(at),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value, when there is a good one.
    pub(crate) fn value(&self) -> Option<&T> {
        self.at().map(|at| &at.value)
    }

    /// Whether nothing was written.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether what was written was refused.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }
}
