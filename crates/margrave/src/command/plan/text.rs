//! A plan for people: who can reach it first, then each change on a line of its own.

use model::ExposureChange;
use serde_json::Value;

use crate::client::Planned;
use crate::client::follow::span;
use crate::client::plan::{Action, ResourceChange, Withheld};
use crate::client::search::{Change, exposure};

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD_RED: &str = "1;31";

/// All that would change. What is painted says the same without its colour.
pub fn of(planned: &Planned, resources: bool, paint: bool) -> String {
    let mut page = Page { lines: vec![headline(planned)], paint };
    if let Some(change) = planned.exposure {
        let colour = if change == ExposureChange::BecamePublic { BOLD_RED } else { YELLOW };
        page.line(colour, 1, exposure(change));
    }
    planned.changes.iter().for_each(|change| page.change(1, change));
    facts(planned)
        .into_iter()
        .for_each(|(what, fact)| page.lines.push(format!("  {what:<9} {fact}")));
    if resources && !planned.resources.is_empty() {
        page.resources(planned);
    }
    page.lines.join("\n")
}

/// What stands for the instance's id, which is part of nearly every name.
const ID: &str = "…";

fn headline(planned: &Planned) -> String {
    let Planned { service, plan, .. } = planned;
    match planned.action {
        Action::Create => format!("{service} would be created ({plan})"),
        Action::Update => format!("{service} would be updated ({plan})"),
        Action::Nothing => format!("{service}: nothing to change"),
        Action::Underway => format!("{service}: it is being done already"),
    }
}

/// What else there is to know, each with a word of what it is.
fn facts(planned: &Planned) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add = |what, fact: String| facts.extend((!fact.is_empty()).then_some((what, fact)));
    add("because", planned.because.clone().unwrap_or_default());
    add("takes", planned.takes.join(", "));
    let kept = "stays reserved for the team for 30 days, if it was served";
    let given = planned.gives_up.iter().map(|name| format!("{name} ({kept})"));
    add("gives up", given.collect::<Vec<_>>().join(", "));
    let withheld = planned.withheld.iter().map(Withheld::told);
    add("withheld", below(withheld));
    let operation = planned.operation.clone().unwrap_or_default();
    match planned.action {
        Action::Underway => add("operation", operation),
        _ if !operation.is_empty() => add("instead of", format!("operation {operation}")),
        _ => {}
    }
    add("envoy", counted(&planned.resources));
    add("steps", steps(planned));
    facts
}

fn counted(resources: &[ResourceChange]) -> String {
    let count = |how: &str| resources.iter().filter(|resource| resource.change == how).count();
    let words = ["added", "changed", "removed"].map(|how| (count(how), how));
    let told = words.iter().filter(|(count, _)| *count > 0);
    let told = told.map(|(count, how)| format!("{count} {how}")).collect::<Vec<_>>().join(", ");
    if told.is_empty() { told } else { format!("resources: {told}") }
}

fn steps(planned: &Planned) -> String {
    let typical: Option<i64> = planned.steps.iter().map(|step| step.typical).sum();
    let usually = typical.filter(|_| !planned.steps.is_empty());
    let usually = usually.map_or(String::new(), |ms| format!(" (usually {} in all)", span(ms)));
    // As they follow each other.
    format!("{}{usually}", below(planned.steps.iter().map(|step| step.says.clone())))
}

/// Facts of one kind below each other.
fn below(facts: impl Iterator<Item = String>) -> String {
    facts.collect::<Vec<_>>().join(&format!("\n{:12}", ""))
}

/// Lines under way.
struct Page {
    lines: Vec<String>,
    paint: bool,
}

