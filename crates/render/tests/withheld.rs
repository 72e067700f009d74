//! A hostname that is withheld answers internally, and not in public, whatever the templates say.

mod common;

use model::{Hostname, InstanceId, Node};
use render::{Complaint, Draft, Endpoints, Input, Templates};

const SERVICE: &str = "
service: shop
visibility: public
upstream: http://localhost:3000
hostnames: [shop.acme.org, shop.example.com]
";

fn render(templates: &Templates, withheld: &[&str]) -> Result<Vec<Draft>, Vec<Complaint>> {
    let withheld: Vec<Hostname> = withheld.iter().map(|name| common::hostname(name)).collect();
    let id: InstanceId = "i-1".parse().expect("it is an id");
    let spec = common::spec(SERVICE);
    let endpoints = Endpoints::new();
    let input =
        Input { id: &id, spec: &spec, endpoints: &endpoints, callers: &[], withheld: &withheld };
    templates.instance(&common::platform(), &Node::default(), input)
}

/// The names of the scopes.
fn scopes(drafts: &[Draft]) -> Vec<&str> {
    let is_scope = |draft: &&Draft| draft.type_url.as_str().ends_with("ScopedRouteConfiguration");
    drafts.iter().filter(is_scope).map(|draft| draft.name.as_ref()).collect()
}

#[test]
fn what_is_withheld_has_no_public_scope() {
    let all = [
        "internal/shop.acme.org",
        "internal/shop.example.com",
        "public/shop.acme.org",
        "public/shop.example.com",
    ];
    for (withheld, expected) in [
        (&[][..], &all[..]),
        (&["shop.acme.org"], &[all[0], all[1], all[3]]),
        (&["shop.acme.org", "shop.example.com"], &all[..2]),
        (&["other.acme.org"], &all[..]),
    ] {
        let drafts = render(&Templates::builtin(), withheld).unwrap();
        assert_eq!(scopes(&drafts), expected, "{withheld:?}");
    }
}

#[test]
fn no_template_lets_it_through() {
    // As one would write it who does not know that a hostname can be withheld.
    let naive = |(name, text): &(&str, &str)| {
        let text = text
            .replace("for scope in exposure.scopes", "for hostname in instance.hostnames")
            .replace("{{ scope.name }}", "{{ (exposure.name ~ \"/\" ~ hostname) }}");
        ((*name).to_owned(), text)
    };
    let files: Vec<_> = Templates::builtin_files().iter().map(naive).collect();
    let templates = Templates::compile(&files).unwrap();
    assert_eq!(scopes(&render(&templates, &[]).unwrap()).len(), 4);
    let complaints = render(&templates, &["shop.acme.org"]).unwrap_err();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0].culprit.as_deref(), Some("hostname `shop.acme.org`"));
    assert!(complaints[0].message.contains("is not a scope of the instance"), "{complaints:?}");
}
