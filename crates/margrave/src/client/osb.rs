//! The calls of the Open Service Broker API that the commands need.

use std::collections::BTreeMap;

use model::{InstanceId, OperationKind, Plan};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, Identity};
use crate::failure::Failure;

/// The offering and its plans, by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    service: String,
    plans: BTreeMap<String, String>,
}

/// What became of a request to change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is as asked for already.
    Unchanged,
    /// It is being done; the OSB operation tells how far.
    Started(String),
    /// The instance is gone already.
    Gone,
    /// Another operation is in progress.
    Busy,
    /// What has this id is there already, and may be another team's.
    Conflict,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    id: String,
    name: String,
    plans: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

/// Our offering in the catalog.
const OFFERING: &str = "load-balancer";

impl Catalog {
    /// Asks the broker.
    pub async fn of(client: &Client) -> Result<Self, Failure> {
        let services: Services = client.ask(client.request(Method::GET, "/v2/catalog")).await?;
        let ours = services.services.into_iter().find(|service| service.name == OFFERING);
        let ours = ours.ok_or_else(|| {
            anyhow::anyhow!("the broker has no offering `{OFFERING}`: is it Margrave's?")
        })?;
        let plans = ours.plans.into_iter().map(|plan| (plan.name, plan.id)).collect();
        Ok(Self { service: ours.id, plans })
    }

    /// Offering and a plan, where neither matters.
    pub fn ids(&self) -> Result<(&str, &str), Failure> {
        Ok((&self.service, self.plan(Plan::Internal)?))
    }

    /// A plan's id.
    fn plan(&self, plan: Plan) -> Result<&str, Failure> {
        let id = self.plans.get(plan.as_str());
        Ok(id.ok_or_else(|| anyhow::anyhow!("the broker has no plan `{}`", plan.as_str()))?)
    }
}

fn path(id: &InstanceId) -> String {
    format!("/v2/service_instances/{id}")
}

impl Client {
    /// Asks for a change of an instance: its first provision, an update, or its end.
    pub async fn change(
        &self,
        catalog: &Catalog,
        identity: &Identity,
        id: &InstanceId,
        kind: OperationKind,
        wish: Option<(Plan, &Value)>,
    ) -> Result<Accepted, Failure> {
        let method = match kind {
            OperationKind::Provision => Method::PUT,
            OperationKind::Update => Method::PATCH,
            OperationKind::Deprovision => Method::DELETE,
        };
        let (organization, space) = (&identity.platform, &identity.team);
        let request = self.request(method, &path(id)).query(&[("accepts_incomplete", "true")]);
        let request = match wish {
            Some((plan, parameters)) => request.json(&json!({
                "service_id": catalog.service,
                "plan_id": catalog.plan(plan)?,
                "organization_guid": organization,
                "space_guid": space,
                "context": {
                    "platform": "margrave",
                    "organization_guid": organization,
                    "space_guid": space,
                    "environment": identity.environment,
                },
                "parameters": parameters,
            })),
            None => {
                let plan = catalog.plan(Plan::Internal)?;
                request.query(&[("service_id", catalog.service.as_str()), ("plan_id", plan)])
            }
        };
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(Accepted::Unchanged),
            StatusCode::GONE => Ok(Accepted::Gone),
            StatusCode::CONFLICT if kind == OperationKind::Provision => Ok(Accepted::Conflict),
            StatusCode::ACCEPTED => {
                let operation = answer.body["operation"].as_str().unwrap_or_default();
                Ok(Accepted::Started(operation.to_owned()))
            }
            StatusCode::UNPROCESSABLE_ENTITY
                if answer.refusal().error.as_deref() == Some("ConcurrencyError") =>
            {
                Ok(Accepted::Busy)
            }
            _ => Err(answer.failure()),
        }
    }
}
