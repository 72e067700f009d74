//! The comment at the top of a template that says what it makes.

use crate::NodeField;

/// How often a template is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForEach {
    /// Once an instance, seeing that instance only.
    Instance,
    /// Once a group, seeing no instance.
    Group,
}

/// What a template says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// The message name of the resources that it makes.
    pub(crate) resource: String,
    pub(crate) for_each: ForEach,
    pub(crate) varies_by: Vec<NodeField>,
}

/// Type URLs of resources have this prefix; a header may leave it out.
pub(crate) const TYPE_PREFIX: &str = "type.googleapis.com/";

impl Header {
    /// Reads the header of a template: a comment that begins in its first line and whose lines, up
    /// to the first blank one, are `key: value`. The error is for the template's author.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let inside = text
            .trim_start()
            .strip_prefix("{#")
            .and_then(|rest| rest.split_once("#}"))
            .map(|(inside, _)| inside.trim_start_matches('-').trim())
            .ok_or("a template begins with a comment `{# resource: …, for_each: … #}`")?;
        let (mut resource, mut for_each, mut varies_by) = (None, None, Vec::new());
        for line in inside.lines().map(str::trim).take_while(|line| !line.is_empty()) {
            let (key, value) = line
                .split_once(':')
                .ok_or_else(|| format!("`{line}` in the header is not `key: value`"))?;
            match (key.trim(), value.trim()) {
                ("resource", value) => resource = Some(value.trim_start_matches(TYPE_PREFIX)),
                ("for_each", "instance") => for_each = Some(ForEach::Instance),
                ("for_each", "group") => for_each = Some(ForEach::Group),
                ("for_each", other) => {
                    return Err(format!("`for_each` is `instance` or `group`, not `{other}`"));
                }
                ("varies_by", value) => varies_by = fields(value)?,
                (other, _) => return Err(format!("the header has no key `{other}`")),
            }
        }
        Ok(Self {
            resource: resource.ok_or("the header lacks `resource`")?.to_owned(),
            for_each: for_each.ok_or("the header lacks `for_each`")?,
            varies_by,
        })
    }
}

fn fields(list: &str) -> Result<Vec<NodeField>, String> {
    let inside = list.trim_start_matches('[').trim_end_matches(']');
    let names = inside.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut fields = names.map(field).collect::<Result<Vec<_>, _>>()?;
    fields.sort_unstable();
    fields.dedup();
    Ok(fields)
}

fn field(name: &str) -> Result<NodeField, String> {
    if let Some(key) = name.strip_prefix("metadata.").filter(|key| !key.is_empty()) {
        return Ok(NodeField::Metadata(key.into()));
    }
    match name {
        "id" => Ok(NodeField::Id),
        "cluster" => Ok(NodeField::Cluster),
        "region" => Ok(NodeField::Region),
        "zone" => Ok(NodeField::Zone),
        "envoy_version" => Ok(NodeField::EnvoyVersion),
        other => Err(format!(
            "`varies_by` knows id, cluster, region, zone, envoy_version and metadata.KEY, not `{other}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_up_to_its_first_blank_line() {
        let text = "{#- resource: type.googleapis.com/a.B\n for_each: group\n varies_by: [zone, metadata.a.b, region]\n\n Note: prose. #}[]";
        let header = Header::read(text).expect("it is good");
        assert_eq!(header.resource, "a.B");
        assert_eq!(header.for_each, ForEach::Group);
        assert_eq!(
            header.varies_by,
            [NodeField::Region, NodeField::Zone, NodeField::Metadata("a.b".into())]
        );
    }

    #[test]
    fn what_a_header_lacks_or_does_not_know_is_said() {
        for (text, says) in [
            ("[]", "begins with a comment"),
            ("{# for_each: group #}", "lacks `resource`"),
            ("{# resource: a.B #}", "lacks `for_each`"),
            ("{# resource: a.B\nfor_each: tenant #}", "not `tenant`"),
            ("{# resource: a.B\nfor_each: group\nvaries_by: [weather] #}", "not `weather`"),
            ("{# resource: a.B\nfor_each: group\nvaries_by: [metadata.] #}", "not `metadata.`"),
            ("{# resource: a.B\nfor_each: group\nfoo: 1 #}", "no key `foo`"),
        ] {
            let error = Header::read(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
