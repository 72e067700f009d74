//! What a platform lays down about logging in.

use crate::{IssuerUrl, Teams};

/// Which issuer is trusted, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The issuer.
    pub issuer: IssuerUrl,
    /// The public client that the command line is to it.
    pub client_id: String,
    /// Whom its ID tokens must be meant for.
    pub audience: String,
    /// What the command line asks for, separated by spaces.
    pub scope: String,
    /// The claim that names groups; with a slash first, a place within a claim.
    pub groups_claim: String,
    /// The claim that people are called by.
    pub name_claim: String,
    /// What the groups lead to.
    pub teams: Teams,
}
