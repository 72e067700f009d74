//! What went wrong, said to the tenant in the tenant's own words: services, hostnames, routes and
//! upstreams, not resources and templates.

use model::{InstanceId, type_urls};
use render::Complaint;

use crate::group::Refusal;

/// Longer texts of Envoy are cut: the reason is in their beginning.
const MAX_MESSAGE_CHARS: usize = 600;
/// So many complaints are told; further ones mostly repeat them.
const MAX_COMPLAINTS: usize = 3;

/// Why the renderer refused an instance.
pub(crate) fn complaints(id: &InstanceId, complaints: &[Complaint]) -> String {
    let told = complaints.iter().take(MAX_COMPLAINTS).map(|complaint| one_complaint(id, complaint));
    let mut text = told.collect::<Vec<_>>().join("; ");
    if complaints.len() > MAX_COMPLAINTS {
        text += &format!("; and {} more", complaints.len() - MAX_COMPLAINTS);
    }
    text
}

fn one_complaint(id: &InstanceId, complaint: &Complaint) -> String {
    let message = own_names(id, &complaint.message);
    if let Some(culprit) = &complaint.culprit {
        return format!("{culprit}: {message}");
    }
    let line = complaint.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let what = complaint.resource.as_deref().map(|what| format!(" ({})", own_names(id, what)));
    format!(
        "a fault of the platform, not of your descriptor: template {}{line}{}: {message}",
        complaint.template,
        what.unwrap_or_default(),
    )
}

/// What an Envoy said that was asked about a refusal.
pub(crate) fn envoys(complaint: &Complaint) -> String {
    match &complaint.culprit {
        Some(culprit) => format!("{culprit}: {}", complaint.message),
        None => complaint.message.clone(),
    }
}

/// Why proxies refused an instance.
pub(crate) fn refusal(id: &InstanceId, refusal: &Refusal) -> String {
    let what = resource(id, refusal.type_url.as_str(), &refusal.name);
    let message = own_names(id, &refusal.message);
    format!("Envoy refused {what}: {message}")
}

/// Why proxies refused what is the platform's.
pub(crate) fn refusal_of_platform(refusal: &Refusal) -> String {
    let kind = refusal.type_url.message().rsplit('.').next().unwrap_or_default();
    format!("{kind} {}: {}", refusal.name, refusal.message)
}

/// A resource as the tenant knows it.
fn resource(id: &InstanceId, type_url: &str, name: &str) -> String {
    let (first, last) = name.split_once('/').unwrap_or(("", name));
    match type_url {
        type_urls::ROUTE => format!("the {first} routes"),
        type_urls::SCOPED_ROUTE => format!("the {first} hostname `{last}`"),
        type_urls::CLUSTER => format!("upstream `{last}`"),
        type_urls::ENDPOINT => format!("the addresses of upstream `{last}`"),
        _ => format!("`{}`", own_names(id, name)),
    }
}

/// What Envoys and templates have said, on one line that is read.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(MAX_MESSAGE_CHARS).map(plain).collect();
    if text.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// Takes the platform's prefixes off names: `<instance>/api` is the tenant's `api`. One line,
/// no control characters, no longer than is read.
fn own_names(id: &InstanceId, text: &str) -> String {
    one_line(&text.replace(&format!("{id}/"), ""))
}

#[cfg(test)]
mod tests {
    use model::TypeUrl;

    use super::*;

    fn id() -> InstanceId {
        "i-1".parse().unwrap()
    }

    #[test]
    fn a_refusal_names_what_the_tenant_wrote() {
        for (type_url, name, message, said) in [
            (
                type_urls::ROUTE,
                "internal/i-1",
                "no\nregex",
                "Envoy refused the internal routes: no regex",
            ),
            (
                type_urls::CLUSTER,
                "i-1/api",
                "cluster i-1/api: bad",
                "Envoy refused upstream `api`: cluster api: bad",
            ),
            (
                type_urls::SCOPED_ROUTE,
                "public/a.example",
                "conflict",
                "Envoy refused the public hostname `a.example`: conflict",
            ),
        ] {
            let refused = Refusal {
                type_url: TypeUrl::new(type_url),
                name: name.into(),
                message: message.to_owned(),
            };
            assert_eq!(refusal(&id(), &refused), said);
        }
    }

    #[test]
    fn a_templates_fault_is_not_blamed_on_the_tenant() {
        let mut complaint = Complaint {
            template: "clusters.yaml.j2".to_owned(),
            line: Some(3),
            resource: Some("cluster i-1/api".to_owned()),
            field: None,
            culprit: None,
            message: "unknown filter".to_owned(),
        };
        assert_eq!(
            complaints(&id(), &[complaint.clone()]),
            "a fault of the platform, not of your descriptor: template clusters.yaml.j2, line 3 \
             (cluster api): unknown filter"
        );
        complaint.culprit = Some("route `api`".to_owned());
        let many = vec![complaint; 5];
        assert_eq!(
            complaints(&id(), &many),
            "route `api`: unknown filter; route `api`: unknown filter; route `api`: unknown \
             filter; and 2 more"
        );
    }

    #[test]
    fn a_long_message_is_cut() {
        let long = own_names(&id(), &"ä".repeat(700));
        assert_eq!(long.chars().count(), MAX_MESSAGE_CHARS + 1);
    }
}
