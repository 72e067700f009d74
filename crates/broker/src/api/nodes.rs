//! Proxies that have joined, and the tokens that let hosts join, for operators.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{AccessKind, AccessSecret, AuditEntry, GroupName, Millis, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{JOIN_TOKENS_MAX, JoinToken, Joined, NodeFilter, PAGE_ROWS_MAX};
use utoipa::{IntoParams, ToSchema};

use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity::requester;
use crate::joining::Joining;
use crate::lasting;
use crate::principal::Operator;
use crate::router::Broker;

/// How long a token is good unless asked otherwise, and at the longest: as long as it takes to type.
const TTL_S: u64 = 10 * 60;
const TTL_S_MAX: u64 = 60 * 60;
/// Rows of a page unless asked otherwise.
const PAGE_ROWS: usize = 100;

/// A host to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewJoinToken {
    /// The group of proxies that it joins: `node.cluster`.
    #[schema(value_type = String)]
    group: GroupName,
    /// What it will be called: `node.id`. One that is there begins anew. Absent: the platform chooses.
    #[schema(value_type = Option<String>)]
    node: Option<NodeId>,
    /// How long it is good, from `1s` to `60m`; absent: `10m`.
    ttl: Option<String>,
}

/// A token that lets one host in, once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeJoinToken {
    /// The secret: told here, and never again.
    secret: String,
    /// The group that the host joins.
    #[schema(value_type = String)]
    group: GroupName,
    /// What it will be called; absent: the platform chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    node: Option<NodeId>,
    /// When it ends, in milliseconds since the Unix epoch.
    expires_at: Millis,
}

/// A proxy that has joined.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeView {
    /// `node.id`.
    node: String,
    /// `node.cluster`; empty: this platform was restored, and does not know the node that it has revoked.
    group: String,
    /// `joined`, `expired` or `revoked`.
    state: &'static str,
    /// When it joined last, in milliseconds since the Unix epoch.
    joined_at: Millis,
    /// The credential of whoever made its token.
    invited_by: String,
    /// The number of its latest certificate.
    serial: String,
    /// When that was issued.
    issued_at: Millis,
    /// When that ends.
    not_after: Millis,
    /// When it was revoked.
    revoked_at: Option<Millis>,
}

impl NodeView {
    /// Revoked by its name alone, after a restore.
    fn unknown(node: &NodeId, now: Millis) -> Self {
        let none = String::new;
        Self {
            node: node.to_string(),
            group: none(),
            state: "revoked",
            joined_at: now,
            invited_by: none(),
            serial: none(),
            issued_at: now,
            not_after: now,
            revoked_at: Some(now),
        }
    }

    fn of(it: Joined, now: Millis) -> Self {
        let state = match it.revoked_at {
            Some(_) => "revoked",
            None if now < it.certificate.not_after => "joined",
            None => "expired",
        };
        Self {
            node: it.node.to_string(),
            group: it.group.to_string(),
            state,
            joined_at: it.joined_at,
            invited_by: it.invited_by,
            serial: it.certificate.serial,
            issued_at: it.certificate.issued_at,
            not_after: it.certificate.not_after,
            revoked_at: it.revoked_at,
        }
    }
}

/// Proxies that have joined.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nodes {
    /// In order of name.
    nodes: Vec<NodeView>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which proxies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NodesQuery {
    /// Of this group.
    group: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
}

/// Make a token that lets one host join a group as a proxy. It is told in the answer, and never again.
#[utoipa::path(post, path = "/v1/join-tokens", tag = "fleet", operation_id = "createJoinToken",
    request_body = NewJoinToken, responses(
    (status = 201, description = "It is made", body = MadeJoinToken),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 409, description = "There are too many, or proxies do not join this platform", body = ErrorBody),
))]
pub(crate) async fn invite(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<NewJoinToken>,
) -> Result<(StatusCode, Json<MadeJoinToken>), Error> {
    let joining = Joining::of(&broker)?;
    let now = broker.now();
    let ttl_s = wish.ttl.as_deref().map_or(Some(TTL_S), lasting::seconds);
    let ttl_s = ttl_s.filter(|ttl_s| (1..=TTL_S_MAX).contains(ttl_s)).ok_or_else(|| {
        Error::bad_request("a join token lasts from 1s to 60m: say `ttl` as in `10m`")
    })?;
    let token = JoinToken {
        group: wish.group,
        node: wish.node,
        created_at: now,
        created_by: who.credential.clone(),
        expires_at: now.saturating_add_unsigned(ttl_s * 1000),
    };
    let secret = AccessSecret::new(AccessKind::Join, &(broker.parts.random)());
    let entry = AuditEntry {
        by: requester(&who, &headers)?,
        action: "join-token.create".to_owned(),
        object: token.group.to_string(),
        owner: None,
        detail: json!({"node": token.node, "expires_at": token.expires_at}),
    };
    if !joining.nodes.create_join_token(token.clone(), secret.hash(), entry).await? {
        return Err(Error::conflict(format!(
            "there are {JOIN_TOKENS_MAX} join tokens that nobody has used: wait until they end"
        )));
    }
    let JoinToken { group, node, expires_at, .. } = token;
    let secret = secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(MadeJoinToken { secret, group, node, expires_at })))
}

/// List the proxies that have joined.
#[utoipa::path(get, path = "/v1/nodes", tag = "fleet", operation_id = "listNodes",
    params(NodesQuery), responses(
    (status = 200, description = "As it is now", body = Nodes),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 409, description = "Proxies do not join this platform", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
    Asked(query): Asked<NodesQuery>,
) -> Result<Json<Nodes>, Error> {
    let joining = Joining::of(&broker)?;
    let limit = query.limit.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(Error::bad_request("`limit` is from 1 to 1000"));
    }
    let group = query.group.as_deref().map(crate::extract::parse).transpose()?;
    let after = query.after.as_deref().map(crate::extract::parse).transpose()?;
    let found = joining.nodes.nodes(NodeFilter { group, after, limit }).await?;
    let next = (found.len() == limit).then(|| found.last().map(|it| it.node.to_string()));
    let now = broker.now();
    let nodes = found.into_iter().map(|it| NodeView::of(it, now)).collect();
    Ok(Json(Nodes { nodes, next: next.flatten() }))
}

/// Revoke a proxy: its streams end at once, and its certificates open nothing any more. A platform that was
/// restored revokes also a name that it does not know.
#[utoipa::path(delete, path = "/v1/nodes/{node}", tag = "fleet", operation_id = "revokeNode",
    params(("node" = String, Path, description = "`node.id`", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")), responses(
    (status = 200, description = "It is revoked", body = NodeView),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "There is none, or it was revoked before", body = ErrorBody),
    (status = 409, description = "Proxies do not join this platform", body = ErrorBody),
))]
pub(crate) async fn revoke(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
    Id(node): Id<NodeId>,
) -> Result<Json<NodeView>, Error> {
    let joining = Joining::of(&broker)?;
    let entry = AuditEntry {
        by: requester(&who, &headers)?,
        action: "node.revoke".to_owned(),
        object: node.to_string(),
        owner: None,
        detail: json!({}),
    };
    let now = broker.now();
    let missing = || Error::not_found(format!("no proxy `{node}` has joined that is not revoked"));
    if !joining.nodes.revoke_node(&node, now, entry).await? {
        return Err(missing());
    }
    Ok(Json(match joining.nodes.node(&node).await? {
        Some(revoked) => NodeView::of(revoked, now),
        None => NodeView::unknown(&node, now),
    }))
}
