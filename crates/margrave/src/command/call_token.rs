//! `margrave call-token`: a token that a bound caller shows, made here from its credential. Nobody is
//! asked.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use keys::{KeyPair, Secret, TOKEN_S_MAX, Token};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::{clock, output};

/// The largest credential, in bytes: it names hostnames.
const CREDENTIAL_BYTES_MAX: u64 = 64 << 10;

/// Print a token for a call, signed with the credential of a binding:
/// `curl -H "Authorization: Bearer $(margrave call-token --credential FILE)" URL`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `margrave bind` wrote
    #[arg(long, value_name = "FILE")]
    credential: PathBuf,

    /// How long it is good for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TOKEN_S_MAX,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_S_MAX)))]
    lifetime: u32,
}

#[derive(Deserialize)]
struct Credential {
    client_id: String,
    audience: String,
    private_key: Box<RawValue>,
}

impl Args {
    /// On stdout, and nowhere else.
    pub fn run(self) -> Result<(), Failure> {
        let shown = self.credential.display();
        let reading = || format!("cannot read the credential {shown}");
        let length = std::fs::metadata(&self.credential).with_context(reading)?.len();
        if length > CREDENTIAL_BYTES_MAX {
            return Err(anyhow!("{shown} is larger than a credential").into());
        }
        let text = Secret::new(std::fs::read(&self.credential).with_context(reading)?);
        // What is wrong with it is told without what is in it.
        let read: Credential = serde_json::from_slice(text.expose())
            .map_err(|_| anyhow!("{shown} is not a credential that `margrave bind` wrote"))?;
        let key = Secret::from(String::from(Box::<str>::from(read.private_key)));
        let pair = KeyPair::from_jwk(key.expose()).with_context(reading)?;
        let token = pair.token(Token {
            binding: &read.client_id,
            audience: &read.audience,
            now_s: clock::now() / 1_000,
            lifetime_s: self.lifetime,
        });
        Ok(output::line(token.expose_str().unwrap_or_default())?)
    }
}
