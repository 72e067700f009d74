//! The discovery server through a real socket, by a client that knows the wire format and nothing
//! of the server.

#[cfg(test)]
mod client;
#[cfg(test)]
mod delta;
#[cfg(test)]
mod server;
#[cfg(test)]
mod state;
#[cfg(test)]
mod state_client;
#[cfg(test)]
mod wire;
