//! Any conversation with the discovery server, on streams of every protocol and by polls: every answer is
//! bounded and its client's, no stream ends without a reason, and the next client is served. The
//! checks are those of the server's own tests.
#![no_main]
#![allow(dead_code, reason = "the harness serves other tests, too")]

#[path = "../../crates/xds/tests/it/conversation.rs"]
mod conversation;
#[path = "../../crates/xds/tests/it/speaker.rs"]
mod speaker;
#[path = "../../crates/xds/tests/it/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("starts");
}

fuzz_target!(|text: &[u8]| {
    RUNTIME.with(|runtime| runtime.block_on(conversation::converse(text)));
});
