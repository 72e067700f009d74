//! Where a secret that is told once goes: a file for its owner alone, or stdout.

use std::path::PathBuf;

use keys::Secret;
use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::output;
use crate::private::Promised;

/// Where a new secret goes.
#[derive(Debug, clap::Args)]
pub struct Into {
    /// Write the secret to this new file, for your eyes only, and not to stdout
    #[arg(long, value_name = "FILE")]
    credential: Option<PathBuf>,
}

/// A place that is there already, so that no secret is lost that was made.
#[derive(Debug)]
pub enum Place {
    /// A file.
    File(Promised),
    /// Whoever reads stdout.
    Stdout,
}

/// Where a secret is.
#[derive(Debug)]
pub enum Put {
    /// In this file.
    File(String),
    /// With whoever reads stdout.
    Stdout(Secret),
}

impl Into {
    /// Makes the place ready before anything is asked for.
    pub fn ready(&self) -> Result<Place, Failure> {
        match &self.credential {
            Some(path) => Ok(Place::File(Promised::at(path)?)),
            None => Ok(Place::Stdout),
        }
    }
}

impl Place {
    /// Puts the secret there.
    pub fn put(self, secret: Secret) -> anyhow::Result<Put> {
        match self {
            Self::File(file) => {
                let line = Secret::new([secret.expose(), b"\n"].concat());
                Ok(Put::File(file.keep(line.expose())?))
            }
            Self::Stdout => Ok(Put::Stdout(secret)),
        }
    }
}

impl Put {
    /// The file, if it is one.
    pub fn file(&self) -> Option<String> {
        match self {
            Self::File(file) => Some(file.clone()),
            Self::Stdout(_) => None,
        }
    }

    /// The secret, where stdout is its place.
    pub fn shown(&self) -> Option<Secret> {
        match self {
            Self::File(_) => None,
            Self::Stdout(secret) => Some(secret.clone()),
        }
    }

    /// What people read of it on stdout: the secret alone, so that it can be piped, or where it is.
    pub fn told(&self, what: &str) -> String {
        match self {
            Self::File(file) => format!("{what} is in {file}"),
            Self::Stdout(secret) => {
                output::message(&format!("{what}, which is told only this once:"));
                secret.expose_str().unwrap_or_default().to_owned()
            }
        }
    }
}

/// Writes a secret into what is printed for programs.
pub fn print<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().and_then(Secret::expose_str).serialize(serializer)
}
