//! The same line for proxies that ask for the state of the world.

use crate::isolation::{ENVOY_REFUSES, a_refused_tenant_hurts_only_itself};
use crate::line::a_wish_becomes_an_answer;
use crate::platform::Options;

fn sotw() -> Options {
    Options::default().argument("--xds", "sotw")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_becomes_an_answer_over_state_of_the_world() {
    a_wish_becomes_an_answer(sotw()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_envoy_refuses_hurts_only_itself_in_state_of_the_world_too() {
    a_refused_tenant_hurts_only_itself(ENVOY_REFUSES, sotw()).await;
}
