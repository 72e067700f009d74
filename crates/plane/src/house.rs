//! What is looked after although nobody asks: gauges, and what is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{FleetView, Plane, metrics};

/// News is gathered for so long before gauges are set: whoever looks at them knows of a quarantine
/// within two seconds. As often they are set while something is on its way, since then they change by
/// the mere passing of time, and by what is no news to anybody else.
const GATHER: Duration = Duration::from_millis(1_500);
/// When nothing is on its way, nothing changes without news. Should it do so, it is seen by then.
const AT_REST: Duration = Duration::from_secs(30);
/// How often is looked for what is over. It matters after a minute or more.
const OVER: Duration = Duration::from_secs(10);
/// A group that has had no proxy for so long is forgotten, until one names it again.
const GROUP_KEPT: Duration = Duration::from_hours(1);

impl Plane {
    /// Sets gauges when what they tell has changed.
    pub(crate) async fn keep_gauges(self: Arc<Self>) {
        let mut news = self.listen_to_news();
        loop {
            news.mark_unchanged();
            let view = self.fleet();
            metrics::fleet(&view);
            let wait = if view.is_at_rest() { AT_REST } else { GATHER };
            if timeout(wait, news.changed()).await.is_ok() {
                sleep(GATHER).await;
            }
        }
    }

    /// Forgets what is over.
    pub(crate) async fn keep_house(self: Arc<Self>) {
        loop {
            sleep(OVER).await;
            self.state().forget_groups(GROUP_KEPT);
            self.look_for_releases();
            self.forget_traffic();
        }
    }
}

impl FleetView {
    /// Whether every proxy has all that it should have, and says so.
    fn is_at_rest(&self) -> bool {
        let [(_, live), ..] = self.counts();
        self.in_flight == 0 && live == self.proxies.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProxyState::{self, Behind, Live, Rejecting, Silent, Unconfirmed};
    use crate::view::Proxy;

    fn view(states: &[ProxyState], in_flight: usize) -> FleetView {
        let proxy = |state: &ProxyState| Proxy {
            id: "p".to_owned(),
            group: String::new(),
            region: String::new(),
            envoy_version: String::new(),
            connected_at: 0,
            canary: false,
            state: *state,
            lacks: 0,
            refuses: Vec::new(),
            seen_at: None,
            version: None,
        };
        FleetView {
            revision: 1,
            instances: 0,
            quarantined: 0,
            in_flight,
            on_trial: 0,
            resources: 0,
            groups: Vec::new(),
            proxies: states.iter().map(proxy).collect(),
            removals_held: 0,
            ahead: Vec::new(),
        }
    }

    #[test]
    fn a_fleet_is_at_rest_when_time_alone_changes_nothing() {
        for (states, in_flight, is_at_rest) in [
            (&[][..], 0, true),
            (&[Live, Live], 0, true),
            (&[Live, Live], 1, false),
            (&[Live, Behind], 0, false),
            (&[Silent], 0, false),
            (&[Rejecting, Live], 0, false),
            (&[Unconfirmed], 0, false),
        ] {
            assert_eq!(view(states, in_flight).is_at_rest(), is_at_rest, "{states:?} {in_flight}");
        }
    }
}
