//! Templates that are rolled out: the default ones, with a mark in each route configuration.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// In the route configuration of every service.
const PLACE: &str = "\"most_specific_header_mutations_wins\": true,\n";

/// Saves them in a folder as editors do: each whole, and at once.
pub(crate) fn save(folder: &Path, mark: Option<&str>) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    for entry in std::fs::read_dir(&defaults).context("the default templates")? {
        let entry = entry?;
        let mut text = std::fs::read_to_string(entry.path())?;
        if let Some(mark) = mark.filter(|_| entry.path().ends_with("routes.json.j2")) {
            ensure!(text.contains(PLACE), "the template has changed: find another place");
            let header = format!(
                r#""response_headers_to_add": [{{"header": {{"key": "x-edition", "value": "{mark}"}}}}],"#
            );
            text = text.replace(PLACE, &format!("{PLACE}{header}\n"));
        }
        let (new, old) = (folder.join(".new"), folder.join(entry.file_name()));
        std::fs::write(&new, text)?;
        std::fs::rename(new, old)?;
    }
    Ok(())
}
