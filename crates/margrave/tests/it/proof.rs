//! A hostname outside the allowed zones answers in public once a TXT record says whose it is, and not
//! before, whatever name servers say meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use simple_dns::rdata::{RData, TXT};
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::wire;

/// Longer than anything here takes; only what never happens ends here.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a name server does when it is asked for a name.
#[derive(Debug, Clone)]
enum Does {
    /// Answers with these texts.
    Says(Vec<String>),
    /// Answers by TCP only.
    SaysMore(Vec<String>),
    /// Answers SERVFAIL.
    Fails,
    /// Says nothing.
    Sleeps,
    /// Answers what was not asked, under another number, and garbage.
    Lies(String),
}

/// A name server on loopback. What it does not know is NXDOMAIN.
struct NameServer {
    address: SocketAddr,
    names: Arc<Mutex<BTreeMap<String, Does>>>,
}

impl NameServer {
    async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("bound");
        let udp = UdpSocket::bind(address).await.expect("the same port");
        let names = Arc::new(Mutex::new(BTreeMap::new()));
        tokio::spawn(by_datagram(udp, Arc::clone(&names)));
        tokio::spawn(by_stream(tcp, Arc::clone(&names)));
        Self { address, names }
    }

    fn set(&self, name: &str, does: Does) {
        self.names.lock().expect("sound").insert(name.to_owned(), does);
    }
}

type Names = Arc<Mutex<BTreeMap<String, Does>>>;

fn asked(names: &Names, query: &Packet<'_>) -> Option<Does> {
    let name = query.questions[0].qname.to_string();
    names.lock().expect("sound").get(&name).cloned()
}

/// A reply with these texts; `id` makes it another question's.
fn reply(bytes: &[u8], texts: &[String], id: u16, rcode: RCODE, is_cut: bool) -> Vec<u8> {
    let query = Packet::parse(bytes).expect("a query");
    let name = query.questions[0].qname.clone();
    let mut reply = query.into_reply();
    reply.set_id(id);
    *reply.rcode_mut() = rcode;
    if is_cut {
        reply.set_flags(PacketFlag::TRUNCATION);
    }
    for text in texts {
        let text = RData::TXT(TXT::try_from(text.as_str()).expect("a text"));
        reply.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 1, text));
    }
    reply.build_bytes_vec().expect("a packet")
}

async fn by_datagram(socket: UdpSocket, names: Names) {
    let mut bytes = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        let query = Packet::parse(&bytes[..length]).expect("a query");
        let (id, ok) = (query.id(), RCODE::NoError);
        let reply =
            |texts: &[String], id, rcode, cut| reply(&bytes[..length], texts, id, rcode, cut);
        let replies = match asked(&names, &query) {
            None => vec![reply(&[], id, RCODE::NameError, false)],
            Some(Does::Says(texts)) => vec![reply(&texts, id, ok, false)],
            Some(Does::SaysMore(_)) => vec![reply(&[], id, ok, true)],
            Some(Does::Fails) => vec![reply(&[], id, RCODE::ServerFailure, false)],
            Some(Does::Sleeps) => vec![],
            Some(Does::Lies(text)) => {
                vec![reply(&[text], id.wrapping_add(1), ok, false), b"garbage".to_vec()]
            }
        };
        for reply in replies {
            socket.send_to(&reply, from).await.expect("sent");
        }
    }
}

async fn by_stream(listener: TcpListener, names: Names) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut bytes = vec![0; stream.read_u16().await.expect("a length").into()];
        stream.read_exact(&mut bytes).await.expect("a query");
        let query = Packet::parse(&bytes).expect("a query");
        let Some(Does::SaysMore(texts)) = asked(&names, &query) else { continue };
        let reply = reply(&bytes, &texts, query.id(), RCODE::NoError, false);
        let length = u16::try_from(reply.len()).expect("a length");
        stream.write_all(&[&length.to_be_bytes(), &reply[..]].concat()).await.expect("sent");
    }
}

async fn start(dns: &NameServer) -> Platform {
    let options = Options::default()
        .argument("--dns-zones", "example.com")
        .argument("--dns-server", dns.address.to_string());
    Platform::start_with(options).await
}

fn service(name: &str, upstream: &str, hostnames: &[&str]) -> Value {
    json!({"service": name, "upstream": upstream, "visibility": "public", "hostnames": hostnames})
}

async fn statuses(platform: &Platform, host: &str) -> (u16, u16) {
    let (public, internal) = (platform.endpoints.public, platform.endpoints.internal);
    (wire::get(public, host, "/").await.status, wire::get(internal, host, "/").await.status)
}

