//! What people are shown of a rendering: the resources as JSON and the complaints, without anything
//! secret. Proxies get the bytes, which have all of it.

use keys::Redactor;

use crate::{Complaint, Draft};

/// The same, without secrets.
pub(crate) fn without_secrets(
    redactor: &Redactor,
    rendered: Result<Vec<Draft>, Vec<Complaint>>,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    match rendered {
        Ok(mut drafts) => {
            drafts.iter_mut().for_each(|draft| redactor.json(&mut draft.json));
            Ok(drafts)
        }
        Err(mut complaints) => {
            complaints.iter_mut().for_each(|complaint| self::complaint(redactor, complaint));
            Err(complaints)
        }
    }
}

fn complaint(redactor: &Redactor, complaint: &mut Complaint) {
    let Complaint { resource, field, culprit, message, template: _, line: _ } = complaint;
    redactor.string(message);
    [resource, field, culprit].into_iter().flatten().for_each(|text| redactor.string(text));
}
