//! Where a replica of the control plane keeps what its proxies have proven.

use std::sync::Arc;

use keys::Keyring;
use rand::RngCore;
use store::sqlite::GoodFile;

use crate::clock;
use crate::state::{LAST_GOOD, Replica};

/// The file of a replica. It is never a reason not to start: without it the store is waited for.
pub fn open(replica: &Replica) -> Option<GoodFile> {
    match try_open(replica) {
        Ok((file, None)) => Some(file),
        Ok((file, Some(why))) => {
            plane::metrics::good_ignored(1);
            tracing::error!(%why, "the last good configuration is damaged or not ours: it is set aside, as `{LAST_GOOD}.bad`, and begun anew");
            Some(file)
        }
        Err(error) => {
            tracing::error!(
                "the last good configuration cannot be read or kept now, and is left as it is: {error:#}"
            );
            None
        }
    }
}

/// Forgets what a replica had of the store that was here before, and not who is shut out.
pub fn forget(replica: &Replica) -> anyhow::Result<()> {
    if !replica.path().join(LAST_GOOD).exists() {
        return Ok(());
    }
    let (file, _) = try_open(replica)?;
    Ok(file.forget(&crate::gate::REMEMBERED)?)
}

fn try_open(replica: &Replica) -> anyhow::Result<(GoodFile, Option<String>)> {
    let mut seed = keys::Seed::default();
    rand::rng().fill_bytes(&mut *seed);
    let ring = replica.keyring_or(|| Keyring::new(&seed, clock::now()))?;
    let path = replica.path().join(LAST_GOOD);
    Ok(GoodFile::open(&path, ring, rand::random(), Arc::new(rand::random))?)
}
