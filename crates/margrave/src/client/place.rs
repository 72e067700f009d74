//! Where a service is: under the id that its team, name and environment lead to; or, where its team has
//! taken it over from another, under the id that it has kept.

use model::{InstanceId, ServiceName};

use super::api::{self, Instance};
use super::{Client, Identity};
use crate::failure::Failure;

/// A service's place.
#[derive(Debug)]
pub struct Place {
    /// Its instance id, also where there is nothing yet.
    pub id: InstanceId,
    /// What is there, tombstones included.
    pub instance: Option<Instance>,
    /// The team to which what had the id has passed, where that may be seen. It is not to be touched
    /// in the name of this team.
    pub passed_to: Option<String>,
}

impl Place {
    /// Looks for a service of this team and environment.
    pub async fn find(
        client: &Client,
        identity: &Identity,
        service: &ServiceName,
    ) -> Result<Self, Failure> {
        let id = identity.instance(service)?;
        let found = api::instance(client, &id).await?;
        let (here, passed_to) = match found {
            Some(other) if !is_theirs(&other, identity) => (None, Some(other.space)),
            here => (here, None),
        };
        if here.as_ref().is_some_and(Instance::is_there) {
            return Ok(Self { id, instance: here, passed_to });
        }
        let mut named = named(client, identity, service).await?;
        match (named.pop(), named.pop()) {
            (None, _) => Ok(Self { id, instance: here, passed_to }),
            (Some(only), None) => {
                Ok(Self { id: only.id.clone(), instance: Some(only), passed_to: None })
            }
            (Some(one), Some(other)) => Err(Failure::Refused(format!(
                "team {} has several services `{service}` in this environment: {} and {}",
                identity.team, one.id, other.id
            ))),
        }
    }
}

fn is_theirs(instance: &Instance, identity: &Identity) -> bool {
    instance.organization == identity.platform && instance.space == identity.team
}

/// The services of that name which the team has.
async fn named(
    client: &Client,
    identity: &Identity,
    service: &ServiceName,
) -> Result<Vec<Instance>, Failure> {
    let query = [("team", identity.team.clone()), ("service", service.to_string())];
    let mut found = api::instances(client, &query).await?;
    found.retain(|it| {
        let environment = it.more.get("environment").and_then(serde_json::Value::as_str);
        it.is_there() && environment == Some(&identity.environment)
    });
    Ok(found)
}
