//! States, times and routes as people say them.

use model::{InstanceState, Millis, OperationKind, OperationState, Plan, StepState, WaitsFor};
use serde_json::Value;

/// Characters of a value of a change that are shown; the interface has it whole.
const VALUE_CHARS_MAX: usize = 400;

pub(crate) fn instance(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Provisioning => "being made",
        InstanceState::Ready => "ready",
        InstanceState::Failed => "failed: nothing of it is left",
        InstanceState::Deprovisioning => "being deleted",
        InstanceState::Deleted => "deleted",
    }
}

pub(crate) fn exposure(plan: Plan) -> &'static str {
    match plan {
        Plan::Internal => "Reached from inside the platform's network only",
        Plan::Public => "Reached by everyone, and from inside",
    }
}

pub(crate) fn kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Provision => "Creation",
        OperationKind::Update => "Change",
        OperationKind::Deprovision => "Deletion",
    }
}

pub(crate) fn operation(state: OperationState) -> &'static str {
    match state {
        OperationState::InProgress => "in progress",
        OperationState::Succeeded => "succeeded",
        OperationState::Failed => "failed",
    }
}

pub(crate) fn step(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "next",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Undoing => "being undone",
        StepState::Undone => "undone",
        StepState::Failed => "failed",
    }
}

pub(crate) fn waits(on: WaitsFor) -> &'static str {
    match on {
        WaitsFor::User => "waits for somebody to act",
        WaitsFor::External => "waits for something outside the platform",
        WaitsFor::Fleet => "waits for the proxies",
    }
}

/// Milliseconds: `8 ms`, `1.2 s`, `3 min 5 s`, `2 h 4 min`.
pub(crate) fn span(ms: Millis) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        ..1 => format!("{} ms", ms.max(0)),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A value of a descriptor: text as it is, texts in a line, the rest as JSON; long ones are cut.
pub(crate) fn value(value: &Value) -> String {
    let texts = value.as_array().and_then(|all| all.iter().map(Value::as_str).collect());
    let whole = match (value, texts) {
        (Value::String(text), _) => text.clone(),
        (_, Some::<Vec<_>>(texts)) if !texts.is_empty() => texts.join(", "),
        (other, _) => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    let mut short: String = whole.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < whole.len() {
        short.push('…');
    }
    short
}

/// What a route asks of a request, and what becomes of it.
pub(crate) fn route(route: &Value) -> (String, String) {
    let text = |pointer: &str| route.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let path = text("/match/path").or_else(|| text("/match/prefix").map(|it| format!("{it}…")));
    let list = |pointer: &str| {
        let items = route.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    let mut asks = vec![list("/match/methods"), path.unwrap_or_default()];
    for more in ["headers", "query"] {
        let map = route.pointer(&format!("/match/{more}")).and_then(Value::as_object);
        asks.extend(map.into_iter().flatten().map(|(name, it)| format!("{name}={}", value(it))));
    }
    asks.retain(|part| !part.is_empty());
    let becomes = if let Some(to) = text("/redirect/to") {
        format!("redirect to {to}")
    } else if let Some(status) = route.pointer("/respond/status") {
        format!("answered with {status}")
    } else {
        match route.get("to") {
            None => "to the upstream".to_owned(),
            Some(Value::String(name)) => format!("to {name}"),
            Some(several) => format!("split: {}", targets(several)),
        }
    };
    (asks.join(" "), becomes)
}

fn targets(several: &Value) -> String {
    let one = |target: &Value| {
        let name = target.get("upstream").and_then(Value::as_str).unwrap_or_default();
        let weight = target.get("weight").and_then(Value::as_u64).unwrap_or(1);
        format!("{weight} × {name}")
    };
    several.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn routes_are_told_in_a_line() {
        for (given, asks, becomes) in [
            (json!({"match": {"prefix": "/api"}}), "/api…", "to the upstream"),
            (
                json!({"match": {"path": "/a", "methods": ["GET", "HEAD"]}, "to": "b"}),
                "GET HEAD /a",
                "to b",
            ),
            (
                json!({"match": {"prefix": "/", "query": {"v": "2"}}, "to": [{"upstream": "a", "weight": 9}, {"upstream": "b"}]}),
                "/… v=2",
                "split: 9 × a, 1 × b",
            ),
            (
                json!({"match": {"path": "/o"}, "redirect": {"to": "/n", "status": 308}}),
                "/o",
                "redirect to /n",
            ),
            (
                json!({"match": {"path": "/o"}, "respond": {"status": 403}}),
                "/o",
                "answered with 403",
            ),
        ] {
            assert_eq!(route(&given), (asks.to_owned(), becomes.to_owned()));
        }
    }

    #[test]
    fn values_are_cut_at_a_character() {
        assert_eq!(value(&json!("plain")), "plain");
        assert_eq!(value(&json!(["a", "b"])), "a, b");
        assert_eq!(value(&json!([])), "[]");
        assert_eq!(value(&json!({"a": 1})), "{\n  \"a\": 1\n}");
        assert_eq!(value(&json!("é".repeat(500))).chars().count(), 401);
    }
}
