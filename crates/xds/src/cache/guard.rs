//! What clients that come back are not told to give up.
//!
//! A client that comes back tells what it holds. What is not here any more it is told to give up,
//! which is right when somebody wished it gone, and wrong when this side has lost it. Versions tell
//! the two apart: whoever holds what was never made here has seen more than this side knows.

use model::Version;

/// See the module. The default guards nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// The epoch of what is made here; 0 guards nothing.
    pub epoch: u64,
    /// What is known to be lost: made after this epoch and revision, and before this epoch. So it
    /// is with what was made between a backup and its restore.
    pub lost_after: Option<(u64, u64)>,
    /// What is beyond all that is known here, in this epoch, may only not be known yet: whoever has
    /// it waits until as much is known.
    pub waits: bool,
}

impl Guard {
    /// Whether a resource of this version is known to be lost.
    pub(crate) fn is_lost(&self, version: Option<Version>) -> bool {
        let Some((after, version)) = self.lost_after.zip(version) else { return false };
        version.epoch < self.epoch && (version.epoch, version.revision) > after
    }

    /// Whether this version was never made here, where revisions have reached `reached`: its holder
    /// has seen more than is known here.
    pub(crate) fn is_beyond(&self, version: Option<Version>, reached: u64) -> bool {
        let beyond = |it: Version| (it.epoch, it.revision) > (self.epoch, reached);
        self.epoch > 0 && version.is_some_and(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_between_a_backup_and_its_restore_is_lost() {
        let guard = Guard { epoch: 3, lost_after: Some((1, 20)), waits: false };
        let version = |epoch, revision| Some(Version { epoch, revision, hash: u64::MAX });
        for (version, is_lost, is_beyond) in [
            (version(1, 19), false, false),
            (version(1, 20), false, false),
            (version(1, 21), true, false),
            (version(2, 99), true, false),
            (version(3, 29), false, false),
            (version(3, 30), false, false),
            (version(3, 31), false, true),
            (version(4, 1), false, true),
            (None, false, false),
        ] {
            assert_eq!(guard.is_lost(version), is_lost, "{version:?}");
            assert_eq!(guard.is_beyond(version, 30), is_beyond, "{version:?}");
            assert!(!Guard::default().is_lost(version));
            assert!(!Guard::default().is_beyond(version, 0));
        }
    }
}
