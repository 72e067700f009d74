//! The platform's authority, as the store keeps it: its key lies sealed.

use anyhow::{Context, anyhow};
use authority::Authority;
use broker::Vault as _;
use store::{KeptAuthority, Nodes};

use crate::clock;
use crate::dev::vault::{AUTHORITY, Vault};

/// The authority; of several processes that make one at the same time the first counts.
pub async fn open(nodes: &dyn Nodes, vault: &Vault, zone: &str) -> anyhow::Result<Authority> {
    let kept = match nodes.authority().await? {
        Some(kept) => kept,
        None => make(nodes, vault, zone).await?,
    };
    let key = vault.open(AUTHORITY, &kept.sealed).map_err(|why| {
        anyhow!("the key of the platform's certificate authority does not open: {why}")
    })?;
    Ok(Authority::load(kept.certificate, &key)?)
}

async fn make(nodes: &dyn Nodes, vault: &Vault, zone: &str) -> anyhow::Result<KeptAuthority> {
    let domain = zone.to_lowercase();
    let domain = domain.parse().with_context(|| format!("the zone `{zone}` names no platform"))?;
    let (certificate, key) = Authority::make(&domain, rand::random(), clock::now())?;
    let sealing = vault.seal(AUTHORITY, &key).await?;
    let made = KeptAuthority { certificate, sealed: sealing.sealed };
    let kept = nodes.keep_authority(made).await?;
    drop(sealing.held);
    tracing::info!(zone, "a certificate authority of proxies was made");
    Ok(kept)
}
