//! The broker over HTTP with the real store: each row of the specification that a platform relies on.

mod harness;
mod meddler;

mod api;
mod osb;
mod phases;
mod races;
