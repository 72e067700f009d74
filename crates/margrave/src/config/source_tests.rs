//! Declarations, good and bad.

use super::super::file;
use super::*;

fn check(text: &str) -> (Vec<SourceConfig>, Vec<String>) {
    let env = |name: &str| (name == "MARGRAVE_TEAMS_TOKEN").then(|| "hunter22".to_owned());
    let file::Read { sources, problems, .. } =
        file::read(Path::new("/etc/margrave/m.toml"), text, &env);
    (sources, problems)
}

#[test]
fn a_source_is_declared_in_a_few_lines() {
    let (sources, problems) = check(
        "[source.teams]\nurl = 'https://teams.example.com/all.yaml'\ninterval = '5m'\n\
         headers.authorization = { env = 'MARGRAVE_TEAMS_TOKEN', prefix = 'Bearer ' }\n\
         secret_paths = ['/users/*/password']\n\
         [source.limits]\npath = 'limits.json'\nstaged = false\nmax_bytes = 10\ntimeout = '500ms'\n\
         [source.motd]\ninline = 'hello'\nformat = 'text'\n\
         [source.zones]\ncommand = ['./zones', '--all']\nsecret = true\njitter = '0s'\n",
    );
    assert_eq!(problems, Vec::<String>::new());
    let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["limits", "motd", "teams", "zones"]);
    let [limits, motd, teams, zones] = &sources[..] else { panic!("{sources:?}") };
    let Origin::Url(url, headers) = &teams.origin else { panic!("{teams:?}") };
    let bearer = HeaderText::Given(Secret::from("Bearer hunter22".to_owned()));
    assert_eq!(url.host(), Some("teams.example.com"));
    assert_eq!(*headers, [(header::AUTHORIZATION, bearer)]);
    assert_eq!(
        (teams.format, teams.interval, teams.jitter),
        (Format::Yaml, Duration::from_mins(5), Duration::from_secs(30))
    );
    assert!(
        matches!(&limits.origin, Origin::Path(path) if path == Path::new("/etc/margrave/limits.json"))
    );
    assert_eq!(
        (limits.bytes_max, limits.timeout, limits.interval),
        (10, Duration::from_millis(500), INTERVAL)
    );
    assert!(matches!(&motd.origin, Origin::Inline(text, _) if text == "hello"));
    assert!(
        matches!(&zones.origin, Origin::Command(words) if words[..] == ["/etc/margrave/./zones", "--all"])
    );
    assert_eq!(
        (zones.secret_paths.clone(), zones.jitter),
        (vec![SecretPath::whole()], Duration::ZERO)
    );
    assert!(teams.is_staged && !limits.is_staged);
    assert!(!format!("{sources:?}").contains("hunter22"));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_no_secret() {
    for (lines, says) in [
        (
            "url = 'https://a/'\nintervall = '5m'",
            ":3:1: a source has no `intervall`; did you mean `interval`?",
        ),
        ("", "must have one of `url`, `path`, `inline` and `command`"),
        ("url = 'https://a/'\npath = 'b'", "must have one of"),
        ("url = 'ftp://a/'", "`url` must begin with `https://` or `http://`"),
        ("url = '/a'", "`url` must begin with"),
        ("url = 'https://u:hunter22@a/'", "must not hold a password"),
        (
            "url = 'https://a/'\nheaders.authorization = 'Bearer hunter22'",
            "`authorization` is a secret: write `{ env",
        ),
        (
            "url = 'https://a/'\nheaders.authorization = { env = 'MARGRAVE_NOBODY' }",
            "the variable `MARGRAVE_NOBODY` is not set",
        ),
        (
            "url = 'https://a/'\nheaders.x = { env = 'NOBODY' }",
            "the variable `NOBODY` must begin with `MARGRAVE_`",
        ),
        (
            "url = 'https://a/'\nheaders.x = { prefx = 'A' }",
            "a header has no `prefx`; did you mean `prefix`?",
        ),
        ("url = 'https://a/'\nheaders.x = { prefix = 'A' }", "must have one of `env` and `file`"),
        ("url = 'https://a/'\nheaders.'a b' = 'x'", "`a b` is no name of a header"),
        (
            "url = 'http://a/'\nheaders.x = { env = 'MARGRAVE_TEAMS_TOKEN' }",
            "`url` must begin with `https://`: secrets are not sent in clear",
        ),
        ("url = 'http://a/'\nsecret = true", "secrets are not sent in clear"),
        ("path = 'a'\nheaders.x = 'y'", "`headers` go with `url`"),
        ("path = 'a'\ninterval = '10ms'", "`interval` must be such as `30s` or `5m`: 1s at least"),
        ("path = 'a'\ntimeout = '5m'", "10ms at least, 60s at most"),
        ("path = 'a'\nmax_bytes = 0", "`max_bytes` must be a number from 1 to 8388608"),
        ("path = 'a'\nformat = 'toml'", "`format` must be `json`, `yaml` or `text`"),
        ("path = 'a'\nsecret = true\nsecret_paths = ['/a']", "leave out `secret_paths`"),
        ("path = 'a'\nstaged = 'no'", "`staged` must be `true` or `false`"),
        ("path = 'a'\nsecret_paths = ['a']", "`a` must begin with `/`"),
        ("path = 7", "`path` must be a text"),
        ("command = []", "`command` names no program"),
        ("command = 'a b'", "`command` must be a list of texts"),
    ] {
        let (sources, problems) = check(&format!("[source.x]\n{lines}\n"));
        assert_eq!((sources.len(), problems.len()), (0, 1), "{lines}: {problems:?}");
        assert!(problems[0].contains(says), "{} should say {says}", problems[0]);
        assert!(problems[0].starts_with("/etc/margrave/m.toml:"), "{}", problems[0]);
        assert!(!problems[0].contains("hunter22"), "{}", problems[0]);
    }
    assert!(check("source = 'a'").1[0].contains("1:10: `source` holds a table"));
    assert!(check("[source]\nx = 1").1[0].contains("2:1: `source.x` must be a table"));
    assert!(check("[source.'X y']\npath = 'a'").1[0].contains("1:9: `X y` names no source"));
    let good = check("[source.x]\nurl = 'http://127.0.0.1:1/'\nsecret = true\n");
    assert_eq!(good.1, Vec::<String>::new(), "on this machine it is in clear");
}
