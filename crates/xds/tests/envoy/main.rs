//! The discovery server and a real Envoy: what the protocol's text does not tell.

#[cfg(test)]
mod config;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod on_demand;
#[cfg(test)]
#[path = "../../../plane/tests/it/port.rs"]
mod port;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod traffic;
