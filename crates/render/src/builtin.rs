//! The default templates, compiled into the binary.

use std::sync::{Arc, OnceLock};

use crate::library::Library;

/// File names and texts.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("clusters.json.j2", include_str!("../../../templates/clusters.json.j2")),
    ("endpoints.json.j2", include_str!("../../../templates/endpoints.json.j2")),
    ("listeners.json.j2", include_str!("../../../templates/listeners.json.j2")),
    ("routes.json.j2", include_str!("../../../templates/routes.json.j2")),
    ("scoped_routes.json.j2", include_str!("../../../templates/scoped_routes.json.j2")),
];

/// Compiled once a process.
pub(crate) fn library() -> Arc<Library> {
    static LIBRARY: OnceLock<Arc<Library>> = OnceLock::new();
    let compile = || {
        let files: Vec<_> = FILES.iter().map(|&(name, text)| (name.into(), text.into())).collect();
        #[expect(clippy::expect_used, reason = "compiled in, and rendered by every test")]
        Arc::new(Library::compile(&files).expect("the default templates are good"))
    };
    Arc::clone(LIBRARY.get_or_init(compile))
}
