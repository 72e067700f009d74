//! The bodies of OSB requests. Unknown fields are ignored (OSB 2.17, "Vendor Extension Fields");
//! strictness begins inside `parameters`, whose text is kept so that duplicate keys are seen.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use model::{Owner, Parameters, Plan};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalog::Catalog;
use crate::error::Error;

/// The largest body of a request, in bytes. A descriptor's own limit is below it.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Provision and update; what is required of which is checked by its verb.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) service_id: Option<String>,
    pub(crate) plan_id: Option<String>,
    organization_guid: Option<String>,
    space_guid: Option<String>,
    context: Option<serde_json::Map<String, Value>>,
    parameters: Option<Box<RawValue>>,
    maintenance_info: Option<MaintenanceInfo>,
}

#[derive(Debug, Deserialize)]
struct MaintenanceInfo {
    version: Option<String>,
}

/// The query of a change.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeQuery {
    accepts_incomplete: Option<String>,
    pub(crate) service_id: Option<String>,
    pub(crate) plan_id: Option<String>,
}

impl ChangeQuery {
    /// OSB 2.17, "Asynchronous Operations": everything here is asynchronous.
    pub(crate) fn require_async(&self) -> Result<(), Error> {
        if self.accepts_incomplete.as_deref() == Some("true") {
            return Ok(());
        }
        let description =
            "load balancers are changed asynchronously: send ?accepts_incomplete=true";
        Err(Error::unprocessable("AsyncRequired", description))
    }
}

/// Reads a JSON body. What cannot be read is 400 (OSB 2.17, "Content Type").
pub(crate) async fn read(request: Request<Body>) -> Result<Envelope, Error> {
    let bytes = json_bytes(request).await?;
    serde_json::from_slice(&bytes).map_err(|why| {
        Error::bad_request(format!("the body is not as the specification has it: {why}"))
    })
}

/// The bytes of a body that says it is JSON.
pub(crate) async fn json_bytes(request: Request<Body>) -> Result<axum::body::Bytes, Error> {
    let (parts, body) = request.into_parts();
    let said = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = said.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Error::bad_request(
            "the body must be JSON: send content-type: application/json",
        ));
    }
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or was cut off")
    })
}

impl Envelope {
    /// The plan that is named, or `None`; what is named must exist.
    pub(crate) fn plan(&self, catalog: &Catalog) -> Result<Option<Plan>, Error> {
        catalog.check_service(self.service_id.as_deref())?;
        self.plan_id.as_deref().map(|id| catalog.plan(id)).transpose()
    }

    /// OSB 2.17, "Provisioning": both are required, though deprecated in favour of `context`.
    pub(crate) fn owner(&self) -> Result<Owner, Error> {
        let required = |value: &Option<String>, name: &str| match value.as_deref() {
            Some(text) if !text.is_empty() && text.len() <= OWNER_BYTES_MAX => Ok(text.to_owned()),
            _ => Err(Error::bad_request(format!("{name} is required: 1 to 255 characters"))),
        };
        Ok(Owner {
            organization: required(&self.organization_guid, "organization_guid")?,
            space: required(&self.space_guid, "space_guid")?,
        })
    }

    /// The platform context as received.
    pub(crate) fn context(&self) -> Value {
        Value::Object(self.context.clone().unwrap_or_default())
    }

    /// The parameters' text; `None` when absent.
    pub(crate) fn parameters(&self) -> Result<Option<Parameters>, Error> {
        let given = self.parameters.as_ref().map(|raw| raw.get()).filter(|text| *text != "null");
        given.map(|text| Parameters::from_json(text).map_err(Error::refused)).transpose()
    }

    /// OSB 2.17, "Maintenance Info Object": no plan has one, so any version is another one.
    pub(crate) fn check_maintenance(&self) -> Result<(), Error> {
        match self.maintenance_info.as_ref().and_then(|info| info.version.as_ref()) {
            None => Ok(()),
            Some(version) => Err(Error::unprocessable(
                "MaintenanceInfoConflict",
                format!(
                    "no plan has maintenance_info, so `{version}` is not its version; read the catalog again"
                ),
            )),
        }
    }
}

/// The longest organisation or space, in bytes (OSB recommends at most 255 for strings).
const OWNER_BYTES_MAX: usize = 255;
