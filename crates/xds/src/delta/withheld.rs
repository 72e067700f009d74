//! Names that the client asked for and is not given: each is answered as one that does not exist.

use std::collections::BTreeSet;

use tonic::{Code, Status};

use crate::names::text;
use crate::wire::{DeltaRequest, DeltaResponse, ResourceError, WireStatus};

/// Names in one response.
const NAMES_MAX: usize = 512;

/// Names that wait for their answer. They are of one type, as there is one that is withheld.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    type_url: String,
    names: BTreeSet<String>,
    answers: u64,
}

impl Withheld {
    pub(super) fn add(&mut self, request: &DeltaRequest, most: usize) -> Result<(), Status> {
        self.type_url.clone_from(&request.type_url);
        for name in request.subscribe.iter() {
            self.names.insert(text(name)?.to_owned());
        }
        for name in request.unsubscribe.iter() {
            self.names.remove(text(name)?);
        }
        if self.names.len() > most {
            return Err(Status::resource_exhausted("more names than a stream may ask for"));
        }
        Ok(())
    }

    /// The next answer. Nobody waits for what the client makes of it.
    pub(super) fn take(&mut self) -> Option<DeltaResponse> {
        let mut removed = Vec::new();
        while removed.len() < NAMES_MAX
            && let Some(name) = self.names.pop_first()
        {
            removed.push(name);
        }
        self.answers += u64::from(!removed.is_empty());
        let why = "secrets are for clients that have shown by a certificate who they are";
        let error =
            |name: &String| ResourceError::new(name, WireStatus::new(Code::PermissionDenied, why));
        let errors = removed.iter().map(error).collect();
        (!removed.is_empty()).then(|| DeltaResponse {
            system_version: String::new(),
            resources: Vec::new(),
            type_url: self.type_url.clone(),
            nonce: format!("withheld-{}", self.answers),
            removed,
            errors,
        })
    }
}
