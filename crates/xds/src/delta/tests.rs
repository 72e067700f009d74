//! What a delta stream promises, without a socket.
