//! Which instance a service is: the same words always lead to the same id, on any machine.

use model::{InstanceId, ServiceName};
use uuid::Uuid;

/// The namespace of our instance ids: UUIDv5 of the URL namespace and `urn:margrave:instance`.
fn namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:margrave:instance")
}

/// Whose a service is, and in which environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// OSB organisation: the platform.
    pub platform: String,
    /// OSB space: the team.
    pub team: String,
    /// Such as `dev` or `prod`.
    pub environment: String,
}

impl Identity {
    /// The OSB instance id of a service: UUIDv5 of platform, team, service and environment, each
    /// with its length, so that no two different quadruples read the same.
    pub fn instance(&self, service: &ServiceName) -> anyhow::Result<InstanceId> {
        self.instance_after(service, 0)
    }

    /// The id after so many that have passed to other teams, each with its service.
    pub fn instance_after(&self, service: &ServiceName, passed: u32) -> anyhow::Result<InstanceId> {
        let parts = [self.platform.as_str(), &self.team, service.as_str(), &self.environment];
        let mut name: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
        if passed > 0 {
            name.push_str(&format!("after {passed};"));
        }
        Ok(Uuid::new_v5(&namespace(), name.as_bytes()).to_string().parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(platform: &str, team: &str, service: &str, environment: &str) -> String {
        let own = |text: &str| text.to_owned();
        let (platform, team, environment) = (own(platform), own(team), own(environment));
        let identity = Identity { platform, team, environment };
        identity.instance(&service.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn an_id_never_changes_and_nothing_shares_one() {
        // A release that changed this would lose sight of every service.
        assert_eq!(
            id("margrave", "default", "shop", "dev"),
            "65839de1-4767-59ea-8a50-36d7ae3bdf58"
        );
        let others = [
            id("margrave", "default", "shop", "prod"),
            id("margrave", "team", "shop", "dev"),
            id("m", "default", "shop", "dev"),
            id("margrave", "default", "shops", "dev"),
            id("margrave", "default;4:shop", "shop", "dev"),
        ];
        let passed = Identity {
            platform: "margrave".to_owned(),
            team: "default".to_owned(),
            environment: "dev".to_owned(),
        };
        let after = |n| passed.instance_after(&"shop".parse().unwrap(), n).unwrap().to_string();
        let others = others.into_iter().chain([after(0), after(1), after(2)]).collect::<Vec<_>>();
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
    }
}
