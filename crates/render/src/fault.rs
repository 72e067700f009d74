//! A complaint in the making: what is wrong, before it is known whose it is.

use minijinja::{Error, ErrorKind};

use crate::Complaint;

/// What is wrong, and where in the template or in the resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: Option<usize>,
    /// `virtual_hosts[0].routes[1]`; empty for the whole.
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Fault {
    /// Of the whole.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Of a field.
    pub(crate) fn at(field: impl ToString, message: impl Into<String>) -> Self {
        Self { field: field.to_string(), ..Self::new(message) }
    }

    /// The complaint of a template, which has not come as far as a resource.
    pub(crate) fn of_template(self, template: &str) -> Complaint {
        Complaint {
            template: template.to_owned(),
            line: self.line,
            field: Some(self.field).filter(|field| !field.is_empty()),
            message: self.message,
            ..Complaint::default()
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let mut message = match error.kind() {
            ErrorKind::OutOfFuel => "it costs more than a template may; a loop in a loop?".into(),
            kind => kind.to_string(),
        };
        if let Some(detail) = error.detail() {
            message = format!("{message}: {detail}");
        }
        Self { line: error.line(), ..Self::new(message) }
    }
}
