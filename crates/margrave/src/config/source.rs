//! Sources that are declared in `margrave.toml`, a table `[source.NAME]` each: where a document comes
//! from, how often, and what of it is secret. Everything that is wrong is told with its place.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderName, Uri, header};
use context::{Format, HeaderText, SOURCES_MAX, SecretPath};
use keys::Secret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::suggest;

/// The keys of a source.
const KEYS: [&str; 13] = [
    "url",
    "path",
    "inline",
    "command",
    "format",
    "interval",
    "jitter",
    "timeout",
    "max_bytes",
    "headers",
    "secret",
    "secret_paths",
    "staged",
];
/// The keys of a header's text.
const HEADER_KEYS: [&str; 3] = ["env", "file", "prefix"];
/// Headers whose text is a secret, and none for a configuration file.
const CREDENTIALS: [HeaderName; 3] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
/// Variables that are kept from whatever is started.
const OURS: &str = "MARGRAVE_";
const INTERVAL: Duration = Duration::from_secs(30);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const BYTES: usize = 1 << 20;
/// What is sealed is longer by a third, and the store has a limit.
const BYTES_MAX: usize = 8 << 20;
const NAME_BYTES_MAX: usize = 63;
const HEADERS_MAX: usize = 20;

/// A declared source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What it is written in.
    pub format: Format,
    /// How often it is asked.
    pub interval: Duration,
    /// Up to so much is waited beyond.
    pub jitter: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long it may be.
    pub bytes_max: usize,
    /// What of it is secret.
    pub secret_paths: Vec<SecretPath>,
    /// Whether what it has comes to groups by stages.
    pub is_staged: bool,
}

/// Where a document comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A URL, asked with these headers.
    Url(Uri, Vec<(HeaderName, HeaderText)>),
    /// A file.
    Path(PathBuf),
    /// The text itself, and where it is written.
    Inline(String, String),
    /// What a program prints.
    Command(Vec<String>),
}

/// The environment, and where files are relative to.
pub struct Around<'a> {
    /// The configuration file.
    pub path: &'a Path,
    /// A variable's text.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// A problem, and the bytes of the file that it is about.
pub type Problem = (Range<usize>, String);
type Result<T> = std::result::Result<T, Problem>;
type Value<'t> = Spanned<DeValue<'t>>;

/// Every source of the table `[source]`, and what is wrong with the others.
pub fn read(table: &Value<'_>, around: &Around<'_>) -> (Vec<SourceConfig>, Vec<Problem>) {
    let DeValue::Table(sources) = table.get_ref() else {
        let why = "`source` holds a table for each source: `[source.NAME]`";
        return (Vec::new(), vec![(table.span(), why.to_owned())]);
    };
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in sources {
        let one = One { name: name.get_ref().to_string(), at: name.span(), around };
        match one.read(value) {
            Ok(source) => read.push(source),
            Err(mut found) => problems.append(&mut found),
        }
    }
    if read.len() > SOURCES_MAX {
        problems.push((table.span(), format!("there are more than {SOURCES_MAX} sources")));
    }
    (read, problems)
}

/// A source on its way.
struct One<'a> {
    name: String,
    at: Range<usize>,
    around: &'a Around<'a>,
}

