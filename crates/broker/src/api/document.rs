//! What is true of every route, added to the document that is made from the code: answers that any
//! request may get, what an id looks like, OSB's headers, and the schema of the parameters.

use serde_json::{Map, Value, json};

use crate::catalog::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};

/// Answers that a request may get before it has come to its route. What a route says itself stays.
const ANYWHERE: &[(&str, &str)] = &[
    ("400", "It cannot be read, or is refused"),
    ("401", "Credentials are missing or wrong"),
    ("403", "Not with these credentials"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("429", "Too many attempts with wrong credentials: try again after `Retry-After`"),
    ("503", "Not now: nothing was changed, try again after `Retry-After`"),
];

/// Completes the document.
pub(super) fn complete(mut document: Value) -> Value {
    if let Some(schemas) = object(&mut document, "/components/schemas") {
        schemas.insert("Parameters".to_owned(), parameters());
    }
    envelope(&mut document);
    let Some(paths) = object(&mut document, "/paths") else { return document };
    for (path, operations) in paths {
        let operations = operations.as_object_mut().into_iter().flat_map(Map::values_mut);
        for operation in operations.filter_map(Value::as_object_mut) {
            answers(operation, path.starts_with("/v2/"));
            arguments(operation, path.starts_with("/v2/"));
        }
    }
    document
}

fn object<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    document.pointer_mut(pointer)?.as_object_mut()
}

/// The descriptor without its visibility.
fn parameters() -> Value {
    let mut schema = model::descriptor::schema::parameters();
    if let Some(schema) = schema.as_object_mut() {
        // The dialect is the document's; this one says the same in both.
        schema.remove("$schema");
    }
    schema
}

/// The catalog's ids, and what `parameters` are.
fn envelope(document: &mut Value) {
    let Some(fields) = object(document, "/components/schemas/Envelope/properties") else { return };
    let mut narrow = |field: &str, with: Value| {
        if let (Some(field), Value::Object(with)) = (fields.get_mut(field), with)
            && let Some(field) = field.as_object_mut()
        {
            field.extend(with);
        }
    };
    narrow("service_id", json!({"type": "string", "enum": [SERVICE_ID]}));
    narrow("plan_id", json!({"type": "string", "enum": [PLAN_INTERNAL_ID, PLAN_PUBLIC_ID]}));
    fields.insert("parameters".to_owned(), json!({"$ref": "#/components/schemas/Parameters"}));
}

fn answers(operation: &mut Map<String, Value>, is_osb: bool) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let osb = is_osb.then_some(("412", "`X-Broker-API-Version` is missing, or not 2.x"));
    for (status, description) in ANYWHERE.iter().copied().chain(osb) {
        let body =
            json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}});
        let answer = json!({"description": description, "content": body});
        responses.entry(status).or_insert(answer);
    }
}

/// What an id looks like wherever it is part of a path, and the headers of OSB.
fn arguments(operation: &mut Map<String, Value>, is_osb: bool) {
    let list = operation.entry("parameters").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    for argument in list.iter_mut().filter(|argument| argument["in"] == "path") {
        if argument["schema"]["type"] == "string" && argument["schema"]["pattern"].is_null() {
            argument["schema"]["pattern"] = "^[A-Za-z0-9._~-]{1,128}$".into();
        }
    }
    if is_osb {
        list.extend([
            json!({"name": "X-Broker-API-Version", "in": "header", "required": true,
                "description": "The version of OSB that is spoken: any 2.x",
                "schema": {"type": "string", "pattern": "^2\\.[0-9]{1,4}$", "example": "2.17"}}),
            json!({"name": "X-Broker-API-Request-Identity", "in": "header", "required": false,
                "description": "The platform's own id of the request, echoed in the answer",
                "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"}}),
        ]);
    }
}