/// Asks for a look, once the last one is old enough; what it says then.
async fn verify(platform: &Platform, host: &str) -> Value {
    sleep(Duration::from_millis(2100)).await;
    let path = format!("/v1/hostnames/{host}/verify");
    let reply = platform.call("POST", &path, None).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

async fn until_public(platform: &Platform, host: &str) {
    let end = Instant::now() + PATIENCE;
    while wire::get(platform.endpoints.public, host, "/").await.status != 200 {
        assert!(Instant::now() < end, "{host} does not answer in public: {}", platform.log());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn conditions(platform: &Platform, id: &str) -> Vec<Value> {
    let body = platform.call("GET", &format!("/v1/instances/{id}"), None).await.body;
    body["conditions"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_outside_the_zones_is_public_once_it_is_proven() {
    let dns = NameServer::start().await;
    let (mut platform, web) = (start(&dns).await, Backend::start("web").await);
    let hosts = ["shop.acme.org", "shop.example.com"];
    let accepted = platform.put("shop", &service("shop", &web.url(), &hosts)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let ended = platform.end("shop").await;
    assert!(ended.succeeded(), "{ended:?}");

    // What needs no proof is live, and what does is told with the record to make.
    assert_eq!(statuses(&platform, "shop.example.com").await, (200, 200));
    assert_eq!(statuses(&platform, "shop.acme.org").await, (404, 200));
    let found = conditions(&platform, "shop").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["type"], "HostnameProof");
    assert_eq!(found[0]["record"]["name"], "_margrave.shop.acme.org");
    let value = found[0]["record"]["value"].as_str().expect("a value").to_owned();
    assert!(ended.description.contains("_margrave.shop.acme.org"), "{ended:?}");
    assert!(ended.description.contains(&value), "{ended:?}");

    let near = "_margrave.shop.acme.org";
    for (does, says) in [
        (Does::Says(vec!["v=spf1 -all".to_owned()]), "another value"),
        (Does::Says(vec![format!("{value}0")]), "the value of another team"),
        (Does::Fails, "SERVFAIL"),
        (Does::Sleeps, "does not answer"),
        (Does::Lies(value.clone()), "does not answer"),
        (Does::SaysMore(vec!["x".repeat(200); 200]), "larger than 32 KiB"),
    ] {
        let told = format!("{does:?}");
        dns.set(near, does);
        let answer = verify(&platform, "shop.acme.org").await;
        let problem = answer["condition"]["problem"].as_str().unwrap_or_default().to_owned();
        assert!(problem.contains(says), "{told}: {answer}");
        assert_eq!(statuses(&platform, "shop.acme.org").await, (404, 200), "{told}");
    }

    let asked = platform.margrave(&["hostname", "verify", "shop.acme.org"]).await;
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert_eq!(asked.status.code(), Some(2), "{said}");
    assert!(said.contains(&value) && said.contains("larger than 32 KiB"), "{said}");

    // By TCP among others, as it is with whoever has many.
    let mut many = vec!["x".repeat(200); 20];
    many.push(value.clone());
    dns.set(near, Does::SaysMore(many));
    let answer = verify(&platform, "shop.acme.org").await;
    assert!(answer["provenAt"].is_i64(), "{answer}");
    until_public(&platform, "shop.acme.org").await;
    let asked = platform.margrave(&["hostname", "verify", "shop.acme.org"]).await;
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    assert!(String::from_utf8_lossy(&asked.stdout).contains("proven"), "{asked:?}");
    assert_eq!(conditions(&platform, "shop").await, Vec::<Value>::new());
    assert_eq!(statuses(&platform, "shop.example.com").await, (200, 200));

    // What was found once is found, whatever becomes of the record, of the process, and in an update.
    dns.set(near, Does::Fails);
    platform.kill().await;
    platform.restart().await;
    until_public(&platform, "shop.acme.org").await;
    let more = ["shop.acme.org", "shop.example.com", "www.acme.org"];
    platform.update("shop", &service("shop", &web.url(), &more)).await;
    assert_eq!(statuses(&platform, "shop.acme.org").await, (200, 200));
    assert_eq!(statuses(&platform, "www.acme.org").await, (404, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_above_is_enough_for_its_team_and_for_nobody_else() {
    let dns = NameServer::start().await;
    let (platform, web) = (start(&dns).await, Backend::start("web").await);
    platform.put("a", &service("a", &web.url(), &["a.acme.org"])).await;
    assert!(platform.end("a").await.succeeded());
    assert_eq!(statuses(&platform, "a.acme.org").await, (404, 200));
    let value = conditions(&platform, "a").await[0]["record"]["value"].clone();
    let value = value.as_str().expect("a value").to_owned();
    dns.set("_margrave.acme.org", Does::Says(vec![value]));

    // Of the same team, and looked for by itself.
    platform.put("b", &service("b", &web.url(), &["b.acme.org"])).await;
    assert!(platform.end("b").await.succeeded());
    until_public(&platform, "b.acme.org").await;

    // Of another team: the record is not its own.
    let mut envelope = platform.envelope(&service("c", &web.url(), &["c.acme.org"]));
    envelope["space_guid"] = json!("others");
    let path = "/v2/service_instances/c?accepts_incomplete=true";
    assert_eq!(platform.call("PUT", path, Some(&envelope)).await.status, 202);
    assert!(platform.end("c").await.succeeded());
    let answer = verify(&platform, "c.acme.org").await;
    let problem = answer["condition"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("the value of another team"), "{answer}");
    assert_eq!(statuses(&platform, "c.acme.org").await, (404, 200));

    // A zone that an operator allows the team needs no record.
    let policy = json!({"zones": ["acme.org"]});
    let reply = platform.call("PUT", "/v1/teams/others?organization=stories", Some(&policy)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    until_public(&platform, "c.acme.org").await;

    // What a person reads.
    let told = platform.call("GET", "/v2/service_instances/c/last_operation", None).await;
    assert!(!told.body["description"].as_str().unwrap_or_default().contains("not in public"));
    assert!(platform.metric("margrave_proof_looks_total").await >= 3.0);
}
