//! The bodies of OSB requests. Unknown fields are ignored (OSB 2.17, "Vendor Extension Fields");
//! strictness begins inside `parameters`, whose text is kept so that duplicate keys are seen.

use model::{Owner, Parameters, Plan};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::catalog;
use crate::error::Error;

/// The longest organisation, space, service or plan, in bytes (OSB recommends at most 255).
const ID_BYTES_MAX: usize = 255;
/// The largest platform context, in bytes: names, ids and annotations.
const CONTEXT_BYTES_MAX: usize = 64 << 10;

/// Provision and update; what is required of which is checked by its verb.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Envelope {
    /// The offering's id in the catalog.
    #[schema(required)]
    service_id: Option<String>,
    /// The plan's id in the catalog. Required by a provision; absent in an update: as it is.
    plan_id: Option<String>,
    /// Who owns it. Required by a provision, 1 to 255 bytes.
    organization_guid: Option<String>,
    /// Who owns it, such as a team. Required by a provision, 1 to 255 bytes.
    space_guid: Option<String>,
    /// What the platform knows of the circumstances: at most 64 KiB, kept and not interpreted.
    #[schema(value_type = Option<Object>)]
    context: Option<Map<String, Value>>,
    /// The whole descriptor without `visibility`; its schema is in the catalog. Required by a
    /// provision; absent in an update: as it is.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
    /// The version of the platform that the catalog was read at; another is refused. In an update
    /// of an instance that was last changed under an earlier one: it is published anew.
    maintenance_info: Option<MaintenanceInfo>,
    /// What the platform believes that an update changes: accepted, and not needed.
    #[schema(value_type = Option<Object>)]
    #[expect(dead_code, reason = "it is told in the document, and what it holds does not matter")]
    previous_values: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MaintenanceInfo {
    /// The catalog's.
    version: Option<String>,
}

/// Whether the platform can wait.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes a part of `ChangeQuery`")]
pub(crate) struct Incomplete {
    /// Must be `true`: every change is asynchronous.
    accepts_incomplete: bool,
}

/// The query of a change.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeQuery {
    accepts_incomplete: Option<String>,
    service_id: Option<String>,
    plan_id: Option<String>,
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

    /// Of a deprovision: offering and plan are ours. Which plan the instance has is not asked.
    pub(crate) fn check_ids(&self) -> Result<(), Error> {
        require(&[("service_id", &self.service_id), ("plan_id", &self.plan_id)])?;
        catalog::check_service(self.service_id.as_deref())?;
        catalog::plan(self.plan_id.as_deref()).map(drop)
    }
}

/// Fields that must be there and say something; all that are missing are told at once.
pub(crate) fn require(fields: &[(&str, &Option<String>)]) -> Result<(), Error> {
    let says = |value: &Option<String>| {
        value.as_ref().is_some_and(|text| (1..=ID_BYTES_MAX).contains(&text.len()))
    };
    let wrong: Vec<&str> =
        fields.iter().filter(|(_, value)| !says(value)).map(|(name, _)| *name).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::bad_request(format!("required, 1 to 255 bytes each: {}", wrong.join(", "))))
}

impl Envelope {
    /// Of a provision: all that is required, and the plan.
    ///
    /// OSB 2.17, "Provisioning": organisation and space are required, though deprecated in favour of
    /// `context`.
    pub(crate) fn provision(&self) -> Result<(Plan, Owner), Error> {
        require(&[
            ("service_id", &self.service_id),
            ("plan_id", &self.plan_id),
            ("organization_guid", &self.organization_guid),
            ("space_guid", &self.space_guid),
        ])?;
        catalog::check_service(self.service_id.as_deref())?;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let organization = text(&self.organization_guid);
        let owner = Owner { organization, space: text(&self.space_guid) };
        Ok((catalog::plan(self.plan_id.as_deref())?, owner))
    }

    /// Of an update: the plan, where one is named.
    pub(crate) fn update(&self) -> Result<Option<Plan>, Error> {
        require(&[("service_id", &self.service_id)])?;
        catalog::check_service(self.service_id.as_deref())?;
        self.plan_id.is_some().then(|| catalog::plan(self.plan_id.as_deref())).transpose()
    }

    /// The platform context as received, `None` when absent.
    pub(crate) fn context(&self) -> Result<Option<Value>, Error> {
        let context = self.context.clone().map(Value::Object);
        let bytes = context.as_ref().map_or(0, |context| context.to_string().len());
        if bytes > CONTEXT_BYTES_MAX {
            return Err(Error::bad_request("the context is larger than 64 KiB"));
        }
        Ok(context)
    }

    /// The parameters; `None` when absent.
    pub(crate) fn parameters(&self) -> Result<Option<Parameters>, Error> {
        let read = |raw: &RawValue| Parameters::from_json(raw.get()).map_err(Error::refused);
        self.parameters.as_deref().map(read).transpose()
    }

    /// The parameters; absent ones are empty ones, which says what is missing.
    pub(crate) fn all_parameters(&self) -> Result<Parameters, Error> {
        let text = self.parameters.as_ref().map_or("{}", |raw| raw.get());
        Parameters::from_json(text).map_err(Error::refused)
    }

    /// OSB 2.17, "Maintenance Info Object": whether a version is asked for, which must then be the
    /// present one. An empty object asks for nothing, as client libraries always send one.
    pub(crate) fn check_maintenance(&self, present: &str) -> Result<bool, Error> {
        match self.maintenance_info.as_ref().and_then(|info| info.version.as_ref()) {
            None => Ok(false),
            Some(version) if version == present => Ok(true),
            Some(version) => Err(Error::unprocessable(
                "MaintenanceInfoConflict",
                format!(
                    "the platform is at version `{present}`, not `{version}`; read the catalog again"
                ),
            )),
        }
    }

    /// Whether nothing but the context is there.
    pub(crate) fn is_context_only(&self) -> bool {
        self.context.is_some()
            && self.plan_id.is_none()
            && self.parameters.is_none()
            && self.maintenance_info.as_ref().is_none_or(|info| info.version.is_none())
    }
}
