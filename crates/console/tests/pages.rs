//! The console over HTTP, on the real store: who gets in, what is seen, and that nothing of a tenant
//! becomes markup.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use console::{Config, Parts, Standing, View};
use http_body_util::BodyExt;
use model::{
    AccessKind, AccessSecret, AuditEntry, CredentialId, Instance, InstanceId, InstanceState,
    Millis, Operation, OperationKind, Owner, Parameters, Plan, Principal, Quota, Requester, Role,
    Spec, StepRecord, StepState, Zone,
};
use serde_json::{Value, json};
use store::sqlite::{Options, Sqlite};
use store::{
    Accept, Accepted, Credential, Credentials, Look, Proofs, Queue, Save, Sessions, Store, Write,
};
use tempfile::TempDir;
use tower::ServiceExt;

struct Fleet;

#[async_trait]
impl View for Fleet {
    async fn standing(&self, _: &InstanceId) -> Option<Standing> {
        Some(Standing {
            revision: 7,
            served: Some(6),
            quarantine: Some("<b>template</b> said no".to_owned()),
            notices: vec!["<i>notice</i>".to_owned()],
            have: Some(2),
            ready: Some(3),
        })
    }
}

struct Harness {
    store: Arc<Sqlite>,
    router: Router,
    now: Arc<AtomicI64>,
    /// Public names elsewhere are to be proven, where there are any.
    zones: Arc<[Zone]>,
    _folder: TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn cookie(&self) -> Option<String> {
        let value = self.headers.get(header::SET_COOKIE)?.to_str().ok()?;
        Some(value.split(';').next()?.to_owned())
    }

    fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION)?.to_str().ok()
    }
}

impl Harness {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Arc::new(AtomicI64::new(1_777_593_600_000));
        let ticking = Arc::clone(&now);
        let clock: Arc<dyn Fn() -> Millis + Send + Sync> =
            Arc::new(move || ticking.fetch_add(1, Ordering::Relaxed));
        let options = Options::new(Arc::clone(&clock));
        let store = Arc::new(Sqlite::open(folder.path().join("store.db"), options).expect("opens"));
        let drawn = AtomicU8::new(0);
        let parts = Parts {
            store: Arc::<Sqlite>::clone(&store),
            search: Arc::<Sqlite>::clone(&store),
            sessions: Arc::<Sqlite>::clone(&store),
            credentials: Arc::<Sqlite>::clone(&store),
            proofs: Arc::<Sqlite>::clone(&store),
            view: Arc::new(Fleet),
            clock,
            random: Arc::new(move || [drawn.fetch_add(1, Ordering::Relaxed); 32]),
        };
        let config = Config { secure: true, internal_port: Some(11080), public_port: Some(10080) };
        let (zones, router) = (Arc::default(), console::router(config, parts));
        Self { store, router, now, zones, _folder: folder }
    }

    fn now(&self) -> Millis {
        self.now.load(Ordering::Relaxed)
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answers");
        let (parts, body) = response.into_parts();
        let policy = parts.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send("GET", path, &[("cookie", cookie)], "").await
    }

    async fn form(&self, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers: Vec<_> = std::iter::once(kind).chain(more.iter().copied()).collect();
        self.send("POST", path, &headers, body.to_owned()).await
    }

    /// A code as `margrave dashboard` gets it.
    async fn code(&self, role: Role, number: u8) -> String {
        let code = AccessSecret::new(AccessKind::Code, &[number; 32]);
        let who = Principal { credential: "<script>alert(1)</script>".to_owned(), role };
        let now = self.now();
        self.store.create_code(code.hash(), who, now, now + 60_000).await.expect("made");
        code.expose().to_owned()
    }

    async fn session(&self, role: Role, number: u8) -> String {
        let code = self.code(role, number).await;
        let entered = self.send("GET", &format!("/enter?code={code}&to=/"), &[], "").await;
        entered.cookie().expect("a session")
    }

    async fn accept(&self, kind: OperationKind, spec: &Spec, space: &str) -> Operation {
        let id: InstanceId = spec.parameters.service.to_string().parse().expect("an id");
        let now = self.now.fetch_add(10, Ordering::Relaxed);
        let by = Requester {
            credential: "<img src=x onerror=alert(1)>".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let before = self.store.instance(&id).await.expect("reads");
        let operation = Operation {
            target: Some(spec.clone()),
            previous: before.as_ref().map(|instance| instance.spec.clone()),
            ..Operation::new(format!("op-{now}").parse().expect("an id"), id.clone(), kind, by, now)
        };
        let instance = Instance {
            id,
            owner: Owner { organization: "margrave".to_owned(), space: space.to_owned() },
            platform_context: json!({}),
            state: InstanceState::Provisioning,
            spec: spec.clone(),
            revision: None,
            created_at: now,
            updated_at: now,
        };
        let seen = before.map(|instance| instance.updated_at);
        let mut accept = Accept::new(operation.clone(), instance, spec.hostnames.clone());
        (accept.quota, accept.zones) = (Some(Quota::default()), Arc::clone(&self.zones));
        assert_eq!(self.store.accept(accept, seen).await.expect("accepts"), Accepted::Yes);
        operation
    }

    /// What a worker does: a step with these words, and the end.
    async fn work(&self, mut operation: Operation, says: &str, ended: bool) {
        let now = self.now();
        let lease = self.store.lease(now, Duration::from_secs(30)).await.expect("leases");
        let fence = lease.expect("a job").fence;
        let state = if ended { StepState::Done } else { StepState::Running };
        operation.steps = vec![StepRecord {
            state,
            attempts: 1,
            started_at: Some(now),
            finished_at: ended.then_some(now + 5),
            note: Some(says.to_owned()),
            ..StepRecord::new("step", says)
        }];
        let mut writes = vec![];
        if ended {
            operation.state = model::OperationState::Succeeded;
            operation.finished_at = Some(now + 5);
            writes.push(Write::Publish(operation.target.clone().expect("a target")));
        }
        let save = Save { fence: fence.clone(), operation, writes, now };
        self.store.save(save).await.expect("saves");
    }
}

