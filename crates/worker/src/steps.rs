//! The steps, one file for each matter.

mod converge;
mod dns;
mod names;
mod publish;

pub(crate) use converge::Converge;
pub(crate) use dns::{DnsRecords, OldRecords};
pub(crate) use names::{ClaimHostnames, ReleaseHostnames};
pub(crate) use publish::{Publish, Unpublish};

use model::Hostname;

/// `shop.example.com`, or `3 hostnames`.
fn list(names: &[Hostname]) -> String {
    match names {
        [one] => one.to_string(),
        many => format!("{} hostnames", many.len()),
    }
}
