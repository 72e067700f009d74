//! How proxies stand, resource by resource, for whoever asks the discovery server in the form that all
//! of them have.

use std::collections::HashMap;
use std::sync::Arc;

use model::Node;
use xds::{ClientStatus, Condition, ResourceStatus, StreamId};

use crate::group::{Group, Stream};
use crate::report::Difference;
use crate::state::State;

impl State {
    /// Of the proxies that are `wanted`; none when that would be more than `most` resources. One proxy
    /// alone is told of, whatever it has.
    pub(crate) fn statuses(
        &self,
        wanted: &dyn Fn(&Node) -> bool,
        most: usize,
    ) -> Option<Vec<ClientStatus>> {
        let mut asked = Vec::new();
        let mut resources = 0;
        for group in self.groups.values() {
            let streams = group.streams.iter().filter(|(_, stream)| wanted(&stream.node));
            let before = asked.len();
            asked.extend(streams.map(|(id, stream)| (group, *id, stream)));
            if asked.len() > before {
                resources += group.len().max(1) * (asked.len() - before);
            }
        }
        let is_little = resources <= most || asked.len() == 1;
        is_little.then(|| asked.into_iter().map(|(group, id, it)| group.status(id, it)).collect())
    }
}

impl Group {
    fn status(&self, id: StreamId, stream: &Stream) -> ClientStatus {
        let mut differs: HashMap<(String, String), Difference> = self
            .differs(id)
            .into_iter()
            .filter(|it| !it.name.is_empty())
            .map(|it| ((it.type_url.clone(), it.name.clone()), it))
            .collect();
        let mut resources: Vec<ResourceStatus> = Vec::with_capacity(self.len());
        for resource in self.resources() {
            let differs =
                differs.remove(&(resource.type_url.to_string(), resource.name.to_string()));
            resources.push(ResourceStatus {
                type_url: resource.type_url.as_str().into(),
                name: resource.name.clone(),
                version: resource.version.to_string(),
                condition: condition(stream, differs),
            });
        }
        // What is left of these is to go, or is kept from the proxy because it refuses it.
        resources.extend(differs.into_values().map(|it| ResourceStatus {
            type_url: it.type_url.as_str().into(),
            name: it.name.as_str().into(),
            version: it.version.clone().unwrap_or_default(),
            condition: condition(stream, Some(it)),
        }));
        resources.sort_by(|a, b| (&a.type_url, &a.name).cmp(&(&b.type_url, &b.name)));
        ClientStatus { node: Arc::clone(&stream.node), resources }
    }
}

fn condition(stream: &Stream, differs: Option<Difference>) -> Condition {
    match differs {
        Some(Difference { refusal: Some(words), .. }) => Condition::Error(words),
        _ if !stream.ready => Condition::NotSent,
        Some(_) => Condition::Stale,
        None => Condition::Synced,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_condition_is_what_the_proxy_said_last() {
        let stream = |ready| Stream {
            node: Arc::default(),
            since: 0,
            opened: Instant::now(),
            ready,
            early: false,
            refuses: BTreeSet::new(),
            ahead: Vec::new(),
        };
        let differs = |refusal: Option<&str>| Difference {
            owner: "a".to_owned(),
            type_url: "t".to_owned(),
            name: "n".to_owned(),
            version: None,
            refusal: refusal.map(str::to_owned),
        };
        for (ready, differs, expected) in [
            (true, None, Condition::Synced),
            (true, Some(differs(None)), Condition::Stale),
            (true, Some(differs(Some("no"))), Condition::Error("no".to_owned())),
            (false, Some(differs(Some("no"))), Condition::Error("no".to_owned())),
            (false, Some(differs(None)), Condition::NotSent),
            (false, None, Condition::NotSent),
        ] {
            assert_eq!(condition(&stream(ready), differs), expected);
        }
    }
}
