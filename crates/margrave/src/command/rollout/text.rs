//! Roll-outs, for people.

use broker::{DifferenceOf, RolloutLine, RolloutPlan, RolloutStatus};
use model::{counted, moment};

use crate::output::table;

/// What would change.
pub fn plan(plan: &RolloutPlan) -> String {
    let to = match plan.to {
        0 => "these templates".to_owned(),
        number => number.to_string(),
    };
    let mut lines = vec![format!(
        "from edition {} to {to}: {} of {} would change, in {}",
        plan.from,
        plan.changed_count,
        counted(plan.instances, "service"),
        counted(plan.groups, "group")
    )];
    match plan.judges.is_empty() {
        true => lines.push("no Envoy was there to judge it: see `validators`".to_owned()),
        false => lines.push(format!("judged by Envoy {}", plan.judges.join(", "))),
    }
    if !plan.unheard.is_empty() {
        let unheard = plan.unheard.join(", ");
        lines.push(format!(
            "Envoy {unheard} is connected, and could not be asked here: see `validators`"
        ));
    }
    if plan.refused_already > 0 {
        lines.push(format!(
            "{} refused as it is, and then",
            counted(plan.refused_already, "service")
        ));
    }
    if !plan.resources.is_empty() {
        let head = ["TYPE", "ADDED", "CHANGED", "REMOVED"].map(str::to_owned).to_vec();
        let row = |line: &broker::TypeLine| {
            let counts = [line.added, line.changed, line.removed].map(|it| it.to_string());
            [vec![short(&line.type_url).to_owned()], counts.to_vec()].concat()
        };
        let rows: Vec<_> = std::iter::once(head).chain(plan.resources.iter().map(row)).collect();
        lines.push(table(&rows));
    }
    for sample in &plan.samples {
        lines.push(format!("{} {}", short(&sample.type_url), sample.name));
        lines.extend(sample.differences.iter().map(difference));
    }
    for refused in &plan.refused {
        lines.push(format!("would be refused: {}: {}", refused.owner, refused.why));
    }
    if plan.unjudged > 0 {
        let why = "enough is refused, or it took too long";
        lines.push(format!("Envoy has not judged {} more: {why}", plan.unjudged));
    }
    lines.join("\n")
}

fn short(type_url: &str) -> &str {
    type_url.rsplit('.').next().unwrap_or(type_url)
}

fn difference(difference: &DifferenceOf) -> String {
    let said = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    };
    let DifferenceOf { path, before, after } = difference;
    let path = if path.is_empty() { "all of it" } else { path };
    format!("  {path}: {} → {}", said(before), said(after))
}

/// One roll-out.
pub fn rollout(rollout: &RolloutLine) -> String {
    let RolloutLine { id, from, to, by, .. } = rollout;
    let mut lines =
        vec![format!("roll-out {id}, edition {from} → {to}, by {by}: {}", state(rollout))];
    if let Some(reason) = &rollout.reason {
        lines.push(format!("  {reason}"));
    }
    lines.extend(rollout.notes.iter().map(|note| format!("  {note}")));
    lines.join("\n")
}

fn state(rollout: &RolloutLine) -> String {
    let at = rollout.stages.get(rollout.stage);
    let place = at.map(|stage| {
        format!(" stage {} ({} of {})", stage.name, rollout.stage + 1, rollout.stages.len())
    });
    let place = place.filter(|_| rollout.ended_at.is_none()).unwrap_or_default();
    let paused = if rollout.paused { ", paused" } else { "" };
    format!("{}{place}{paused}", rollout.state)
}

