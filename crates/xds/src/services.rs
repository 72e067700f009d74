//! The names of the discovery services: which type a method is about.

use model::{TypeUrl, type_urls};

/// Services of single types: the service below `envoy.service`, what its methods are named after,
/// and the type.
const SINGLE: [(&str, &str, &str); 8] = [
    ("cluster.v3.ClusterDiscoveryService", "Clusters", type_urls::CLUSTER),
    ("endpoint.v3.EndpointDiscoveryService", "Endpoints", type_urls::ENDPOINT),
    ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", type_urls::EXTENSION),
    ("listener.v3.ListenerDiscoveryService", "Listeners", type_urls::LISTENER),
    ("route.v3.RouteDiscoveryService", "Routes", type_urls::ROUTE),
    ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", type_urls::SCOPED_ROUTE),
    ("runtime.v3.RuntimeDiscoveryService", "Runtime", type_urls::RUNTIME),
    ("secret.v3.SecretDiscoveryService", "Secrets", type_urls::SECRET),
];

/// What types are called where they are polled.
const POLLED: [(&str, &str); 8] = [
    ("clusters", type_urls::CLUSTER),
    ("endpoints", type_urls::ENDPOINT),
    ("extension_configs", type_urls::EXTENSION),
    ("listeners", type_urls::LISTENER),
    ("routes", type_urls::ROUTE),
    ("runtime", type_urls::RUNTIME),
    ("scoped-routes", type_urls::SCOPED_ROUTE),
    ("secrets", type_urls::SECRET),
];

/// The type of a word that is polled: one of those, or the full name of any message.
pub(crate) fn polled_type(word: &str) -> Option<TypeUrl> {
    if let Some((_, type_url)) = POLLED.iter().find(|(known, _)| *known == word) {
        return Some(TypeUrl::new(type_url));
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut parts = word.split('.');
    let is_name = word.contains('.') && parts.all(|it| !it.is_empty() && it.chars().all(letter));
    is_name.then(|| TypeUrl::new(&format!("type.googleapis.com/{word}")))
}

/// The words that are polled.
pub(crate) fn polled_words() -> [&'static str; POLLED.len()] {
    POLLED.map(|(word, _)| word)
}

/// What a method speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// Its one type; none of the aggregated service.
    pub(crate) type_url: Option<&'static str>,
    /// Delta, or state of the world.
    pub(crate) delta: bool,
}

impl Method {
    /// The method of a path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix("/envoy.service.")?.split_once('/')?;
        let (delta, what) = match method.strip_prefix("Delta") {
            Some(what) => (true, what),
            None => (false, method.strip_prefix("Stream")?),
        };
        if (service, what) == ("discovery.v3.AggregatedDiscoveryService", "AggregatedResources") {
            return Some(Self { type_url: None, delta });
        }
        let found = SINGLE.iter().find(|(of, named, _)| (*of, *named) == (service, what));
        found.map(|(.., type_url)| Self { type_url: Some(type_url), delta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_of_a_type_and_a_protocol() {
        let single = |type_url, delta| Some(Method { type_url: Some(type_url), delta });
        for (path, method) in [
            (
                "discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
                Some(Method { type_url: None, delta: true }),
            ),
            (
                "discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
                Some(Method { type_url: None, delta: false }),
            ),
            ("cluster.v3.ClusterDiscoveryService/DeltaClusters", single(type_urls::CLUSTER, true)),
            ("route.v3.RouteDiscoveryService/StreamRoutes", single(type_urls::ROUTE, false)),
            (
                "route.v3.ScopedRoutesDiscoveryService/DeltaScopedRoutes",
                single(type_urls::SCOPED_ROUTE, true),
            ),
            ("runtime.v3.RuntimeDiscoveryService/StreamRuntime", single(type_urls::RUNTIME, false)),
            ("cluster.v3.ClusterDiscoveryService/FetchClusters", None),
            ("cluster.v3.ClusterDiscoveryService/DeltaRoutes", None),
            ("cluster.v2.ClusterDiscoveryService/DeltaClusters", None),
            ("", None),
        ] {
            assert_eq!(Method::of(&format!("/envoy.service.{path}")), method, "{path}");
        }
    }

    #[test]
    fn what_is_polled_has_a_word_or_is_the_name_of_a_message() {
        for (word, type_url) in [
            ("clusters", type_urls::CLUSTER),
            ("scoped-routes", type_urls::SCOPED_ROUTE),
            ("envoy.config.core.v3.TypedExtensionConfig", type_urls::EXTENSION),
        ] {
            assert_eq!(polled_type(word), Some(TypeUrl::new(type_url)), "{word}");
        }
        for word in ["", "cluster", "virtual-hosts", "a..b", "a.b/c", "a.b\u{e9}"] {
            assert_eq!(polled_type(word), None, "{word}");
        }
    }
}
