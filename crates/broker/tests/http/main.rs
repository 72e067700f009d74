//! The broker over HTTP with the real store: each row of the specification that a platform relies on.

mod harness;
mod joining;
mod limits;
mod meddler;
mod vault;

mod access;
mod api;
mod bindings;
mod checklist;
mod edges;
mod hostile;
mod matrix;
mod mutated;
mod operators;
mod osb;
mod over;
mod phases;
mod plan;
mod races;
mod rollouts;
mod search;
mod teams;
mod watch;
