//! The worlds that tests are run in, and the laws that hold in each.

mod memory;
mod world;

mod commits;
mod ends;
mod runner;
