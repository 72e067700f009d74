//! What tokens and platforms have in common: how they are shown, made, changed and told in the audit
//! log.

use axum::http::HeaderMap;
use model::{
    AccessKind, AccessSecret, AuditEntry, CredentialId, CredentialName, Millis, Owner, Principal,
    Role,
};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Created, Credential};
use utoipa::ToSchema;

use crate::error::Error;
use crate::identity;
use crate::router::Broker;

/// A credential, without its secret, which nobody can be shown again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialView {
    /// Its id.
    id: String,
    /// What operations and the audit log call it.
    name: String,
    /// `operator`, `platform` or `member`.
    role: &'static str,
    /// Of a member: its teams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teams: Vec<String>,
    /// `alive`, `expired` or `revoked`.
    state: &'static str,
    /// Milliseconds since the Unix epoch.
    created_at: Millis,
    /// The credential of whoever made it.
    created_by: String,
    /// Milliseconds since the Unix epoch; null: it does not end by itself.
    expires_at: Option<Millis>,
    /// Milliseconds since the Unix epoch, within an hour; null: never.
    last_used_at: Option<Millis>,
    /// Milliseconds since the Unix epoch.
    revoked_at: Option<Millis>,
    /// When its latest secret was made, in milliseconds since the Unix epoch.
    rotated_at: Millis,
}

impl CredentialView {
    pub(crate) fn of(credential: &Credential, now: Millis) -> Self {
        let state = match credential.revoked_at {
            Some(_) => "revoked",
            None if credential.is_alive(now) => "alive",
            None => "expired",
        };
        Self {
            id: credential.id.to_string(),
            name: credential.name.to_string(),
            role: word(&credential.role),
            teams: teams(&credential.role),
            state,
            created_at: credential.created_at,
            created_by: credential.created_by.clone(),
            expires_at: credential.expires_at,
            last_used_at: credential.last_used_at,
            revoked_at: credential.revoked_at,
            rotated_at: credential.rotated_at,
        }
    }
}

/// A role's word.
pub(crate) fn word(role: &Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::Platform => "platform",
        Role::Member { .. } => "member",
    }
}

/// A member's teams.
pub(crate) fn teams(role: &Role) -> Vec<String> {
    match role {
        Role::Member { teams, .. } => teams.iter().cloned().collect(),
        Role::Operator | Role::Platform => Vec::new(),
    }
}

/// The team that a credential is of, if it is of one.
pub(crate) fn owner(role: &Role) -> Option<Owner> {
    let Role::Member { organization, teams } = role else { return None };
    let only = teams.first().filter(|_| teams.len() == 1)?;
    Some(Owner { organization: organization.clone(), space: only.clone() })
}

/// Who changes a credential, and how that is written down.
pub(crate) struct Change<'a> {
    pub(crate) who: &'a Principal,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) action: &'static str,
}

impl Change<'_> {
    /// The entry of the audit log. It holds no secret, and no hash of one.
    pub(crate) fn entry(&self, credential: &Credential, more: &Value) -> Result<AuditEntry, Error> {
        let mut detail = json!({
            "name": credential.name,
            "role": word(&credential.role),
        });
        if let Role::Member { teams, .. } = &credential.role {
            detail["teams"] = json!(teams);
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            detail[key] = value.clone();
        }
        Ok(AuditEntry {
            by: identity::requester(self.who, self.headers)?,
            action: self.action.to_owned(),
            object: credential.id.to_string(),
            owner: owner(&credential.role),
            detail,
        })
    }
}

impl Broker {
    /// Makes a credential and its secret, which is told once.
    pub(crate) async fn make_credential(
        &self,
        change: &Change<'_>,
        name: CredentialName,
        role: Role,
        expires_at: Option<Millis>,
    ) -> Result<(Credential, AccessSecret), Error> {
        if name.as_str() == self.config.username {
            return Err(taken(&name));
        }
        let kind = match role {
            Role::Platform => AccessKind::Platform,
            Role::Operator | Role::Member { .. } => AccessKind::Token,
        };
        let secret = AccessSecret::new(kind, &(self.parts.random)());
        let now = self.now();
        let credential = Credential {
            id: self.credential_id()?,
            name,
            role,
            created_at: now,
            created_by: change.who.credential.clone(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
            rotated_at: now,
        };
        let entry = change.entry(&credential, &json!({"expires_at": expires_at}))?;
        let credentials = &self.parts.credentials;
        match credentials.create_credential(credential.clone(), secret.hash(), entry).await? {
            Created::Yes => Ok((credential, secret)),
            Created::NameTaken => Err(taken(&credential.name)),
            Created::Full => Err(Error::conflict(
                "the platform holds 10000 credentials, its limit: revoke what is not used; what has \
                 ended is forgotten after 90 days",
            )),
        }
    }

    /// Ends a credential; `None` if there is none that had not ended.
    pub(crate) async fn revoke_credential(
        &self,
        change: &Change<'_>,
        credential: &Credential,
    ) -> Result<Option<Credential>, Error> {
        let (credentials, now) = (&self.parts.credentials, self.now());
        let entry = change.entry(credential, &json!({}))?;
        let ended = credentials.revoke_credential(&credential.id, now, entry).await?;
        Ok(ended.then(|| Credential { revoked_at: Some(now), ..credential.clone() }))
    }

    fn credential_id(&self) -> Result<CredentialId, Error> {
        let id = (self.parts.new_id)().to_string();
        id.parse().map_err(|why: model::NameError| Error::bad_request(why.to_string()))
    }
}

fn taken(name: &CredentialName) -> Error {
    Error::conflict(format!(
        "there is a credential `{name}` already: choose another name, or revoke it"
    ))
}
