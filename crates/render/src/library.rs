//! A set of templates, compiled once.

use std::fmt::Write as _;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use model::{TypeUrl, Version, type_urls};
use prost_reflect::MessageDescriptor;

use crate::fault::Fault;
use crate::header::{ForEach, Header, TYPE_PREFIX};
use crate::schema::schema;
use crate::{Complaint, NodeField, mark};

/// What one render of one template may cost, in instructions of minijinja. The largest descriptor
/// that there can be takes a tenth of it.
const FUEL_MAX: u64 = 2_000_000;

/// The types that belong to instances, and that a template `for_each: instance` may make.
const OF_INSTANCES: [&str; 4] =
    [type_urls::SCOPED_ROUTE, type_urls::ROUTE, type_urls::CLUSTER, type_urls::ENDPOINT];

#[derive(Debug)]
pub(crate) struct Library {
    env: Environment<'static>,
    /// In the order of their file names.
    pub(crate) templates: Vec<Template>,
    pub(crate) fingerprint: u64,
    pub(crate) varies_by: Vec<NodeField>,
}

#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) header: Header,
    /// The type of what it makes.
    pub(crate) type_url: TypeUrl,
    pub(crate) message: MessageDescriptor,
}

impl Template {
    /// The last word of its type, such as `Cluster`.
    pub(crate) fn kind(&self) -> &str {
        self.header.resource.rsplit('.').next().unwrap_or_default()
    }
}

impl Library {
    /// Compiles every file, and complains of all that are wrong.
    pub(crate) fn compile(files: &[(String, String)]) -> Result<Self, Vec<Complaint>> {
        let mut library = Self {
            env: environment(),
            templates: Vec::new(),
            fingerprint: fingerprint(files),
            varies_by: Vec::new(),
        };
        let faults = files.iter().filter_map(|(name, text)| {
            library.add(name, text).err().map(|fault| fault.of_template(name))
        });
        let complaints: Vec<_> = faults.collect();
        library.templates.sort_by(|a, b| a.name.cmp(&b.name));
        library.varies_by.sort_unstable();
        library.varies_by.dedup();
        if complaints.is_empty() { Ok(library) } else { Err(complaints) }
    }

    fn add(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        let header = Header::read(text).map_err(Fault::new)?;
        let message = schema()
            .message(&header.resource)
            .ok_or_else(|| Fault::new(format!("Envoy 1.40 has no type `{}`", header.resource)))?;
        if header.for_each == ForEach::Instance && !may_belong_to_instances(&header.resource) {
            let types = OF_INSTANCES.map(|url| url.rsplit('.').next().unwrap_or(url)).join(", ");
            let message = format!("`{}` cannot be of an instance; {types} can", header.resource);
            return Err(Fault::new(message));
        }
        if self.templates.iter().any(|other| other.name == name) {
            return Err(Fault::new("there are two files of this name"));
        }
        self.env.add_template_owned(name.to_owned(), text.to_owned())?;
        self.varies_by.extend(header.varies_by.iter().cloned());
        let type_url = TypeUrl::new(&format!("{TYPE_PREFIX}{}", header.resource));
        self.templates.push(Template { name: name.to_owned(), header, type_url, message });
        Ok(())
    }

    /// The templates that are rendered this often.
    pub(crate) fn each(&self, for_each: ForEach) -> impl Iterator<Item = &Template> {
        self.templates.iter().filter(move |template| template.header.for_each == for_each)
    }

    /// The text that a template makes of a context.
    pub(crate) fn text(
        &self,
        template: &Template,
        context: minijinja::Value,
    ) -> Result<String, Fault> {
        Ok(self.env.get_template(&template.name)?.render(context)?)
    }
}

fn may_belong_to_instances(message: &str) -> bool {
    OF_INSTANCES.iter().any(|url| url.ends_with(&format!("/{message}")))
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Json);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL_MAX));
    env.add_filter("re2_quote", |text: &str| mark::quote(text));
    // Law 9: nothing that is interpolated is ever syntax, whatever a template asks for.
    env.remove_filter("safe");
    // It tells how things lie in memory, which is otherwise in each process, and every secret.
    env.remove_global("debug");
    env.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::Json => minijinja::escape_formatter(out, state, value),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "a template cannot turn escaping off")),
    });
    env
}

fn fingerprint(files: &[(String, String)]) -> u64 {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    let mut all = String::new();
    for (name, text) in sorted {
        // Lengths make the boundaries unambiguous.
        let _ = write!(all, "{} {} {name}{text}", name.len(), text.len());
    }
    Version::hash_of(all.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not here cannot make the same template say something else the next time.
    #[test]
    fn templates_have_these_functions_and_no_others() {
        let env = environment();
        let mut names: Vec<&str> = env.globals().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["dict", "namespace", "range"]);
    }
}
