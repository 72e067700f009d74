//! What a team may have: wildcards, and how much of everything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Hostname, Zone};

/// The most of everything that one team may have. `None`: as much as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Quota {
    /// Instances that are not deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Hostnames of all of its instances together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostnames: Option<u32>,
    /// Routes of one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<u32>,
    /// Provisions and updates in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_per_minute: Option<u32>,
}

impl Quota {
    /// These, and those of `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            instances: self.instances.or(others.instances),
            hostnames: self.hostnames.or(others.hostnames),
            routes: self.routes.or(others.routes),
            changes_per_minute: self.changes_per_minute.or(others.changes_per_minute),
        }
    }
}

/// What is laid down for one team. What it does not say is as the platform's settings say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// The wildcards that it may take.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub wildcards: BTreeSet<Hostname>,
    /// The zones below which its hostnames need no proof, beside those of the platform.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<Zone>,
    /// How much of everything.
    #[serde(default)]
    pub quota: Quota,
}

/// Something of which a team may have so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Instances.
    Instances,
    /// Hostnames.
    Hostnames,
    /// Routes of one instance.
    Routes,
    /// Changes in a minute.
    Changes,
    /// Hostnames that wait for a proof.
    Unproven,
}