fn spec(plan: Plan, parameters: &Value) -> Spec {
    let parameters = Parameters::from_json(&parameters.to_string()).expect("valid");
    let hostname = format!("{}.edge.example", parameters.service).parse().expect("a name");
    Spec { plan, hostnames: vec![hostname], parameters }
}

/// Everything that a tenant may say freely, with markup in it.
fn hostile(body: &str) -> Value {
    json!({
        "service": "shop", "upstream": "http://web.internal:8080",
        "responseHeaders": {"set": {"x-note": "<script>alert(2)</script>\" onload=\"x"}},
        "routes": [
            {"name": "bad", "match": {"prefix": "/bad", "headers": {"x-a": "'><svg/onload=alert(3)>"}},
             "respond": {"status": 418, "body": body}},
            {"name": "old", "match": {"path": "/old"}, "redirect": {"to": "/new", "status": 308}},
        ],
    })
}

fn member(team: &str) -> Role {
    Role::Member { organization: "margrave".to_owned(), teams: BTreeSet::from([team.to_owned()]) }
}

async fn shop(harness: &Harness) {
    let first = spec(Plan::Internal, &hostile("<script>one</script>"));
    let made = harness.accept(OperationKind::Provision, &first, "web").await;
    harness.work(made, "<script>step</script>", true).await;
    let second = spec(Plan::Public, &hostile("</table><script>two</script>"));
    let changed = harness.accept(OperationKind::Update, &second, "web").await;
    harness.work(changed, "waits for <u>somebody</u>", false).await;
}

/// Every element is closed in its order, no attribute comes twice, and no markup is but ours.
fn well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").expect("a doctype");
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a lone > in {}", &rest[..at]);
        let end = rest[at..].find('>').expect("a tag that ends") + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        assert!(!name.is_empty(), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "</{name}>");
        } else if !["meta", "link", "br", "input"].contains(&name.as_str()) {
            open.push(name.clone());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        assert!(!tag.contains(" on"), "<{tag}> has a handler");
        assert!(!tag.starts_with("script") || tag.contains("src=\"/assets/"), "<{tag}>");
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let harness = Harness::new();
    shop(&harness).await;
    let mut seen = Vec::new();
    for path in ["/instances/shop", "/instances/none", "/instances/shop/events", "/", "/nowhere"] {
        let answer = harness.get(path, "margrave_session=mgs_wrong").await;
        assert_eq!(answer.status, 401, "{path}");
        well_formed(&answer.body);
        let plain = answer.body.replace("&#x2f;", "/");
        seen.push(plain.replace(path, "PATH").replace("value=\"/\"", "value=\"PATH\""));
    }
    assert!(seen[..2].iter().all(|page| *page == seen[0]), "what exists cannot be told");
    let member = harness.session(member("pay"), 1).await;
    let (others, none) =
        (harness.get("/instances/shop", &member).await, harness.get("/instances/x", &member).await);
    assert_eq!((others.status, none.status), (404, 404));
    assert_eq!(others.body, none.body, "another team's is not there");
    assert!(!harness.get("/", &member).await.body.contains("/instances/shop"));
}

