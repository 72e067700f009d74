//! Any conversation with the broker, with a real store: every request is answered with words,
//! none by a fault of ours, and the next one too. The checks are those of the broker's own tests.
#![no_main]
#![allow(dead_code, reason = "the harness serves other tests, too")]

#[path = "../../crates/broker/tests/http/harness.rs"]
mod harness;
#[path = "../../crates/broker/tests/http/hostile.rs"]
mod hostile;
#[path = "../../crates/broker/tests/http/meddler.rs"]
mod meddler;
#[path = "../../crates/broker/tests/http/vault.rs"]
mod vault;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

use crate::harness::Harness;

/// Conversations with one broker: what earlier ones left is met by later ones, and a fault is told with
/// few of them.
const PER_BROKER: u32 = 32;

thread_local! {
    static WORLD: RefCell<Option<(Runtime, Harness, u32)>> = const { RefCell::new(None) };
}

fuzz_target!(|text: &[u8]| {
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_some_and(|(.., held)| *held >= PER_BROKER) {
            *world = None;
        }
        let (runtime, harness, held) = world.get_or_insert_with(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("starts");
            (runtime, Harness::new(), 0)
        });
        *held += 1;
        runtime.block_on(hostile::converse(harness, text));
    });
});
