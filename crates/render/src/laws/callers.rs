//! Who may call, held after rendering: a route that requires a binding is never open because a
//! template forgot it, and no listener serves routes without the filter that they speak to.

use std::collections::BTreeSet;

use model::descriptor::Auth;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _};
use serde_json::Value;

use super::Own;
use crate::fault::Fault;
use crate::message::{self, child, children, text, texts};
use crate::schema::schema;
use crate::walk::{self, Path};
use crate::{Input, callers, wire};

const CONFIGS: &str = "typed_per_filter_config";
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const FILTER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter";

/// What the route configurations of an instance must say, where any of its routes needs a caller.
/// Compared as canonical bytes.
#[derive(Debug)]
pub(super) struct Guard {
    bound: Vec<u8>,
    open: Vec<u8>,
    open_routes: BTreeSet<String>,
    has_keys: bool,
}

impl Guard {
    /// `None`: whoever reaches the instance may call it.
    pub(super) fn new(input: Input<'_>) -> Option<Self> {
        let parameters = &input.spec.parameters;
        if !callers::are_needed(parameters) {
            return None;
        }
        let routes = parameters.routes.iter().map(|route| (route.name.as_str(), route.auth));
        let all = routes.chain([("*", parameters.auth)]);
        let open = all.filter(|(_, auth)| *auth == Auth::None);
        Some(Self {
            bound: encoded("google.protobuf.Any", &callers::bound(input)),
            open: encoded("google.protobuf.Any", &callers::open()),
            open_routes: open.map(|(name, _)| format!("{}/{name}", input.id)).collect(),
            has_keys: callers::have_keys(input),
        })
    }

    /// Judges a route configuration.
    fn check(&self, routes: &DynamicMessage) -> Vec<Fault> {
        let mut faults = Vec::new();
        if said(routes).is_some() {
            faults.push(Fault::at(CONFIGS, format!("`{}` is for virtual hosts", callers::FILTER)));
        }
        for (at, host) in children(routes, "virtual_hosts").iter().enumerate() {
            self.host(&format!("virtual_hosts[{at}]"), host, &mut faults);
        }
        faults
    }

    fn host(&self, at: &str, host: &DynamicMessage, faults: &mut Vec<Fault>) {
        if said(host).as_ref() != Some(&self.bound) {
            faults.push(Fault::at(
                format!("{at}.{CONFIGS}"),
                format!(
                    "`{}` must be `instance.caller_filter`: the service has routes that require a \
                     binding, and without it whoever reaches them could call them",
                    callers::FILTER
                ),
            ));
        }
        if host.has_field_by_name("matcher") {
            let message = "is not for a service that requires bindings: its routes are in `routes`";
            faults.push(Fault::at(format!("{at}.matcher"), message));
        }
        for (n, route) in children(host, "routes").iter().enumerate() {
            self.route(&format!("{at}.routes[{n}]"), route, faults);
        }
    }

    fn route(&self, at: &str, route: &DynamicMessage, faults: &mut Vec<Fault>) {
        let is_open = self.open_routes.contains(&text(route, "name"));
        let wanted = is_open.then_some(&self.open);
        if said(route).as_ref() != wanted {
            let message = if is_open {
                "must be the route's `caller_filter`: it requires no binding, as its host does"
            } else {
                "must be absent: it requires a binding, and its host says of whom"
            };
            faults.push(Fault::at(
                format!("{at}.{CONFIGS}"),
                format!("`{}` {message}", callers::FILTER),
            ));
        }
        let action = child(route, "route");
        let weighted = action.and_then(|action| child(&action, "weighted_clusters"));
        let clusters = weighted.map(|all| children(&all, "clusters")).unwrap_or_default();
        if clusters.iter().any(|cluster| said(cluster).is_some()) {
            let message = format!("`{}` is for virtual hosts, not for clusters", callers::FILTER);
            faults.push(Fault::at(format!("{at}.route.weighted_clusters"), message));
        }
    }
}

/// Judges what a route configuration says to the filter, and returns it without that: the other laws
/// know nothing of it. `None`: it says nothing and need not.
pub(super) fn judge(
    own: &Own<'_>,
    routes: &DynamicMessage,
    faults: &mut Vec<Fault>,
) -> Option<DynamicMessage> {
    let guard = own.guard.as_ref()?;
    if routes.descriptor().name() != "RouteConfiguration" {
        return None;
    }
    faults.extend(guard.check(routes));
    let mut rest = routes.clone();
    each(&mut rest, "virtual_hosts", &|host| {
        unsay(host, &guard.bound);
        each(host, "routes", &|route| unsay(route, &guard.open));
    });
    Some(rest)
}

