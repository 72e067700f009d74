//! Credentials as they are listed and told of: tokens and platforms alike.

use crate::client::credentials::{Held, Kind};
use crate::output;
use crate::when::minute;

/// What to say where there is none.
pub fn none_yet(kind: Kind) -> String {
    format!("there is no {kind}: `margrave {kind} create` makes the first")
}

/// A table, a line each.
pub fn table(kind: Kind, all: &[Held]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let whose = match kind {
        Kind::Token => "TEAMS",
        Kind::Platform => "ROTATED",
    };
    let head = ["NAME", whose, "STATE", "MADE", "BY", "LAST USED", "EXPIRES", "ID"];
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(all.iter().map(row)).collect();
    output::table(&rows)
}

fn row(held: &Held) -> Vec<String> {
    let rotated = held.more.get("rotatedAt").and_then(serde_json::Value::as_i64);
    let whose = match held.role.as_str() {
        "member" => held.teams.join(","),
        "platform" => rotated.filter(|at| *at != held.created_at).map_or("-".to_owned(), minute),
        other => format!("({other})"),
    };
    vec![
        held.name.clone(),
        whose,
        held.state.clone(),
        minute(held.created_at),
        held.created_by.clone(),
        held.last_used_at.map_or_else(|| "never".to_owned(), minute),
        held.expires_at.map_or_else(|| "never".to_owned(), minute),
        held.id.clone(),
    ]
}