#[tokio::test]
async fn nothing_of_a_tenant_becomes_markup() {
    let harness = Harness::new();
    shop(&harness).await;
    let cookie = harness.session(member("web"), 1).await;
    let page = harness.get("/instances/shop", &cookie).await;
    assert_eq!(page.status, 200);
    well_formed(&page.body);
    for told in [
        "&lt;script&gt;two",
        "&lt;u&gt;somebody",
        "&lt;b&gt;template",
        "&lt;i&gt;notice",
        "&lt;img src=x",
        "became public",
        "Reached from inside",
        "http://shop.edge.example:11080",
        "2 of 3 have it",
        "usually",
        "answered with 418",
        "redirect to",
        "routes[bad].respond.body",
    ] {
        let plain = page.body.replace("&#x2f;", "/");
        assert!(plain.contains(told), "{told} is not in {plain}");
    }
    assert!(page.body.contains("http-equiv=\"refresh\""), "without a script it is loaded again");
    for path in ["/", "/?q=sh", "/?q=%3Cscript%3E%22", "/login", "/nowhere"] {
        let answer = harness.get(path, &cookie).await;
        assert!([200, 404].contains(&answer.status), "{path}: {}", answer.status);
        well_formed(&answer.body);
    }
}

#[tokio::test]
async fn what_is_to_be_done_about_a_hostname_is_told_until_it_is_done() {
    let mut harness = Harness::new();
    harness.zones = Arc::from(["elsewhere.example".parse().expect("a zone")]);
    let public = spec(Plan::Public, &hostile("hello"));
    let made = harness.accept(OperationKind::Provision, &public, "web").await;
    harness.work(made, "made", true).await;
    let cookie = harness.session(member("web"), 1).await;
    let [proof] = &harness.store.due_proofs(i64::MAX, 9).await.expect("reads")[..] else {
        panic!("one is awaited")
    };
    let problem = "there is <u>none</u>".to_owned();
    let missing = Look::Missing { problem, next_at: None };
    assert!(harness.store.looked(proof, missing, harness.now()).await.expect("writes"));
    let page = harness.get("/instances/shop", &cookie).await.body;
    well_formed(&page);
    for told in ["To do.", "_margrave.shop.edge.example", "margrave-proof=", "&lt;u&gt;none"] {
        assert!(page.contains(told), "{told} is not in {page}");
    }
    let found = Look::Proven("by hand".to_owned());
    assert!(harness.store.looked(proof, found, harness.now()).await.expect("writes"));
    let page = harness.get("/instances/shop", &cookie).await.body;
    assert!(!page.contains("To do."), "{page}");
}

/// Every link of the pages leads somewhere.
#[tokio::test]
async fn every_link_answers() {
    let harness = Harness::new();
    shop(&harness).await;
    let cookie = harness.session(Role::Operator, 1).await;
    let mut seen = BTreeSet::new();
    for page in ["/", "/instances/shop", "/nowhere"] {
        let body = harness.get(page, &cookie).await.body.replace("&#x2f;", "/");
        for attribute in ["href=\"/", "src=\"/"] {
            let links = body.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            seen.extend(links.map(|link| format!("/{link}")));
        }
    }
    assert!(seen.contains("/instances/shop") && seen.contains("/assets/live.js"), "{seen:?}");
    for link in seen {
        assert_eq!(harness.get(&link, &cookie).await.status, 200, "{link}");
    }
}

