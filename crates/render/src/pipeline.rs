//! From templates to drafts, in the order of the checks.

use std::sync::Arc;

use model::{Node, TypeUrl, Version};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::fault::Fault;
use crate::header::ForEach;
use crate::library::{Library, Template};

use crate::schema::schema;
use crate::{Complaint, Draft, Input, Platform, json, message, settle, view, wire};

/// A resource on its way through the checks.
pub(crate) struct Rendered<'a> {
    pub(crate) template: &'a Template,
    pub(crate) name: String,
    pub(crate) json: Value,
    pub(crate) message: DynamicMessage,
}

/// Everything of one instance.
pub(crate) fn instance(
    library: &Library,
    platform: &Platform,
    node: &Node,
    input: Input<'_>,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    let instance = view::instance(platform, input);
    let rendered = render(library, ForEach::Instance, platform, node, Some(instance))?;
    Ok(rendered.into_iter().map(draft).collect())
}

/// What a group gets beside its instances.
pub(crate) fn group(
    library: &Library,
    platform: &Platform,
    node: &Node,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    let rendered = render(library, ForEach::Group, platform, node, None)?;
    Ok(rendered.into_iter().map(draft).collect())
}

fn render<'a>(
    library: &'a Library,
    for_each: ForEach,
    platform: &Platform,
    node: &Node,
    instance: Option<minijinja::Value>,
) -> Result<Vec<Rendered<'a>>, Vec<Complaint>> {
    let platform = view::platform(platform);
    let (mut rendered, mut complaints) = (Vec::new(), Vec::new());
    for template in library.each(for_each) {
        let node = view::node(node, &template.header.varies_by);
        let (instance, platform) = (instance.clone(), platform.clone());
        let context = minijinja::context! { instance, platform, node };
        match resources(library, template, context) {
            Err(fault) => complaints.push(fault.of_template(&template.name)),
            Ok(resources) => {
                let typed = resources.into_iter().map(|resource| typed(template, resource));
                typed.for_each(|typed| match typed {
                    Ok(resource) => rendered.push(resource),
                    Err((name, fault)) => complaints.push(fault.of_resource(template, &name)),
                });
            }
        }
    }
    if complaints.is_empty() { Ok(rendered) } else { Err(complaints) }
}

/// What a template makes: a list of resources, or a single one.
fn resources(
    library: &Library,
    template: &Template,
    context: minijinja::Value,
) -> Result<Vec<Value>, Fault> {
    let text = library.text(template, context)?;
    match json::parse(&text).map_err(Fault::new)? {
        Value::Array(resources) => Ok(resources),
        resource @ Value::Object(_) => Ok(vec![resource]),
        _ => Err(Fault::new("it renders neither a list of resources nor one")),
    }
}

/// A resource as protobuf; or its name, and why it cannot be one.
fn typed(template: &Template, mut json: Value) -> Result<Rendered<'_>, (String, Fault)> {
    let Some(descriptor) = schema().message(&template.header.resource) else {
        return Err((String::new(), Fault::new("its type is unknown")));
    };
    settle::resource(&mut json, &descriptor);
    let name = name_of(&json, &descriptor);
    match message::read(&json, descriptor) {
        Ok(message) => Ok(Rendered { template, name, json, message }),
        Err(fault) => Err((name, fault)),
    }
}

/// The field that xDS names a resource by.
fn name_of(json: &Value, descriptor: &MessageDescriptor) -> String {
    let fields: &[&str] = match descriptor.name() {
        "ClusterLoadAssignment" => &["cluster_name", "clusterName"],
        _ => &["name"],
    };
    let name = fields.iter().find_map(|field| json.get(field)?.as_str());
    name.unwrap_or_default().to_owned()
}

fn draft(rendered: Rendered<'_>) -> Draft {
    let body = wire::encode(&rendered.message);
    Draft {
        type_url: TypeUrl::new(&format!(
            "type.googleapis.com/{}",
            rendered.template.header.resource
        )),
        name: Arc::from(rendered.name),
        hash: Version::hash_of(&body),
        body: body.into(),
        json: rendered.json,
    }
}
