//! `margrave explain`: what a code of a refusal means, and how to mend it.

use model::descriptor::Code;
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::suggest;

/// Explain a code such as `MG1004`; without one, list all
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code
    code: Option<String>,

    #[command(flatten)]
    output: Format,
}

/// A code and its page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explained {
    /// The code.
    code: &'static str,
    /// The mistake in a few words.
    title: &'static str,
    /// Cause and mend, as Markdown.
    text: &'static str,
}

impl Explained {
    fn of(code: Code) -> Self {
        Self { code: code.as_str(), title: code.title(), text: code.text().trim_end() }
    }
}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        let codes: Vec<_> = match &self.code {
            None => Code::ALL.to_vec(),
            Some(code) => vec![find(code)?],
        };
        let explained: Vec<_> = codes.into_iter().map(Explained::of).collect();
        Ok(self.output.print(&explained, || match (&self.code, &explained[..]) {
            (Some(_), [Explained { code, title, text }]) => format!("{code}: {title}\n\n{text}"),
            _ => list(&explained),
        })?)
    }
}

fn find(code: &str) -> Result<Code, Failure> {
    let known = Code::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(code));
    known.copied().ok_or_else(|| {
        let hint = suggest::near(code, Code::ALL.iter().map(|code| code.as_str()));
        Failure::Usage(format!("there is no code `{code}`{hint}; `margrave explain` lists all"))
    })
}

fn list(codes: &[Explained]) -> String {
    let row = |code: &Explained| vec![code.code.to_owned(), code.title.to_owned()];
    output::table(&codes.iter().map(row).collect::<Vec<_>>())
}
