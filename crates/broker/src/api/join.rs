//! A host joins as a proxy, and stays one. Nobody has a credential here: the first brings a token, the
//! second proves that it has the key of the certificate that it shows.

use std::sync::Arc;

use authority::{AuthorityError, Issued, ProxyName, Request};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use model::{AccessKind, AccessSecret, AuditEntry, Millis, Requester};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Certified, Join, Joins, Renewal, Renews};
use utoipa::ToSchema;

use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::Peer;
use crate::joining::Joining;
use crate::router::Broker;

/// Random bytes in a name that the platform chooses.
const CHOSEN_BYTES: usize = 4;
/// The longest proof, in bytes of base64. Ours have about 96.
const PROOF_BYTES_MAX: usize = 256;

/// A host that joins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joiner {
    /// What `margrave join-token create` told.
    token: String,
    /// A request for a certificate (PKCS #10), PEM, of a key of ECDSA on P-256. What it says of names
    /// is not read.
    request: String,
}

/// A proxy that renews its certificate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renewer {
    /// The certificate that it has, PEM, which has not ended.
    certificate: String,
    /// The request for the next (PKCS #10), PEM, of another key of ECDSA on P-256.
    request: String,
    /// A signature by the key of the certificate (ECDSA on P-256 with SHA-256, ASN.1, base64) of the
    /// line `margrave renewal 1` and the SHA-256 of the request's DER.
    proof: String,
}

/// What a proxy connects with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Admission {
    /// `node.id`, which it must say of itself.
    node: String,
    /// `node.cluster`, the same.
    group: String,
    /// Its certificate, PEM.
    certificate: String,
    /// By whom the control plane's certificate is signed, PEM.
    authority: String,
    /// The DNS name in the control plane's certificate.
    server_name: String,
    /// Where the control plane listens: `ADDRESS:PORT`.
    xds: String,
    /// When the certificate was issued, in milliseconds since the Unix epoch.
    issued_at: Millis,
    /// When it ends; renew it when two thirds of its life are over.
    not_after: Millis,
}

impl Admission {
    fn new(joining: &Joining, name: &ProxyName, issued: Issued, issued_at: Millis) -> Self {
        let listener = (joining.listener)();
        Self {
            node: name.node.to_string(),
            group: name.group.to_string(),
            certificate: issued.pem,
            authority: listener.authority,
            server_name: listener.server_name,
            xds: listener.address,
            issued_at,
            not_after: issued.not_after,
        }
    }
}

fn certified(issued: &Issued, issued_at: Millis) -> Certified {
    Certified { serial: issued.serial.clone(), issued_at, not_after: issued.not_after }
}

fn refused(why: AuthorityError) -> Error {
    match why {
        AuthorityError::Authority(_) => {
            tracing::error!(%why, "a certificate was not issued");
            Error::unavailable("no certificate can be issued now")
        }
        AuthorityError::Request(_) => Error::bad_request(why.to_string()),
        AuthorityError::Certificate(_) | AuthorityError::Proof => Error::forbidden(why.to_string()),
    }
}

fn no_token() -> Error {
    Error::forbidden(
        "the join token is not good: it was used, has ended, or never was one. An operator makes \
         another: `margrave join-token create --group GROUP`",
    )
}

