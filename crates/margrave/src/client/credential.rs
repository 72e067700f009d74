//! What a command shows the broker to be let in, and where that came from.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::Secret;
use reqwest::header::HeaderValue;

use crate::failure::Failure;

/// What opens the door. Its `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Basic: platforms, and the pair of the configuration.
    Pair {
        /// The user-id.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Bearer: people and CI.
    Token(Secret),
}

/// Where a credential came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `MARGRAVE_TOKEN`.
    Token,
    /// Handed to this very command.
    Given,
    /// Username and password of flags and environment.
    Pair,
    /// The file that this user keeps.
    Kept(PathBuf),
    /// The same file, where it keeps a login.
    Login(PathBuf),
    /// The state folder of `margrave dev`.
    State(PathBuf),
}

/// A credential, and all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// What is sent.
    pub credential: Credential,
    /// Where it came from.
    pub source: Source,
    /// The team that is meant when nobody names one.
    pub team: Option<String>,
}

impl Credential {
    /// As the header `Authorization` has it, marked so that nothing prints it.
    pub fn header(&self) -> Result<HeaderValue, Failure> {
        let text = Secret::new(match self {
            Self::Pair { username, password } => {
                let pair = [username.as_bytes(), b":", password.expose()].concat();
                let pair = Secret::new(pair);
                format!("Basic {}", STANDARD.encode(pair.expose())).into_bytes()
            }
            Self::Token(token) => [b"Bearer ", token.expose()].concat(),
        });
        // Bytes beyond ASCII would pass as a header, but no token has them.
        let value =
            HeaderValue::from_bytes(text.expose()).ok().filter(|_| text.expose().is_ascii());
        let mut value = value.ok_or_else(|| {
            let why = "the token holds characters that no token has: copy it once more";
            Failure::Usage(why.to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether it is of people or CI, who have teams.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

impl Source {
    /// In the middle of a sentence.
    pub fn told(&self) -> String {
        match self {
            Self::Token => "the token of MARGRAVE_TOKEN".to_owned(),
            Self::Given => "this token".to_owned(),
            Self::Pair => "the username and password of MARGRAVE_BROKER_USERNAME and \
                 MARGRAVE_BROKER_PASSWORD"
                .to_owned(),
            Self::Kept(path) => format!("the token that {} keeps for it", path.display()),
            Self::Login(path) => format!("the login that {} keeps for it", path.display()),
            Self::State(path) => {
                format!("the username and password of the state folder {}", path.display())
            }
        }
    }

    /// What to do when it opens nothing.
    fn mend(&self) -> &'static str {
        match self {
            Self::Token => {
                "set it to a good one, or unset it to come in by what this user has kept"
            }
            Self::Given => "nothing was kept",
            Self::Pair => "set them to those of the broker, or set MARGRAVE_TOKEN",
            Self::Kept(_) => {
                "keep another with `margrave token keep`, or forget it with `margrave logout`"
            }
            Self::Login(_) => {
                "log in again with `margrave login`, or forget it with `margrave logout`"
            }
            Self::State(_) => {
                "if `margrave dev` was given a pair of its own, set MARGRAVE_BROKER_USERNAME and \
                 MARGRAVE_BROKER_PASSWORD to it"
            }
        }
    }
}

impl Presented {
    /// What is said when the broker at `url` does not let it in, giving `why`.
    pub fn refused(&self, url: &str, why: &str) -> String {
        let (told, mend) = (self.source.told(), self.source.mend());
        format!("the broker at {url} refuses {told}: {why}\nhelp: {mend}")
    }

    /// What is said when it was not even looked at, for which the broker gives `why`.
    pub fn held_up(&self, why: &str) -> String {
        let told = self.source.told();
        format!("{why}\nhelp: wait some seconds; if {told} is what was wrong, mend that first")
    }

    /// What is said when it may not do what was asked, for which the broker gives `why`.
    pub fn forbidden(&self, why: &str) -> String {
        let told = self.source.told();
        format!("{why}\nhelp: this was asked with {told}; `margrave whoami` tells whose it is")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn nothing_prints_a_secret() {
        let pair = Credential::Pair { username: "ann".to_owned(), password: secret("s3cr3t") };
        let token = Credential::Token(secret("s3cr3t"));
        for credential in [pair, token] {
            let header = credential.header().unwrap();
            let presented = Presented { credential, source: Source::Token, team: None };
            let shown = format!("{presented:?} {header:?} {}", presented.refused("http://b", "no"));
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(!shown.contains(&STANDARD.encode("ann:s3cr3t")), "{shown}");
        }
    }

    #[test]
    fn a_header_is_as_its_scheme_has_it() {
        let pair = Credential::Pair { username: "ann".to_owned(), password: secret("pässword") };
        assert_eq!(pair.header().unwrap().to_str().unwrap(), "Basic YW5uOnDDpHNzd29yZA==");
        let token = Credential::Token(secret("mgt_a"));
        assert_eq!(token.header().unwrap().to_str().unwrap(), "Bearer mgt_a");
        for text in ["a\nb", "tökén"] {
            assert!(Credential::Token(secret(text)).header().is_err(), "{text}");
        }
    }
}
