//! Where a broker wants people to log in: whoever has no credential learns it from the 401.

use std::time::Duration;

use anyhow::{Context, anyhow};
use login::IssuerUrl;
use reqwest::StatusCode;
use reqwest::header::WWW_AUTHENTICATE;

use crate::failure::Failure;

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The issuer.
    pub issuer: IssuerUrl,
    /// The client that we are to it.
    pub client_id: String,
    /// What to ask it for.
    pub scope: String,
}

/// What the broker at `url` offers.
pub async fn offer(url: &str) -> Result<Offer, Failure> {
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build()?;
    let answer = http.get(format!("{url}/v1/whoami")).send().await.map_err(|error| {
        let error = anyhow::Error::from(error);
        anyhow!("the broker at {url} does not answer: {}", error.root_cause())
    })?;
    if answer.status() != StatusCode::UNAUTHORIZED {
        return Err(anyhow!("{url} is no broker: it answers {}", answer.status()).into());
    }
    let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    let Some(named) = challenges.filter_map(|value| value.to_str().ok()).find_map(read) else {
        return Err(Failure::Refused(format!(
            "nobody logs in at {url}: no issuer of logins is configured there\nhelp: ask the \
             platform's operators for a token, and keep it with `margrave token keep`"
        )));
    };
    let (issuer, client_id, scope) = named;
    let issuer = issuer.parse().with_context(|| format!("the broker's issuer {issuer:?}"))?;
    Ok(Offer { issuer, client_id, scope })
}

/// Issuer, client and scope of a Bearer challenge (RFC 9110, 11.6.1), none of which holds a quote.
fn read(challenge: &str) -> Option<(String, String, String)> {
    let (scheme, parameters) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let of = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    Some((of("issuer")?, of("client_id")?, of("scope")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_tells_where_to_log_in() {
        let whole = "Bearer realm=\"margrave\", issuer=\"https://a.example/x\", \
                     client_id=\"cli\", scope=\"openid email\"";
        let named = ["https://a.example/x", "cli", "openid email"].map(str::to_owned);
        let [issuer, client_id, scope] = named;
        for (challenge, expected) in [
            (whole, Some((issuer, client_id, scope))),
            ("Bearer realm=\"margrave\"", None),
            ("Basic realm=\"margrave\", charset=\"UTF-8\"", None),
            ("Bearer issuer=\"https://a.example", None),
            ("", None),
        ] {
            assert_eq!(read(challenge), expected, "{challenge}");
        }
    }
}
