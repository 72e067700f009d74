//! Which service a command is about: named, or that of the descriptor in the working directory.

use std::path::Path;

use model::{InstanceId, ServiceName};

use super::descriptor;
use crate::client::{Client, Connect, Place};
use crate::failure::Failure;

/// A service by its name.
#[derive(Debug, clap::Args)]
pub struct Service {
    /// The service [default: that of ./margrave.yaml]
    service: Option<ServiceName>,
}

impl Service {
    /// Its name.
    pub fn name(&self) -> Result<ServiceName, Failure> {
        if let Some(name) = &self.service {
            return Ok(name.clone());
        }
        let path = Path::new("margrave.yaml");
        if path.exists() {
            return Ok(descriptor::read(path)?.parameters.service);
        }
        Err(Failure::Usage(
            "which service? Name it, or go to the folder of its margrave.yaml".into(),
        ))
    }

    /// A client of its platform, its name and its instance id. Nothing is asked before it is clear
    /// which service is meant.
    pub async fn find(
        &self,
        connect: &Connect,
    ) -> Result<(Client, ServiceName, InstanceId), Failure> {
        let name = self.name()?;
        let client = connect.client()?;
        let identity = connect.identity(&client).await?;
        let place = Place::find(&client, &identity, &name).await?;
        if let Some(team) = place.passed_to {
            return Err(Failure::Refused(format!(
                "the service `{name}` of team {} has passed to team {team}: say --team {team}",
                identity.team
            )));
        }
        Ok((client, name, place.id))
    }
}

/// What to say when the platform does not know a service.
pub fn unknown(name: &ServiceName) -> Failure {
    Failure::Refused(format!(
        "there is no service `{name}` of this team and environment; `margrave list` tells what \
         there is"
    ))
}
