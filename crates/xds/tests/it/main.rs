//! The discovery server through a real socket, by a client that knows the wire format and nothing
//! of the server.

#[cfg(test)]
mod absent;
#[cfg(test)]
mod client;
#[cfg(test)]
mod conversation;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod polls;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod script;
#[cfg(test)]
mod server;
#[cfg(test)]
mod speaker;
#[cfg(test)]
mod state_client;
#[cfg(test)]
mod talks;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod wire;
