//! From templates to drafts, in the order of the checks: text, JSON, protobuf, rules, laws, graph.

use std::sync::Arc;

use model::{Node, Version};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::fault::Fault;
use crate::header::ForEach;
use crate::laws::Own;
use crate::library::{Library, Template};
use crate::shape::Shape;
use crate::{
    Complaint, Draft, Input, Platform, culprit, graph, json, laws, mark, message, rules, settle,
    view, wire,
};

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
    let seen = view::instance(platform, input);
    let rendered = render(library, ForEach::Instance, platform, node, Some(seen))?;
    let own = Own::new(platform, input);
    let mut references = Vec::with_capacity(rendered.len());
    let judged = judge(&rendered, |resource| {
        let mut found = Vec::new();
        let faults = laws::check(&own, &resource.name, &resource.message, &mut found);
        references.push(found);
        faults
    });
    let shape = |message: &DynamicMessage| match laws::without_callers(&own, message) {
        Some((rest, callers)) => Shape::of(&rest, Some(callers)),
        None => Shape::of(message, None),
    };
    finish(rendered, judged, |rendered| graph::dangling(rendered, &references), Some(&shape))
}

/// What a group gets beside its instances.
pub(crate) fn group(
    library: &Library,
    platform: &Platform,
    node: &Node,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    let rendered = render(library, ForEach::Group, platform, node, None)?;
    let judged =
        judge(&rendered, |resource| laws::group(platform, &resource.name, &resource.message));
    finish(rendered, judged, graph::undiscovered, None)
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
                    Err(complaint) => complaints.push(*complaint),
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
    let mut resources = match json::parse(&text).map_err(Fault::new)? {
        Value::Array(resources) => resources,
        resource @ Value::Object(_) => vec![resource],
        _ => return Err(Fault::new("it renders neither a list of resources nor one")),
    };
    if mark::is_marked(&text) {
        resources.iter_mut().for_each(|json| settle::resource(json, &template.message));
    }
    Ok(resources)
}

/// A resource as protobuf.
fn typed(template: &Template, json: Value) -> Result<Rendered<'_>, Box<Complaint>> {
    let name = name_of(&json, &template.message);
    match message::read(&json, template.message.clone()) {
        Ok(message) => Ok(Rendered { template, name, json, message }),
        Err(fault) => Err(Box::new(complaint(template, &name, &json, fault))),
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

/// Envoy's own rules, then `laws`, of each resource; a fault goes with the index of its resource.
fn judge<'r>(
    rendered: &'r [Rendered<'_>],
    mut laws: impl FnMut(&'r Rendered<'r>) -> Vec<Fault>,
) -> Vec<(usize, Fault)> {
    let mut faults = graph::twice(rendered);
    faults.extend(graph::domains_twice(rendered));
    for (at, resource) in rendered.iter().enumerate() {
        let found = rules::check_all(&resource.message).into_iter().chain(laws(resource));
        faults.extend(found.map(|fault| (at, fault)));
    }
    faults
}

/// The shape of a message.
type Shapes<'s> = &'s dyn Fn(&DynamicMessage) -> Shape;

/// Drafts, if nothing is wrong. The graph is looked at when each resource is good by itself, so
/// that one mistake is told once. Without `shapes` each resource is like no other.
fn finish(
    rendered: Vec<Rendered<'_>>,
    mut faults: Vec<(usize, Fault)>,
    graph: impl Fn(&[Rendered<'_>]) -> Vec<(usize, Fault)>,
    shapes: Option<Shapes<'_>>,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    if faults.is_empty() {
        faults = graph(&rendered);
    }
    if faults.is_empty() {
        let drafts = rendered.into_iter().map(|rendered| draft(rendered, shapes));
        return drafts.collect::<Result<_, _>>().map_err(|one| vec![*one]);
    }
    let complaints = faults.into_iter().filter_map(|(at, fault)| {
        let Rendered { template, name, json, .. } = rendered.get(at)?;
        Some(complaint(template, name, json, fault))
    });
    Err(complaints.collect())
}

fn draft(rendered: Rendered<'_>, shapes: Option<Shapes<'_>>) -> Result<Draft, Box<Complaint>> {
    let body = wire::encode(&rendered.message);
    let hash = Version::hash_of(&body);
    let shape = shapes.map_or_else(|| Shape::exact(hash), |of| of(&rendered.message));
    let Rendered { template, name, json, .. } = rendered;
    if mark::is_in(&body) {
        let fault = Fault::new(
            "a tenant's `%` or `\\` did not arrive as text; \
             the template must not change the value that it interpolates",
        );
        return Err(Box::new(complaint(template, &name, &json, fault)));
    }
    Ok(Draft {
        type_url: template.type_url.clone(),
        name: Arc::from(name),
        template: template.name.as_str().into(),
        hash,
        shape,
        body: body.into(),
        json,
    })
}

fn complaint(template: &Template, name: &str, json: &Value, fault: Fault) -> Complaint {
    let kind = template.kind();
    let culprit = culprit::of(kind, name, json, &fault.field);
    Complaint {
        resource: Some(format!("{kind} {name}")),
        culprit,
        ..fault.of_template(&template.name)
    }
}

impl Rendered<'_> {
    /// The last word of its type, such as `Cluster`.
    pub(crate) fn kind(&self) -> &str {
        self.template.kind()
    }
}
