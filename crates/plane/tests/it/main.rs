//! The plane against a real store, real templates and, where there is one, a real Envoy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod callers;
mod canaries;
mod differ;
mod envoy;
mod everywhere;
mod feed;
mod gate;
mod gate_plans;
mod good;
mod line;
mod listeners;
mod port;
mod proxies;
mod rollouts;
mod sourced;
mod standing;
mod versions;
mod ways;
mod world;
