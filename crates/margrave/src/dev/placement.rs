//! Where a replica of the control plane can be. It reads a file that another process writes, and tells of
//! its proxies in the folder of that file: both work on one machine, and in one folder. Elsewhere proxies would be
//! served, and no operation would wait for them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Kinds of file systems that other machines share.
const SHARED: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "lustre",
    "ocfs2",
];

/// Refuses what cannot work: a store outside of the state folder, or on a disk that machines share.
pub fn check(state: &Path, store: Option<&Path>) -> Result<(), Failure> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(store) = store {
        let folder = store.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if real(folder) != real(state) {
            return Err(Failure::Usage(format!(
                "the store {} is not in the state folder {}: a replica tells of its proxies in its state \
                 folder, so that the process that writes would know of none of them, and no operation \
                 would wait for them. Give both processes the folder of the store with --state",
                store.display(),
                state.display()
            )));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match shared(&mounts, &real(state)) {
        None => Ok(()),
        Some(kind) => Err(Failure::Usage(format!(
            "the state folder {} is on {kind}, a file system that machines share: processes follow the \
             embedded store through memory that they share, which works on one machine only. Run this \
             replica on the machine of the process that writes, on a disk of its own",
            state.display()
        ))),
    }
}

/// The kind of file system that a path is on, if machines share it.
fn shared(mounts: &str, path: &Path) -> Option<&'static str> {
    let mounts = mounts.lines().filter_map(mount);
    let (_, kind) = mounts.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| {
        // Of those that are one over the other the last counts, as it does here.
        at.components().count()
    })?;
    SHARED.into_iter().find(|it| *it == kind)
}

/// Where a file system is, and its kind.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (front, back) = line.split_once(" - ")?;
    // What would end the field is written in octal.
    let at = front.split(' ').nth(4)?.replace("\\040", " ").replace("\\011", "\t");
    Some((at.into(), back.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/all rw - nfs4 server:/all rw
31 30 0:41 / /mnt/all/own rw - xfs /dev/sdb rw
32 22 0:42 / /mnt/with\\040space rw - fuse.sshfs host: rw";

    #[test]
    fn a_disk_that_machines_share_is_known() {
        for (path, kind) in [
            ("/var/lib/margrave", None),
            ("/mnt/all/margrave", Some("nfs4")),
            ("/mnt/all/own/margrave", None),
            ("/mnt/all2/margrave", None),
            ("/mnt/with space/margrave", Some("fuse.sshfs")),
        ] {
            assert_eq!(shared(MOUNTS, Path::new(path)), kind, "{path}");
        }
        assert_eq!(shared("nothing that is known", Path::new("/")), None);
    }

    #[test]
    fn a_store_is_in_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&other).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        let is_good = |store: &Path| check(&state, Some(store)).is_ok();
        assert!(check(&state, None).is_ok());
        assert!(is_good(&state.join("copy.db")) && is_good(&link.join("margrave.db")));
        assert!(!is_good(&other.join("margrave.db")) && !is_good(Path::new("margrave.db")));
    }
}
