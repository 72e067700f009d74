//! The binary as its user meets it: command lines, the life of `margrave dev`, the tutorial.

#![expect(
    unreachable_pub,
    reason = "nothing of a test is reached from outside; `pub` marks the face of a module"
)]

mod audit;
mod backup;
mod dev;
mod lines;
mod outputs;
mod serve;
mod support;
mod tutorial;