impl One<'_> {
    fn read(&self, value: &Value<'_>) -> std::result::Result<SourceConfig, Vec<Problem>> {
        let mut problems = Vec::new();
        let DeValue::Table(table) = value.get_ref() else {
            let why = format!("`source.{}` must be a table, `[source.{}]`", self.name, self.name);
            return Err(vec![(self.at.clone(), why)]);
        };
        for key in table.keys().filter(|key| !KEYS.contains(&&**key.get_ref())) {
            let hint = suggest::near(key.get_ref(), KEYS.into_iter());
            problems.push((key.span(), format!("a source has no `{}`{hint}", key.get_ref())));
        }
        let mut keep = |problem: Problem| problems.push(problem);
        let name = self.name().map_err(&mut keep);
        let secret_paths = self.secret_paths(table).map_err(&mut keep);
        let origin = self.origin(table).map_err(&mut keep);
        let format = self.format(table).map_err(&mut keep);
        let interval = self.duration(table, "interval", INTERVAL, INTERVAL_MIN..=Duration::MAX);
        let interval = interval.map_err(&mut keep);
        let spread = interval.as_ref().map_or(INTERVAL, |interval| *interval) / 10;
        let jitter = self.duration(table, "jitter", spread, Duration::ZERO..=Duration::MAX);
        let jitter = jitter.map_err(&mut keep);
        let least = Duration::from_millis(10);
        let timeout = self.duration(table, "timeout", TIMEOUT, least..=TIMEOUT_MAX);
        let timeout = timeout.map_err(&mut keep);
        let bytes_max = self.bytes_max(table).map_err(&mut keep);
        if let (Ok(secret), Ok(origin)) = (&secret_paths, &origin)
            && let Err(problem) = self.in_clear(table, origin, !secret.is_empty())
        {
            keep(problem);
        }
        let is_staged = match table.get("staged") {
            None => true,
            Some(value) => value.get_ref().as_bool().unwrap_or_else(|| {
                keep((value.span(), "`staged` must be `true` or `false`".to_owned()));
                true
            }),
        };
        let fields = (name, origin, format, interval, jitter, timeout, bytes_max, secret_paths);
        let (
            Ok(name),
            Ok(origin),
            Ok(format),
            Ok(interval),
            Ok(jitter),
            Ok(timeout),
            Ok(bytes_max),
            Ok(secret_paths),
        ) = fields
        else {
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(SourceConfig {
            name,
            origin,
            format,
            interval,
            jitter,
            timeout,
            bytes_max,
            secret_paths,
            is_staged,
        })
    }

    fn name(&self) -> Result<String> {
        let name = &self.name;
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let is_good = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
        let why =
            || format!("`{name}` names no source: 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`");
        if is_good { Ok(name.clone()) } else { Err((self.at.clone(), why())) }
    }

    fn origin(&self, table: &DeTable<'_>) -> Result<Origin> {
        let named = ["url", "path", "inline", "command"].into_iter();
        let mut found = named.filter_map(|key| Some((key, table.get(key)?)));
        let (Some((key, value)), None) = (found.next(), found.next()) else {
            let why = format!(
                "`source.{}` must have one of `url`, `path`, `inline` and `command`",
                self.name
            );
            return Err((self.at.clone(), why));
        };
        if key != "url"
            && let Some(headers) = table.get("headers")
        {
            return Err((headers.span(), "`headers` go with `url`".to_owned()));
        }
        match key {
            "url" => Ok(Origin::Url(url(value)?, self.headers(table)?)),
            "path" => Ok(Origin::Path(self.relative(text(key, value)?))),
            "inline" => {
                let place = format!("{}, source.{}", self.around.path.display(), self.name);
                Ok(Origin::Inline(text(key, value)?.to_owned(), place))
            }
            _ => Ok(Origin::Command(self.command(value)?)),
        }
    }

    fn command(&self, value: &Value<'_>) -> Result<Vec<String>> {
        let mut words = texts("command", value)?;
        let Some(program) = words.first_mut() else {
            return Err((value.span(), "`command` names no program".to_owned()));
        };
        // Without a slash it is looked for in PATH.
        if program.contains('/') {
            *program = self.relative(program).to_string_lossy().into_owned();
        }
        Ok(words)
    }

    fn relative(&self, path: &str) -> PathBuf {
        self.around.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn format(&self, table: &DeTable<'_>) -> Result<Format> {
        let Some(value) = table.get("format") else {
            let named = table.get("path").or_else(|| table.get("url"));
            let named = named.and_then(|value| text("path", value).ok()).unwrap_or_default();
            let is_yaml = named.ends_with(".yaml") || named.ends_with(".yml");
            return Ok(if is_yaml { Format::Yaml } else { Format::Json });
        };
        let why = || (value.span(), "`format` must be `json`, `yaml` or `text`".to_owned());
        Format::named(text("format", value)?).ok_or_else(why)
    }

    fn duration(
        &self,
        table: &DeTable<'_>,
        key: &str,
        default: Duration,
        allowed: std::ops::RangeInclusive<Duration>,
    ) -> Result<Duration> {
        let Some(value) = table.get(key) else { return Ok(default) };
        let read = span(text(key, value)?);
        let least = allowed.start();
        let most = if *allowed.end() == Duration::MAX {
            String::new()
        } else {
            format!(", {:?} at most", allowed.end())
        };
        let why = || {
            (
                value.span(),
                format!("`{key}` must be such as `30s` or `5m`: {least:?} at least{most}"),
            )
        };
        read.filter(|read| allowed.contains(read)).ok_or_else(why)
    }

    fn bytes_max(&self, table: &DeTable<'_>) -> Result<usize> {
        let Some(value) = table.get("max_bytes") else { return Ok(BYTES) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.to_string().parse().ok(),
            _ => None,
        };
        let why = || (value.span(), format!("`max_bytes` must be a number from 1 to {BYTES_MAX}"));
        number.filter(|number| (1..=BYTES_MAX).contains(number)).ok_or_else(why)
    }

    fn secret_paths(&self, table: &DeTable<'_>) -> Result<Vec<SecretPath>> {
        let (secret, paths) = (table.get("secret"), table.get("secret_paths"));
        let whole = match secret.map(|secret| (secret.span(), secret.get_ref())) {
            None | Some((_, DeValue::Boolean(false))) => false,
            Some((_, DeValue::Boolean(true))) if paths.is_none() => true,
            Some((at, DeValue::Boolean(true))) => {
                return Err((at, "`secret` is all of it: leave out `secret_paths`".to_owned()));
            }
            Some((at, _)) => return Err((at, "`secret` must be true or false".to_owned())),
        };
        if whole {
            return Ok(vec![SecretPath::whole()]);
        }
        let Some(paths) = paths else { return Ok(Vec::new()) };
        let read = |path: &String| {
            path.parse::<SecretPath>().map_err(|why| (paths.span(), format!("`{path}` {why}")))
        };
        texts("secret_paths", paths)?.iter().map(read).collect()
    }

    fn headers(&self, table: &DeTable<'_>) -> Result<Vec<(HeaderName, HeaderText)>> {
        let Some(value) = table.get("headers") else { return Ok(Vec::new()) };
        let DeValue::Table(headers) = value.get_ref() else {
            return Err((value.span(), "`headers` must be a table of texts".to_owned()));
        };
        if headers.len() > HEADERS_MAX {
            return Err((value.span(), format!("there are more than {HEADERS_MAX} headers")));
        }
        let header = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Value<'_>)| {
            let why = |_| (name.span(), format!("`{}` is no name of a header", name.get_ref()));
            let known: HeaderName = name.get_ref().parse().map_err(why)?;
            let text = self.header(&known, value)?;
            Ok((known, text))
        };
        headers.iter().map(header).collect()
    }

    fn header(&self, name: &HeaderName, value: &Value<'_>) -> Result<HeaderText> {
        let at = value.span();
        let table = match value.get_ref() {
            DeValue::String(_) if CREDENTIALS.contains(name) => {
                let why = format!(
                    "`{name}` is a secret: write `{{ env = \"VARIABLE\" }}` or `{{ file = \"PATH\" }}`, with `prefix = \"Bearer \"` where it is needed"
                );
                return Err((at, why));
            }
            DeValue::String(text) => return Ok(HeaderText::Given(Secret::from(text.to_string()))),
            DeValue::Table(table) => table,
            _ => return Err((at, format!("`{name}` must be a text, or have `env` or `file`"))),
        };
        if let Some(key) = table.keys().find(|key| !HEADER_KEYS.contains(&&**key.get_ref())) {
            let hint = suggest::near(key.get_ref(), HEADER_KEYS.into_iter());
            return Err((key.span(), format!("a header has no `{}`{hint}", key.get_ref())));
        }
        let prefix = table.get("prefix").map(|prefix| text("prefix", prefix)).transpose()?;
        let prefix = prefix.unwrap_or_default().to_owned();
        match (table.get("env"), table.get("file")) {
            (Some(variable), None) => {
                let variable = text("env", variable)?;
                if !variable.starts_with(OURS) {
                    let why = format!(
                        "the variable `{variable}` must begin with `{OURS}`: what is started \
                         from here, Envoy first of all, gets the others"
                    );
                    return Err((at, why));
                }
                let found = (self.around.env)(variable).filter(|found| !found.is_empty());
                let why = || (at, format!("the variable `{variable}` is not set"));
                Ok(HeaderText::Given(Secret::from(prefix + &found.ok_or_else(why)?)))
            }
            (None, Some(file)) => {
                Ok(HeaderText::File { prefix, path: self.relative(text("file", file)?) })
            }
            _ => Err((at, format!("`{name}` must have one of `env` and `file`"))),
        }
    }

    /// What is secret is not sent in clear to another machine.
    fn in_clear(&self, table: &DeTable<'_>, origin: &Origin, is_secret: bool) -> Result<()> {
        let Origin::Url(uri, headers) = origin else { return Ok(()) };
        let is_literal = |text: &DeValue<'_>| matches!(text, DeValue::String(_));
        let has_credential = match table.get("headers").map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => table.values().any(|text| !is_literal(text.get_ref())),
            _ => !headers.is_empty(),
        };
        let is_near = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if uri.scheme_str() == Some("https") || is_near || !(is_secret || has_credential) {
            return Ok(());
        }
        let at = table.get("url").map_or(self.at.clone(), Spanned::span);
        Err((
            at,
            "`url` must begin with `https://`: secrets are not sent in clear to another machine"
                .to_owned(),
        ))
    }
}

/// A whole number and a unit.
fn span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?))
}

fn url(value: &Value<'_>) -> Result<Uri> {
    let why = |why: &str| (value.span(), format!("`url` {why}"));
    let uri: Uri = text("url", value)?.parse().map_err(|_| why("is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(why("must begin with `https://` or `http://`"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(why("must not hold a password: send it as `headers.authorization`"))
        }
        Some(_) => Ok(uri),
        None => Err(why("names no host")),
    }
}

fn text<'v>(key: &str, value: &'v Value<'_>) -> Result<&'v str> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err((value.span(), format!("`{key}` must be a text"))),
    }
}

fn texts(key: &str, value: &Value<'_>) -> Result<Vec<String>> {
    let why = || (value.span(), format!("`{key}` must be a list of texts"));
    let DeValue::Array(items) = value.get_ref() else { return Err(why()) };
    items.iter().map(|item| text(key, item).map(str::to_owned).map_err(|_| why())).collect()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
