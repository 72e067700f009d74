//! What a cache promises.