/// Join as a proxy: a token, which is used up, and a request become a certificate.
#[utoipa::path(post, path = "/v1/join", tag = "fleet", operation_id = "join", security(()),
    request_body = Joiner, responses(
    (status = 200, description = "It has joined", body = Admission),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "The token is not good", body = ErrorBody),
    (status = 409, description = "The name is taken, or proxies do not join this platform", body = ErrorBody),
))]
pub(crate) async fn join(
    State(broker): State<Arc<Broker>>,
    Peer(from): Peer,
    JsonBody(wish): JsonBody<Joiner>,
) -> Result<Json<Admission>, Error> {
    let joining = Joining::of(&broker)?;
    let secret = wish.token.parse::<AccessSecret>().ok();
    let secret = secret.filter(|secret| secret.kind() == AccessKind::Join);
    let now = broker.now();
    let token = match &secret {
        Some(secret) => joining.nodes.join_token(&secret.hash(), now).await?,
        None => None,
    };
    let (Some(secret), Some(token)) = (secret.as_ref(), token) else {
        return Err(broker.not_let_in(from, no_token()));
    };
    // What costs most comes last: whoever has no token has cost a look into an index.
    let asked = Request::read(&wish.request).map_err(refused)?;
    let node = match token.node {
        Some(node) => node,
        None => {
            let random = (broker.parts.random)();
            let end = HEXLOWER.encode(&random[..CHOSEN_BYTES]);
            crate::extract::parse(&format!("{}-{end}", token.group))?
        }
    };
    let name = ProxyName { group: token.group, node };
    let issued = joining.issue(&broker, &asked, &name, now).map_err(refused)?;
    let by = Requester {
        credential: token.created_by,
        originating_identity: None,
        request_identity: None,
    };
    let entry = AuditEntry {
        by,
        action: "node.join".to_owned(),
        object: name.node.to_string(),
        owner: None,
        detail: json!({"group": name.group, "serial": issued.serial, "not_after": issued.not_after}),
    };
    let certificate = certified(&issued, now);
    let join = Join { secret: secret.hash(), node: name.node.clone(), certificate, entry };
    match joining.nodes.join(join).await? {
        Joins::Yes => Ok(Json(Admission::new(joining, &name, issued, now))),
        Joins::NoToken => Err(broker.not_let_in(from, no_token())),
        Joins::Taken => Err(Error::conflict(format!(
            "there is a proxy `{}` already: of another group, or by chance; ask for another token",
            name.node
        ))),
        Joins::Full => Err(Error::conflict("too many proxies have joined: revoke some")),
    }
}

/// Renew a proxy's certificate, by proof that the key of the one that it has is its own. A certificate
/// that has ended or was revoked renews nothing: the host joins again with another token.
#[utoipa::path(post, path = "/v1/join/renew", tag = "fleet", operation_id = "renewNode", security(()),
    request_body = Renewer, responses(
    (status = 200, description = "It has another", body = Admission),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "The certificate or the proof is not good", body = ErrorBody),
    (status = 409, description = "It renews too often, or proxies do not join this platform", body = ErrorBody),
))]
pub(crate) async fn renew(
    State(broker): State<Arc<Broker>>,
    Peer(from): Peer,
    JsonBody(wish): JsonBody<Renewer>,
) -> Result<Json<Admission>, Error> {
    let joining = Joining::of(&broker)?;
    let asked = Request::read(&wish.request).map_err(refused)?;
    let now = broker.now();
    let judged = joining.authority.recognise(&wish.certificate).and_then(|shown| {
        let proof = Some(&wish.proof).filter(|text| text.len() <= PROOF_BYTES_MAX);
        let proof = proof.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        shown.verify(&asked, &proof)?;
        Ok(shown)
    });
    let shown = judged.map_err(|why| broker.not_let_in(from, refused(why)))?;
    let again = |why: &str| {
        Error::forbidden(format!(
            "the certificate of `{}` {why}: join again, with a token that an operator makes",
            shown.name.node
        ))
    };
    if !shown.is_good(now) {
        return Err(again("has ended"));
    }
    let name = shown.name.clone();
    let issued = joining.issue(&broker, &asked, &name, now).map_err(refused)?;
    let new = certified(&issued, now);
    let old = Certified {
        serial: shown.serial.clone(),
        issued_at: shown.issued_at(),
        not_after: shown.not_after,
    };
    let (node, group) = (name.node.clone(), name.group.clone());
    match joining.nodes.renew(Renewal { node, group, old, new }).await? {
        Renews::Yes => Ok(Json(Admission::new(joining, &name, issued, now))),
        Renews::Revoked => Err(again("was revoked")),
        Renews::TooMany => Err(Error::conflict(
            "this proxy has too many certificates that have not ended, or too many proxies have joined: renew \
             less often, or revoke some",
        )),
    }
}