/// A route configuration without what the renderer itself has written for the filter, and whether that
/// lets in anybody. `None`: it says nothing to the filter.
pub(crate) fn without(
    own: &Own<'_>,
    routes: &DynamicMessage,
) -> Option<(DynamicMessage, &'static str)> {
    let guard = own.guard.as_ref()?;
    let rest = judge(own, routes, &mut Vec::new())?;
    Some((rest, if guard.has_keys { "bound" } else { "closed" }))
}

/// Judges a listener, or a part of one that comes by itself: wherever routes of instances come, the
/// filter is there and awake.
pub(super) fn listener(listener: &DynamicMessage) -> Vec<Fault> {
    let wanted = encoded(FILTER, &callers::idle());
    let mut faults = Vec::new();
    walk::messages(listener, &mut |path, message| {
        if message.descriptor().full_name() == MANAGER {
            faults.extend(manager(path, message, &wanted));
        }
    });
    faults
}

/// Filters that may choose another route than the one that the filter before them knew.
const CHOOSERS: [&str; 2] = [
    "envoy.extensions.filters.http.lua.v3.Lua",
    "envoy.extensions.filters.http.on_demand.v3.OnDemand",
];

fn manager(path: &Path, manager: &DynamicMessage, wanted: &[u8]) -> Option<Fault> {
    if !["rds", "scoped_routes"].iter().any(|field| manager.has_field_by_name(field)) {
        return None;
    }
    let filters = children(manager, "http_filters");
    let mut ours = filters.iter().filter(|filter| text(filter, "name") == callers::FILTER);
    let is_right = ours.next().is_some_and(|one| wire::encode(one) == wanted);
    let is_one = ours.next().is_none();
    let after = filters.iter().skip_while(|filter| text(filter, "name") != callers::FILTER);
    let is_last = !after.into_iter().any(chooses);
    (!is_right || !is_one || !is_last).then(|| {
        let message = format!(
            "needs `platform.caller_filter` once, as it is, after what chooses routes and before the \
             router: without the filter `{}` routes that require a binding would be open",
            callers::FILTER
        );
        Fault::at(path.to("http_filters"), message)
    })
}

/// Whether a filter is one that chooses routes, or may become one by what is discovered for it.
fn chooses(filter: &DynamicMessage) -> bool {
    let inline = child(filter, "typed_config").map(|any| text(&any, "type_url"));
    let discovered = child(filter, "config_discovery").map(|source| texts(&source, "type_urls"));
    let mut types = inline.into_iter().chain(discovered.unwrap_or_default());
    types.any(|url| CHOOSERS.contains(&url.rsplit('/').next().unwrap_or_default()))
}

/// What is said to the filter here, as canonical bytes.
fn said(message: &DynamicMessage) -> Option<Vec<u8>> {
    let configs = message.get_field_by_name(CONFIGS)?;
    let said = configs.as_map()?.get(&key())?;
    said.as_message().map(wire::encode)
}

fn unsay(message: &mut DynamicMessage, what: &[u8]) {
    if said(message).as_deref() == Some(what)
        && let Some(configs) = message.get_field_by_name_mut(CONFIGS)
        && let Some(configs) = configs.as_map_mut()
    {
        configs.remove(&key());
    }
}

/// Does it to each message of a list.
fn each(message: &mut DynamicMessage, field: &str, change: &dyn Fn(&mut DynamicMessage)) {
    let Some(list) = message.get_field_by_name_mut(field) else { return };
    let items = list.as_list_mut().into_iter().flatten();
    items.filter_map(prost_reflect::Value::as_message_mut).for_each(change);
}

fn key() -> MapKey {
    MapKey::String(callers::FILTER.to_owned())
}

/// The canonical bytes of what the renderer itself writes.
#[expect(clippy::expect_used, reason = "written here, and encoded by every test")]
fn encoded(name: &str, json: &Value) -> Vec<u8> {
    let kind = schema().message(name).expect("Envoy has it");
    wire::encode(&message::read(json, kind).expect("it fits"))
}
