//! Teams: names that are kept for whom they were, wildcards by grant, names below them by consent, limits,
//! and a service that passes from one to another while it is asked.

use std::process::Output;

use serde_json::Value;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::tenants::Loop;
use crate::wire;

/// A platform, and what people type at it.
struct Town {
    platform: Platform,
}

/// What a command has said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    /// The command that a refusal shows, without `margrave`, as a shell takes its words.
    fn command(&self) -> Vec<String> {
        let shown = self.err.split('`').find_map(|text| text.strip_prefix("margrave "));
        let shown = shown.unwrap_or_else(|| panic!("no command is shown: {self:?}"));
        shown.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    /// The lines that tell of the refusal.
    fn refusal(&self) -> Vec<&str> {
        self.err.lines().filter(|line| line.starts_with("error[")).collect()
    }
}

impl Town {
    async fn new() -> Self {
        Self { platform: Platform::start().await }
    }

    async fn run(&self, line: &[&str]) -> Said {
        self.platform.margrave(line).await.into()
    }

    async fn done(&self, line: &[&str]) -> Said {
        let said = self.run(line).await;
        assert_eq!(said.code, Some(0), "margrave {line:?}: {said:?}\n{}", self.platform.log());
        said
    }

    async fn json(&self, line: &[&str]) -> Value {
        let said = self.done(&[line, &["-o", "json"]].concat()).await;
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
    }

    fn write(&self, team: &str, descriptor: &str) -> String {
        let file = format!("{team}.yaml");
        std::fs::write(self.platform.state().join(&file), descriptor).expect("written");
        file
    }

    /// What comes of a team's descriptor.
    async fn apply(&self, team: &str, descriptor: &str) -> Said {
        let file = self.write(team, descriptor);
        self.run(&["apply", "-f", &file, "--team", team]).await
    }

    async fn applied(&self, team: &str, descriptor: &str) {
        let said = self.apply(team, descriptor).await;
        assert_eq!(said.code, Some(0), "{said:?}\n{}", self.platform.log());
    }

    /// It is refused, in the same words beforehand, and the words show this command.
    async fn refused(&self, team: &str, descriptor: &str, command: &str) -> Said {
        let file = self.write(team, descriptor);
        let asked = self.run(&["validate", "-f", &file, "--team", team]).await;
        let said = self.apply(team, descriptor).await;
        assert_eq!((asked.code, said.code), (Some(3), Some(3)), "{asked:?}\n{said:?}");
        assert_eq!(said.command().join(" "), command, "{said:?}");
        // Seconds of a wait may have passed between the two.
        let same = |said: &Said| {
            let lines = said.refusal().join("\n");
            lines.split(char::is_numeric).collect::<String>()
        };
        assert_eq!(same(&asked), same(&said));
        said
    }

    /// Who answers to a name: the backend, or the status.
    async fn answers(&self, host: &str) -> String {
        let answer = wire::get(self.platform.endpoints.public, host, "/").await;
        answer.backend().map_or_else(|| answer.status.to_string(), str::to_owned)
    }
}

