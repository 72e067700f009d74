//! What a change comes to in Envoy's own words.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceId, Spec};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::history::ChangeView;
use crate::port::{RenderedLine, View};

/// Differences that one answer tells, as JSON: what goes beyond is named and not told.
const TOLD_BYTES_MAX: usize = 512 << 10;

/// One of Envoy's resources that would come, change or go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceChange {
    /// The protobuf type URL.
    type_url: String,
    /// Its name.
    name: String,
    change: How,
    /// What differs, by paths into the resource; the empty path is all of it. Empty with `omitted`.
    differences: Vec<ChangeView>,
    /// There is too much to tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
}

/// What would become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// It is not there yet.
    Added,
    /// It is there, and other.
    Changed,
    /// It would be gone.
    Removed,
}

type Resources = BTreeMap<(String, String), Value>;

/// What differs between the resources of two specs, by type and name; or why there are none of the
/// second. What was published and cannot be rendered any more, as under other templates, counts as
/// nothing.
pub(super) fn changes(
    view: &dyn View,
    id: &InstanceId,
    before: Option<&Spec>,
    after: &Spec,
) -> Result<Vec<ResourceChange>, Vec<String>> {
    let new = by_name(view.render(id, after)?);
    let old = before.and_then(|spec| view.render(id, spec).ok()).map(by_name).unwrap_or_default();
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut left = TOLD_BYTES_MAX;
    let change = |name: &(String, String)| told(name, old.get(name), new.get(name), &mut left);
    Ok(names.into_iter().filter_map(change).collect())
}

fn by_name(rendered: Vec<RenderedLine>) -> Resources {
    let line = |line: RenderedLine| ((line.type_url, line.name), line.resource);
    rendered.into_iter().map(line).collect()
}

fn told(
    (type_url, name): &(String, String),
    old: Option<&Value>,
    new: Option<&Value>,
    left: &mut usize,
) -> Option<ResourceChange> {
    let whole = |before: Option<&Value>, after: Option<&Value>| {
        let (before, after) = (before.cloned(), after.cloned());
        vec![model::Change { path: String::new(), before, after }]
    };
    let (change, differences) = match (old, new) {
        (Some(old), Some(new)) if old == new => return None,
        (Some(old), Some(new)) => (How::Changed, model::differences(old, new)),
        (None, new) => (How::Added, whole(None, new)),
        (old, None) => (How::Removed, whole(old, None)),
    };
    let bytes = serde_json::to_vec(&differences).map_or(usize::MAX, |json| json.len());
    let fits = bytes <= *left;
    *left = left.saturating_sub(bytes);
    let differences = differences.into_iter().filter(|_| fits).map(ChangeView::from).collect();
    Some(ResourceChange {
        type_url: type_url.clone(),
        name: name.clone(),
        change,
        differences,
        omitted: !fits,
    })
}