/// How everything stands.
pub fn status(status: &RolloutStatus) -> String {
    let given = status.given.iter().map(|it| format!("{}: edition {}", it.groups, it.edition));
    let mut parts = vec![given.collect::<Vec<_>>().join("\n")];
    if !status.sources.is_empty() {
        let names = status.sources.join(", ");
        parts.push(format!("not every group has the latest of the sources {names}"));
    }
    if let Some(offered) = status.offered {
        parts.push(format!(
            "the configuration is edition {offered}; `margrave rollout start` rolls it out"
        ));
    }
    if let Some(trouble) = &status.trouble {
        parts.push(format!("the configured templates are not used: {trouble}"));
    }
    parts.extend(status.rollout.as_ref().map(rollout));
    let head = ["EDITION", "SINCE", "DIGEST"].map(str::to_owned).to_vec();
    let row = |it: &broker::EditionLine| {
        let digest = it.digest.get(..12).unwrap_or(&it.digest).to_owned();
        vec![it.number.to_string(), moment(it.at), digest]
    };
    let rows: Vec<_> = std::iter::once(head).chain(status.editions.iter().map(row)).collect();
    parts.push(table(&rows));
    parts.join("\n\n")
}

/// Roll-outs, a line each.
pub fn list(all: &[RolloutLine]) -> String {
    if all.is_empty() {
        return "there was no roll-out yet".to_owned();
    }
    let head =
        ["ROLL-OUT", "FROM", "TO", "BY", "BEGAN", "STATE", "WHY"].map(str::to_owned).to_vec();
    let row = |it: &RolloutLine| {
        let why = it.reason.clone().unwrap_or_default();
        let numbers = [it.id, it.from, it.to].map(|number| number.to_string());
        [numbers.to_vec(), vec![it.by.clone(), moment(it.started_at), state(it), why]].concat()
    };
    table(&std::iter::once(head).chain(all.iter().map(row)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_tells_what_changes_and_who_would_be_refused() {
        let whole = json!({
            "from": 3, "to": 4, "groups": 2, "judges": ["1.40"], "unheard": ["1.39"], "instances": 20, "refusedCount": 1, "refusedAlready": 2, "unjudged": 7,
            "refused": [{"owner": "shop", "why": "no such field"}],
            "changed": ["pay"], "changedCount": 1,
            "resources": [{"typeUrl": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "added": 0, "changed": 1, "removed": 0}],
            "samples": [{"owner": "pay", "typeUrl": "x.RouteConfiguration", "name": "internal/pay",
                "differences": [{"path": "a.b", "before": null, "after": 1}]}],
        });
        let told = plan(&serde_json::from_value(whole).unwrap());
        let expected = "\
from edition 3 to 4: 1 of 20 services would change, in 2 groups
judged by Envoy 1.40
Envoy 1.39 is connected, and could not be asked here: see `validators`
2 services refused as it is, and then
TYPE                ADDED  CHANGED  REMOVED
RouteConfiguration  0      1        0
RouteConfiguration internal/pay
  a.b: nothing → 1
would be refused: shop: no such field
Envoy has not judged 7 more: enough is refused, or it took too long";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_status_tells_who_has_what_and_how_far_it_is() {
        let whole = json!({
            "given": [{"groups": "eu-*", "edition": 4}, {"groups": "*", "edition": 3}],
            "offered": 5, "trouble": "routes.json.j2:3: no",
            "rollout": {"id": 7, "from": 3, "to": 4, "by": "ann", "state": "baking", "paused": true,
                "stages": [{"name": "canary", "groups": ["eu-*"], "bakeSeconds": 60},
                    {"name": "all", "groups": ["*"], "bakeSeconds": 60}],
                "stage": 0, "notes": ["canary: p9 lacks something"], "startedAt": 0},
            "editions": [{"number": 4, "digest": "0123456789abcdef", "at": 0}],
        });
        let told = status(&serde_json::from_value(whole).unwrap());
        for part in [
            "eu-*: edition 4\n*: edition 3",
            "the configuration is edition 5; `margrave rollout start` rolls it out",
            "are not used: routes.json.j2:3: no",
            "roll-out 7, edition 3 → 4, by ann: baking stage canary (1 of 2), paused\n  canary: p9 lacks",
            "0123456789ab",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}