fn descriptor(service: &str, upstream: &str, hostnames: &[&str]) -> String {
    let hostnames: Vec<_> = hostnames.iter().map(|name| format!("'{name}'")).collect();
    let hostnames = hostnames.join(", ");
    format!(
        "service: {service}\nupstream: {upstream}\nvisibility: public\nhostnames: [{hostnames}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_given_up_is_kept_for_its_team() {
    let (town, web) = (Town::new().await, Backend::start("web").await);
    let pay = Backend::start("pay").await;
    let (theirs, others) = (
        descriptor("site", &web.url(), &["old.example.com"]),
        descriptor("till", &pay.url(), &["old.example.com"]),
    );
    town.applied("web", &theirs).await;
    town.done(&["delete", "site", "--team", "web", "--yes"]).await;
    let said = town.refused("pay", &others, "transfer offer").await;
    for word in ["MG2101", "was web's, through service `site`", "until 20"] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    town.applied("web", &theirs).await;
    assert_eq!(town.answers("old.example.com").await, "web");
    town.done(&["delete", "site", "--team", "web", "--yes"]).await;
    let show = town.json(&["hostname", "show", "old.example.com"]).await;
    assert_eq!(show["reserved"]["team"], "web");
    // What the refusal says that operators can do.
    assert!(said.err.contains("`margrave hostname release old.example.com`"), "{}", said.err);
    town.done(&["hostname", "release", "old.example.com"]).await;
    town.applied("pay", &others).await;
    assert_eq!(town.answers("old.example.com").await, "pay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_granted_and_names_below_it_want_consent() {
    let (town, web) = (Town::new().await, Backend::start("web").await);
    let pay = Backend::start("pay").await;
    let all = descriptor("shop", &web.url(), &["*.shop.example.com"]);
    let grant = "team set web --grant *.shop.example.com";
    let said = town.refused("web", &all, grant).await;
    town.done(&said.command().iter().map(String::as_str).collect::<Vec<_>>()).await;
    town.applied("web", &all).await;
    assert_eq!(town.answers("a.shop.example.com").await, "web");

    let one = descriptor("till", &pay.url(), &["pay.shop.example.com"]);
    let consent = "hostname consent pay.shop.example.com --to pay";
    let said = town.refused("pay", &one, consent).await;
    assert_eq!(town.answers("pay.shop.example.com").await, "web", "nothing has changed");
    town.done(&said.command().iter().map(String::as_str).collect::<Vec<_>>()).await;
    town.applied("pay", &one).await;
    let both = async || {
        (town.answers("pay.shop.example.com").await, town.answers("b.shop.example.com").await)
    };
    assert_eq!(both().await, ("pay".to_owned(), "web".to_owned()));

    town.done(&["hostname", "withdraw", "pay.shop.example.com"]).await;
    // Its holder keeps it, also when it changes.
    let changed = format!("{one}responseHeaders: {{set: {{x-till: '2'}}}}\n");
    town.applied("pay", &changed).await;
    assert_eq!(both().await, ("pay".to_owned(), "web".to_owned()));
    town.done(&["delete", "till", "--team", "pay", "--yes"]).await;
    assert_eq!(town.answers("pay.shop.example.com").await, "web", "the wildcard has it again");
    town.refused("pay", &one, consent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_and_raised_by_what_is_told() {
    let (town, web) = (Town::new().await, Backend::start("web").await);
    town.applied("web", &descriptor("first", &web.url(), &["first.example.com"])).await;
    let second = descriptor("second", &web.url(), &["second.example.com"]);
    let routes =
        format!("{second}routes: [{{name: x, match: {{path: /x}}, respond: {{status: 204}}}}]\n");
    for (flag, limit, wish, raised, code) in [
        ("--instances", "1", &second, "2", "QuotaExceeded"),
        ("--hostnames", "1", &second, "2", "QuotaExceeded"),
        ("--routes", "0", &routes, "1", "QuotaExceeded"),
        ("--changes-per-minute", "0", &second, "1", "TooManyChanges"),
    ] {
        let before = town.json(&["team", "show", "web"]).await;
        let set = town.json(&["team", "set", "web", flag, limit]).await;
        assert_eq!(set["policy"]["wildcards"], before["policy"]["wildcards"]);
        let command = format!("team set web {flag} {raised}");
        let said = town.refused("web", wish, &command).await;
        assert!(said.err.contains("MG2501") && said.err.contains("team web may have"), "{said:?}");
        let reply = town.platform.call("POST", "/v1/validate", Some(&wish_of(wish))).await;
        assert_eq!((reply.status, &reply.body["error"]), (422, &Value::from(code)), "{reply:?}");
        assert_eq!(reply.body["refusals"][0]["code"], "MG2501", "{reply:?}");
        // What is asked for is let through once that command has been typed.
        town.done(&said.command().iter().map(String::as_str).collect::<Vec<_>>()).await;
        town.applied("web", wish).await;
        town.done(&["team", "set", "web", flag, "default"]).await;
        town.done(&["delete", "second", "--team", "web", "--yes"]).await;
    }
    // The second change in a minute is told how long to wait, and a team that is not web does not care.
    town.done(&["team", "set", "web", "--changes-per-minute", "1"]).await;
    town.applied("web", &second).await;
    let third = descriptor("third", &web.url(), &["third.example.com"]);
    let said = town.refused("web", &third, "team set web --changes-per-minute 2").await;
    assert!(said.err.contains("wait "), "{said:?}");
    let reply = town.platform.call("POST", "/v1/validate", Some(&wish_of(&third))).await;
    assert!(reply.retry_after.is_some(), "{reply:?}");
    town.applied("pay", &third).await;
}

/// A descriptor as the API takes it.
fn wish_of(descriptor: &str) -> Value {
    let mut parameters =
        model::Descriptor::from_yaml(descriptor).expect("good").parameters.to_json();
    serde_json::json!({"team": "web", "plan": "public", "parameters": parameters.take()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_passes_to_another_team_under_load() {
    let (town, old) = (Town::new().await, Backend::start("old").await);
    let new = Backend::start("new").await;
    let host = "cart.example.com";
    town.applied("shop", &descriptor("cart", &old.url(), &[host])).await;
    let before = town.json(&["status", "cart", "--team", "shop"]).await;
    let requests = Loop::start(town.platform.endpoints.public, 4);
    requests.allow(host, &["old"]);

    let offer = town.json(&["transfer", "offer", "cart", "--team", "shop", "--to", "till"]).await;
    assert_eq!((&offer["to"]["team"], &offer["hostnames"][0]), (&"till".into(), &host.into()));
    for team in ["shop", "till"] {
        let seen = town.json(&["transfer", "list", "--team", team]).await;
        assert_eq!(seen.as_array().map(Vec::len), Some(1), "{team}: {seen}");
    }
    let taken = town.json(&["transfer", "take", "cart", "--team", "till"]).await;
    assert_eq!(taken["id"], before["id"]);
    for line in [&["status", "cart"][..], &["delete", "cart", "--yes"]] {
        let said = town.run(&[line, &["--team", "shop"]].concat()).await;
        assert_eq!(said.code, Some(3), "it is not theirs to touch: {said:?}");
        assert!(said.err.contains("has passed to team till"), "{said:?}");
    }

    // The same descriptor changes nothing; another changes what was taken, and makes nothing.
    let same = town.apply("till", &descriptor("cart", &old.url(), &[host])).await;
    assert!(same.err.contains("nothing to change"), "{same:?}");
    requests.allow(host, &["old", "new"]);
    town.applied("till", &descriptor("cart", &new.url(), &[host])).await;
    requests.allow(host, &["new"]);
    let all = town.json(&["list"]).await;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    let status = town.json(&["status", "cart", "--team", "till"]).await;
    assert_eq!((&status["id"], status["revision"] == before["revision"]), (&before["id"], false));

    // Who has given it cannot take its name back by applying, but may have another of that name.
    let said = town.apply("shop", &descriptor("cart", &old.url(), &[host])).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("is owned by till through service `cart`"), "{said:?}");
    town.applied("shop", &descriptor("cart", &old.url(), &["cart2.example.com"])).await;
    assert_eq!(town.answers("cart2.example.com").await, "old");
    let again = town.apply("shop", &descriptor("cart", &old.url(), &["cart2.example.com"])).await;
    assert!(again.err.contains("nothing to change"), "{again:?}");
    let said = town.run(&["transfer", "take", "cart", "--team", "shop"]).await;
    assert_eq!(said.code, Some(3), "nothing is offered: {said:?}");
    let asked = requests.finish().await;
    assert!(asked > 100, "only {asked} requests were made");
    // Each deletes its own.
    town.done(&["delete", "cart", "--team", "till", "--yes"]).await;
    assert_eq!(town.answers(host).await, "404");
    assert_eq!(town.answers("cart2.example.com").await, "old");
}
