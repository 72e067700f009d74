//! `margrave apply`: validate, submit, tell each step, and say when it is live.

use std::time::Duration;

use anyhow::anyhow;
use model::{Descriptor, InstanceId, OperationKind, OperationState, Plan, ServiceName};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::descriptor::File;
use super::wait::Wait;
use crate::client::{self, Accepted, Catalog, Client, Connect, Identity, Operation, Place, api};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Make the service be as its descriptor says; again after an edit updates the same service
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Applied {
    /// Whether anything had to be changed.
    changed: bool,
    /// The operation that changes it, or did.
    operation: Option<String>,
    /// The service as it is now; absent when its end was not waited for.
    instance: Option<api::Instance>,
    /// Where to try it.
    urls: Vec<String>,
}

impl Args {
    /// Returns when it is live, unless told not to wait.
    pub fn run(self) -> Result<(), Failure> {
        let descriptor = self.file.read()?;
        super::runtime()?.block_on(self.apply(&descriptor))
    }

    async fn apply(&self, descriptor: &Descriptor) -> Result<(), Failure> {
        let deadline = self.wait.deadline();
        let client = self.connect.client()?;
        let identity = self.connect.identity(&client).await?;
        let service = &descriptor.parameters.service;
        let mut place = Place::find(&client, &identity, service).await?;
        let catalog = Catalog::of(&client).await?;
        let change = Change { client: &client, catalog, identity, descriptor };
        let (kind, accepted) = change.settle(&mut place, deadline).await?;
        let (id, known) = (place.id, place.instance.filter(api::Instance::is_there));
        let Accepted::Started(operation) = accepted else {
            output::message(&format!("{service}: nothing to change"));
            return self.report(&client, &id, None).await;
        };
        let plan = descriptor.visibility;
        output::message(&format!("{service}: {}", headline(kind, known.map(|it| it.plan), plan)));
        if !self.wait.wanted() {
            output::message("accepted; `margrave status` tells how far it is");
            let text = operation.clone();
            let operation = Some(operation);
            let value = Applied { changed: true, operation, instance: None, urls: Vec::new() };
            return Ok(self.output.print(&value, || text)?);
        }
        let ended = client::follow::until_ended(&client, &operation, deadline).await?;
        if ended.state == OperationState::Failed {
            let why = ended.error.unwrap_or_else(|| "the broker does not say why".to_owned());
            return Err(anyhow!("{service} is not changed: {why}").into());
        }
        self.report(&client, &id, Some(&ended)).await
    }

    /// What there is now, and the URLs to try.
    async fn report(
        &self,
        client: &Client,
        id: &InstanceId,
        ended: Option<&Operation>,
    ) -> Result<(), Failure> {
        let Some(instance) = api::instance(client, id).await? else {
            return Err(anyhow!("it is gone: somebody else has deleted it").into());
        };
        if let Some(notice) = ended.and_then(|operation| operation.notice.as_ref()) {
            output::message(&format!("  note    {notice}"));
        }
        if let Some(said) = ended.and_then(Operation::last_word) {
            output::message(said);
        }
        for condition in &instance.conditions {
            output::message(&format!("  to do   {}", condition.message));
        }
        let endpoints = self.connect.endpoints();
        let urls = instance.urls(endpoints.as_ref());
        if let Some(curl) = endpoints.and_then(|endpoints| instance.curl(&endpoints)) {
            output::message(&format!("its name does not lead here by DNS; try: {curl}"));
        }
        let text = urls.join("\n");
        let operation = ended.map(|operation| operation.id.clone());
        let value = Applied { changed: ended.is_some(), operation, instance: Some(instance), urls };
        Ok(self.output.print(&value, || text)?)
    }
}

/// `provisioning (internal)`, `internal → public`, `updating (public)`.
fn headline(kind: OperationKind, before: Option<Plan>, plan: Plan) -> String {
    let after = plan.as_str();
    match (kind, before) {
        (OperationKind::Update, Some(before)) if before != plan => {
            format!("{} → {after}", before.as_str())
        }
        (OperationKind::Update, _) => format!("updating ({after})"),
        _ => format!("provisioning ({after})"),
    }
}

struct Change<'a> {
    client: &'a Client,
    catalog: Catalog,
    identity: Identity,
    descriptor: &'a Descriptor,
}

/// Between two attempts while another operation is in progress.
const BUSY_PAUSE: Duration = Duration::from_millis(300);

/// Services of one name that a team may have handed over, each with its id.
pub(super) const PASSED_MAX: u32 = 32;

/// What there is to say then.
pub(super) fn passed_too_often(service: &ServiceName) -> Failure {
    Failure::Refused(format!(
        "{PASSED_MAX} services `{service}` of this team have passed to others: choose another name"
    ))
}

impl Change<'_> {
    /// Submits to where the service is. An id that has passed to another team with its service is
    /// not this team's any more: the next one is. Before each it is looked for anew, because
    /// somebody else may just have made it.
    async fn settle(
        &self,
        place: &mut Place,
        deadline: Instant,
    ) -> Result<(OperationKind, Accepted), Failure> {
        let service = &self.descriptor.parameters.service;
        for passed in 1..=PASSED_MAX {
            let is_known = place.instance.as_ref().is_some_and(api::Instance::is_there);
            let (kind, accepted) = self.submit(&place.id, is_known, deadline).await?;
            if accepted != Accepted::Conflict {
                return Ok((kind, accepted));
            }
            *place = Place::find(self.client, &self.identity, service).await?;
            if place.instance.is_none() {
                place.id = self.identity.instance_after(service, passed)?;
            }
        }
        Err(passed_too_often(service))
    }

    /// Submits; what is busy is waited for, because what comes next is known.
    async fn submit(
        &self,
        id: &InstanceId,
        is_known: bool,
        deadline: Instant,
    ) -> Result<(OperationKind, Accepted), Failure> {
        let parameters: Value = self.descriptor.parameters.to_json();
        let wish = Some((self.descriptor.visibility, &parameters));
        let kind = if is_known { OperationKind::Update } else { OperationKind::Provision };
        let mut told = false;
        loop {
            let client = self.client;
            let accepted = client.change(&self.catalog, &self.identity, id, kind, wish).await?;
            if accepted != Accepted::Busy {
                return Ok((kind, accepted));
            }
            if Instant::now() >= deadline {
                return Err(Failure::TimedOut("another operation is still in progress".to_owned()));
            }
            if !told {
                output::message("  ...     another operation is in progress; waiting for its end");
                told = true;
            }
            sleep(BUSY_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_exposure_is_said_plainly() {
        use OperationKind::{Provision, Update};
        for (kind, before, plan, expected) in [
            (Provision, None, Plan::Internal, "provisioning (internal)"),
            (Update, Some(Plan::Internal), Plan::Public, "internal → public"),
            (Update, Some(Plan::Public), Plan::Internal, "public → internal"),
            (Update, Some(Plan::Public), Plan::Public, "updating (public)"),
        ] {
            assert_eq!(headline(kind, before, plan), expected);
        }
    }
}
