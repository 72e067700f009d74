//! The worlds that tests are run in, and the laws that hold in each.

mod dice;
mod memory;
mod world;

mod bent;
mod commits;
mod ends;
mod laws;
mod moves;
mod real;
mod runner;
mod simulation;
