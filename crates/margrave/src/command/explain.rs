//! `margrave explain`: what a code of a refusal means, and how to mend it.

use model::descriptor::Code;

use crate::failure::Failure;
use crate::{output, suggest};

/// Explain a code such as `MG1004`; without one, list all
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code
    code: Option<String>,
}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        let Some(code) = self.code else { return Ok(output::line(&list())?) };
        let known = Code::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(&code));
        if let Some(known) = known {
            let text = format!("{known}: {}\n\n{}", known.title(), known.text().trim_end());
            return Ok(output::line(&text)?);
        }
        let hint = suggest::near(&code, Code::ALL.iter().map(|code| code.as_str()));
        Err(Failure::Usage(format!(
            "there is no code `{code}`{hint}; `margrave explain` lists all"
        )))
    }
}

fn list() -> String {
    let row = |code: &Code| vec![code.to_string(), code.title().to_owned()];
    output::table(&Code::ALL.iter().map(row).collect::<Vec<_>>())
}
