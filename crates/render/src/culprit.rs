//! Which of the tenant's routes, upstreams or hostnames a field of a resource came from.

use serde_json::Value;

/// Says it in the tenant's words: ``route `api` ``; `None` when the field is of nobody in particular.
pub(crate) fn of(kind: &str, name: &str, json: &Value, field: &str) -> Option<String> {
    match kind {
        "RouteConfiguration" => route(&route_at(json, field)?),
        "Cluster" | "ClusterLoadAssignment" => Some(format!("upstream `{}`", own(name)?)),
        "ScopedRouteConfiguration" => Some(format!("hostname `{}`", own(name)?)),
        _ => None,
    }
}

/// The tenant's route of this name in a resource.
pub(crate) fn route(name: &str) -> Option<String> {
    match own(name)?.as_str() {
        "*" => Some("the top-level `upstream`".into()),
        route => Some(format!("route `{route}`")),
    }
}

/// What the tenant calls what has this name.
fn own(name: &str) -> Option<String> {
    let (_, own) = name.split_once('/')?;
    Some(own.to_owned()).filter(|own| !own.is_empty())
}

/// The name of the route on the way to a field.
fn route_at(json: &Value, field: &str) -> Option<String> {
    let (mut here, mut in_routes) = (json, false);
    for part in field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        here = match (here, part.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => items.get(index)?,
            (Value::Object(object), _) => object.get(part).or_else(|| object.get(&camel(part)))?,
            _ => return None,
        };
        if in_routes {
            return here.get("name")?.as_str().map(str::to_owned);
        }
        in_routes = part == "routes";
    }
    None
}

fn camel(name: &str) -> String {
    let mut upper = false;
    let letters = name.chars().filter_map(|c| {
        let letter = if upper { c.to_ascii_uppercase() } else { c };
        upper = c == '_';
        (!upper).then_some(letter)
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_leads_back_to_the_tenant() {
        let routes = |key: &str| json!({key: [{"routes": [{"name": "i-1/api"}, {"name": "i-1/*", "match": {}}]}]});
        let check = |json: &Value, field: &str| of("RouteConfiguration", "public/i-1", json, field);
        let (snake, camel) = (routes("virtual_hosts"), routes("virtualHosts"));
        let field = "virtual_hosts[0].routes[0].match.path";
        assert_eq!(check(&snake, field), Some("route `api`".into()));
        assert_eq!(check(&camel, field), Some("route `api`".into()));
        let last = check(&snake, "virtual_hosts[0].routes[1]");
        assert_eq!(last, Some("the top-level `upstream`".into()));
        assert_eq!(check(&snake, "virtual_hosts[0].domains[0]"), None);
        let upstream = of("Cluster", "i-1/db", &Value::Null, "name");
        assert_eq!(upstream, Some("upstream `db`".into()));
    }
}