#[tokio::test]
async fn a_code_opens_one_session_and_leaves_the_address() {
    let harness = Harness::new();
    let code = harness.code(member("web"), 9).await;
    let path = format!("/enter?code={code}&to=/instances/shop");
    let entered = harness.send("GET", &path, &[], "").await;
    assert_eq!((entered.status, entered.location()), (303, Some("/instances/shop")));
    let cookie = entered.headers[header::SET_COOKIE].to_str().expect("text");
    for flag in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let again = harness.send("GET", &path, &[], "").await;
    assert_eq!((again.status, again.cookie()), (401, None));
    assert!(!again.body.contains(&code));
    let old = harness.code(member("web"), 8).await;
    harness.now.fetch_add(61_000, Ordering::Relaxed);
    let late = harness.send("GET", &format!("/enter?code={old}"), &[], "").await;
    assert_eq!((late.status, late.cookie()), (401, None));
}

#[tokio::test]
async fn a_token_logs_in_and_a_form_logs_out() {
    let harness = Harness::new();
    let token = AccessSecret::new(AccessKind::Token, &[5; 32]);
    let credential = Credential {
        id: "c1".parse::<CredentialId>().expect("an id"),
        name: "ci".parse().expect("a name"),
        role: member("web"),
        created_at: harness.now(),
        created_by: "tests".to_owned(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        rotated_at: harness.now(),
    };
    let by = Requester {
        credential: "tests".to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let entry = AuditEntry {
        by,
        action: "token.create".to_owned(),
        object: "ci".to_owned(),
        owner: None,
        detail: json!({}),
    };
    harness.store.create_credential(credential, token.hash(), entry).await.expect("made");
    let body = format!("token={}&to=/", token.expose());
    let foreign = harness.form("/login", &[("sec-fetch-site", "cross-site")], &body).await;
    assert_eq!((foreign.status, foreign.cookie()), (401, None), "another site sent it");
    let wrong = harness.form("/login", &[], "token=mgt_wrong&to=//evil.example").await;
    assert_eq!((wrong.status, wrong.cookie()), (401, None));
    let entered = harness.form("/login", &[("sec-fetch-site", "same-origin")], &body).await;
    assert_eq!((entered.status, entered.location()), (303, Some("/")));
    let cookie = entered.cookie().expect("a session");
    let page = harness.get("/", &cookie).await;
    assert_eq!(page.status, 200);
    let form = page.body.split("name=\"form\" value=\"").nth(1).and_then(|it| it.split('"').next());
    let form = form.expect("a token in the form");
    let cookies = [("cookie", cookie.as_str())];
    assert_eq!(harness.form("/logout", &cookies, "form=00").await.status, 403);
    assert_eq!(harness.get("/logout", &cookie).await.status, 405, "a link logs nobody out");
    assert_eq!(harness.get("/", &cookie).await.status, 200);
    assert_eq!(harness.form("/logout", &cookies, &format!("form={form}")).await.status, 303);
    assert_eq!(harness.get("/", &cookie).await.status, 401);
}

/// The next piece of a stream.
async fn told(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame());
    let frame = frame.await.expect("something is told").expect("it goes on").expect("a frame");
    String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_told_of_news() {
    let harness = Harness::new();
    let first = spec(Plan::Internal, &json!({"service": "shop", "upstream": "http://w:1"}));
    let made = harness.accept(OperationKind::Provision, &first, "web").await;
    harness.work(made, "done", true).await;
    let cookie = harness.session(member("web"), 1).await;
    let page = harness.get("/instances/shop", &cookie).await.body.replace("&#x2f;", "/");
    let events = page.split("data-events=\"").nth(1).and_then(|rest| rest.split('"').next());
    let events = events.expect("where news come from");
    let open = async |path: &str| {
        let request = Request::get(path).header("cookie", &cookie);
        let request = request.body(Body::empty()).expect("a request");
        let response = harness.router.clone().oneshot(request).await.expect("answers");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        response.into_body()
    };
    let mut body = open(events).await;
    let quiet = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
    assert!(quiet.is_err(), "the page shows all that there is");
    let second = spec(Plan::Internal, &json!({"service": "shop", "upstream": "http://w:2"}));
    let made = harness.accept(OperationKind::Update, &second, "web").await;
    assert!(told(&mut body).await.contains("event: news"), "a change that began later");
    harness.work(made, "done", true).await;
    assert!(told(&mut body).await.contains("event: news"), "its end");
    let mut late = open(events).await;
    assert!(told(&mut late).await.contains("event: news"), "what came before the stream");
}
