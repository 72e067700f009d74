//! Which clients are asked about, by their ids.

use tonic::Status;

use super::wire::{NodeMatcher, Question, StringMatcher, string_matcher::Pattern};

/// Matchers in one question.
const MATCHERS_MAX: usize = 64;

impl Question {
    /// The matchers, if they can be served.
    pub(super) fn matchers(&self) -> Result<Vec<&StringMatcher>, Status> {
        if self.node_matchers.len() > MATCHERS_MAX {
            return Err(Status::invalid_argument(format!("{MATCHERS_MAX} matchers at most")));
        }
        self.node_matchers.iter().map(NodeMatcher::id).collect()
    }
}

impl NodeMatcher {
    fn id(&self) -> Result<&StringMatcher, Status> {
        let plain = self.node_metadatas.is_empty();
        let id = self.node_id.as_ref().filter(|id| plain && id.pattern.is_some());
        id.ok_or_else(|| {
            Status::invalid_argument(
                "a node is matched by `node_id`: exact, prefix, suffix or contains",
            )
        })
    }
}

impl StringMatcher {
    pub(super) fn matches(&self, id: &str) -> bool {
        let fold =
            |text: &str| if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        let id = fold(id);
        match &self.pattern {
            Some(Pattern::Exact(text)) => id == fold(text),
            Some(Pattern::Prefix(text)) => id.starts_with(&fold(text)),
            Some(Pattern::Suffix(text)) => id.ends_with(&fold(text)),
            Some(Pattern::Contains(text)) => id.contains(&fold(text)),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_matched_as_the_matcher_says() {
        let matcher = |pattern, ignore_case| StringMatcher { pattern: Some(pattern), ignore_case };
        for (pattern, ignore_case, id, expected) in [
            (Pattern::Exact("envoy-1".into()), false, "envoy-1", true),
            (Pattern::Exact("envoy-1".into()), false, "envoy-11", false),
            (Pattern::Prefix("eu-".into()), false, "eu-west", true),
            (Pattern::Prefix("eu-".into()), false, "EU-west", false),
            (Pattern::Prefix("EU-".into()), true, "eu-west", true),
            (Pattern::Suffix("-1".into()), false, "eu-1", true),
            (Pattern::Contains("U-w".into()), true, "eu-west", true),
        ] {
            let found = matcher(pattern.clone(), ignore_case).matches(id);
            assert_eq!(found, expected, "{pattern:?} {id}");
        }
    }
}
