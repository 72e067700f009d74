//! The conversations in `talks/`, each on a server of its own.

use std::time::Duration;

use xds::{Limits, Options};

use crate::client::Delta;
use crate::lanes::{DeltaLanes, StateLanes};
use crate::script::{Speaker, run};
use crate::server::Server;
use crate::state_client::State;

/// A file is conversations one after the other, each under a line `# what it shows`.
async fn all<S: Speaker>(limits: Limits, options: Options, file: &str) {
    for talk in file.strip_prefix("# ").expect("a title").split("\n# ") {
        let (title, lines) = talk.split_once('\n').expect("a title and lines");
        run::<S>(Server::with(limits, options).await, title, lines).await;
    }
}

/// What changed while a client was away waits a moment for all its types; here only a little.
pub(crate) fn quick() -> Limits {
    Limits { gather: Duration::from_millis(30), ..Limits::default() }
}

fn impatient() -> Limits {
    Limits { patience: Duration::from_millis(50), ..Limits::default() }
}

/// The client is told of few owners at once.
fn few() -> Limits {
    Limits { owners: 2, ..quick() }
}

macro_rules! talks {
    ($($name:ident: $speaker:ty, $limits:expr, $options:expr, $file:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                all::<$speaker>($limits, $options, include_str!(concat!("talks/", $file))).await;
            }
        )*
    };
}

const EAGER: Options = Options { on_demand: false };

talks! {
    delta_subscriptions: Delta, quick(), EAGER, "delta-subscriptions.txt";
    delta_refusals: Delta, quick(), EAGER, "delta-refusals.txt";
    delta_order: Delta, quick(), EAGER, "delta-order.txt";
    delta_coming_back: Delta, quick(), EAGER, "delta-coming-back.txt";
    delta_many: Delta, few(), EAGER, "delta-many.txt";
    delta_guarded: Delta, quick(), EAGER, "delta-guarded.txt";
    delta_patience: Delta, impatient(), EAGER, "delta-patience.txt";
    delta_on_demand: Delta, quick(), Options { on_demand: true }, "delta-on-demand.txt";
    delta_lanes: DeltaLanes, quick(), EAGER, "lanes-delta.txt";
    state_lanes: StateLanes, quick(), EAGER, "lanes-state.txt";
    state_subscriptions: State, quick(), EAGER, "state-subscriptions.txt";
    state_order: State, quick(), EAGER, "state-order.txt";
    state_refusals: State, quick(), EAGER, "state-refusals.txt";
    state_coming_back: State, quick(), EAGER, "state-coming-back.txt";
    state_patience: State, impatient(), EAGER, "state-patience.txt";
}