impl Page {
    fn line(&mut self, colour: &str, depth: usize, text: &str) {
        let indent = "  ".repeat(depth);
        self.lines.push(match self.paint {
            true => format!("{indent}\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => format!("{indent}{text}"),
        });
    }

    fn resources(&mut self, planned: &Planned) {
        self.lines.push(format!("Envoy's resources, {ID} being {}:", planned.instance));
        for resource in &planned.resources {
            let from = self.lines.len();
            self.resource(resource);
            let lines = self.lines.iter_mut().skip(from);
            lines.for_each(|line| *line = line.replace(&planned.instance, ID));
        }
    }

    fn resource(&mut self, resource: &ResourceChange) {
        let kind = resource.type_url.rsplit('.').next().unwrap_or_default();
        self.line("1", 1, &format!("{kind} {} {}", resource.name, resource.change));
        if resource.omitted {
            self.line("0", 2, "too large to be shown; `margrave render` shows it whole");
        }
        resource.differences.iter().for_each(|change| self.change(2, change));
    }

    /// What comes or goes as a whole is told leaf by leaf.
    fn change(&mut self, depth: usize, change: &Change) {
        let colour = match (&change.before, &change.after) {
            (None, _) => GREEN,
            (_, None) => RED,
            _ => YELLOW,
        };
        for leaf in leaves(change) {
            self.line(colour, depth, &leaf.line());
        }
    }
}

/// A change of one leaf each, where something comes or goes as a whole.
fn leaves(change: &Change) -> Vec<Change> {
    let (whole, came) = match (&change.before, &change.after) {
        (None, Some(after)) => (after, true),
        (Some(before), None) => (before, false),
        _ => return vec![change.clone()],
    };
    let leaf = |path: String, value: Option<Value>| match came {
        true => Change { path, before: None, after: value },
        false => Change { path, before: value, after: None },
    };
    let below = parts(&change.path, whole);
    if below.is_empty() {
        return vec![leaf(change.path.clone(), Some(whole.clone()))];
    }
    below.into_iter().flat_map(|(path, value)| leaves(&leaf(path, Some(value)))).collect()
}

/// What a value consists of, with where it is: objects by key, its name first; lists of objects by
/// name or place.
fn parts(path: &str, value: &Value) -> Vec<(String, Value)> {
    let dot = if path.is_empty() { "" } else { "." };
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| (*key != "name", *key));
            let part =
                |(key, value): (&String, &Value)| (format!("{path}{dot}{key}"), value.clone());
            entries.into_iter().map(part).collect()
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let place = |(at, item): (usize, &Value)| {
                let called = item["name"].as_str().map_or_else(|| at.to_string(), str::to_owned);
                (format!("{path}[{called}]"), item.clone())
            };
            list.iter().enumerate().map(place).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned(action: &str, rest: &Value) -> Planned {
        let mut value = json!({
            "action": action, "instance": "i-1", "service": "shop", "plan": "public", "changes": [], "takes": [],
            "givesUp": [], "steps": [], "resources": [],
        });
        for (key, part) in rest.as_object().unwrap() {
            value[key] = part.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn who_can_reach_it_comes_first_and_each_change_has_a_line() {
        let update = json!({
            "exposure": "became-public",
            "changes": [
                {"path": "visibility", "before": "internal", "after": "public"},
                {"path": "routes[api]", "after": {"name": "api", "match": {"prefix": "/a"}, "hosts": ["x", "y"]}},
                {"path": "routes[old]", "before": {"name": "old"}},
                {"path": "body", "after": "a\u{1b}[2Jb"},
            ],
            "takes": ["a.example.com"], "givesUp": ["b.example.com"], "operation": "op-1",
            "withheld": [
                {"hostname": "a.acme.org", "record":
                    {"type": "TXT", "name": "_margrave.a.acme.org", "value": "margrave-proof=1"}},
                {"hostname": "b.acme.org", "record":
                    {"type": "TXT", "name": "_margrave.b.acme.org", "value": "margrave-proof=1"}},
            ],
            "steps": [
                {"name": "dns", "says": "Creating DNS records", "typical": 1_200},
                {"name": "live", "says": "Waiting", "typical": 300},
            ],
            "resources": [
                {"typeUrl": "type.googleapis.com/envoy.Cluster", "name": "i-1/default", "change": "changed",
                 "differences": [{"path": "lb[0].port", "before": 1, "after": 2}]},
                {"typeUrl": "type.googleapis.com/envoy.Route", "name": "r", "change": "removed",
                 "differences": [], "omitted": true},
            ],
        });
        let shown = "\
shop would be updated (public)
  PUBLIC: everyone can reach it
  ~ visibility: internal -> public
  + routes[api].name: api
  + routes[api].hosts: [\"x\",\"y\"]
  + routes[api].match.prefix: /a
  - routes[old].name: old
  + body: \"a\\u{1b}[2Jb\"
  takes     a.example.com
  gives up  b.example.com (stays reserved for the team for 30 days, if it was served)
  withheld  a.acme.org: not in public before there is a TXT record _margrave.a.acme.org with margrave-proof=1
            b.acme.org: not in public before there is a TXT record _margrave.b.acme.org with margrave-proof=1
  instead of operation op-1
  envoy     resources: 1 changed, 1 removed
  steps     Creating DNS records
            Waiting (usually 1.5 s in all)";
        let more = "
Envoy's resources, … being i-1:
  Cluster …/default changed
    ~ lb[0].port: 1 -> 2
  Route r removed
    too large to be shown; `margrave render` shows it whole";
        let update = planned("update", &update);
        assert_eq!(of(&update, false, false), shown);
        assert_eq!(of(&update, true, false), format!("{shown}{more}"));
        let painted = of(&update, true, true);
        assert!(painted.contains("\u{1b}[1;31mPUBLIC"), "{painted}");
        let plain = ["1;31", "31", "32", "33", "1", "0"]
            .iter()
            .fold(painted, |text, colour| text.replace(&format!("\u{1b}[{colour}m"), ""));
        assert_eq!(plain, format!("{shown}{more}"), "colour adds nothing");
    }

    #[test]
    fn where_nothing_would_change_one_line_is_enough() {
        for (action, rest, shown) in [
            ("nothing", json!({}), "shop: nothing to change"),
            (
                "underway",
                json!({"operation": "op-1"}),
                "shop: it is being done already\n  operation op-1",
            ),
            (
                "update",
                json!({"because": "the last operation failed"}),
                "shop would be updated (public)\n  because   the last operation failed",
            ),
        ] {
            assert_eq!(of(&planned(action, &rest), true, false), shown);
        }
    }
}
