//! Resources as JSON, for proxies that poll: they have no stream on which to ask for what a
//! resource names, so wherever it says that this comes by ADS they are told to poll it, too.

use model::TypeUrl;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::schema::schema;

/// A resource as proto3 JSON with its `@type`. What it has by ADS is polled from `source`, an
/// `ApiConfigSource`.
///
/// # Errors
/// When it is no message of that type.
pub fn polled(type_url: &TypeUrl, body: &[u8], source: &Value) -> Result<String, String> {
    let kind = schema().any(type_url.as_str());
    let kind = kind.ok_or_else(|| format!("nothing is known of {}", type_url.as_str()))?;
    let message = DynamicMessage::decode(kind, body).map_err(|error| error.to_string())?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options);
    let mut value: Value = value.map_err(|error| error.to_string())?;
    repoint(&mut value, source);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("@type".to_owned(), type_url.as_str().into());
    }
    Ok(value.to_string())
}

/// Points every `ConfigSource` that says ADS to `source`.
fn repoint(value: &mut Value, source: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| repoint(item, source)),
        Value::Object(fields) => {
            let of_a_source =
                |key: &str| matches!(key, "ads" | "resource_api_version" | "initial_fetch_timeout");
            let says_ads = fields
                .get("ads")
                .is_some_and(|ads| *ads == Value::Object([].into_iter().collect()));
            if says_ads && fields.keys().all(|key| of_a_source(key)) {
                fields.remove("ads");
                fields.insert("api_config_source".to_owned(), source.clone());
            } else {
                fields.values_mut().for_each(|field| repoint(field, source));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use model::type_urls::{CLUSTER, LISTENER};
    use serde_json::json;

    use super::*;
    use crate::{message, wire};

    fn polled_of(type_url: &str, json: &Value) -> Value {
        let kind = schema().any(type_url).expect("a message");
        let body = wire::encode(&message::read(json, kind).expect("it fits"));
        let source = json!({"api_type": "REST", "cluster_names": ["xds"]});
        let text = polled(&TypeUrl::new(type_url), &body, &source).expect("it is written");
        serde_json::from_str(&text).expect("it is JSON")
    }

    #[test]
    fn what_comes_by_ads_is_polled() {
        let ads = json!({"ads": {}, "resource_api_version": "V3"});
        let cluster = polled_of(
            CLUSTER,
            &json!({"name": "a", "type": "EDS", "eds_cluster_config": {"eds_config": ads}}),
        );
        let rest = json!({
            "api_config_source": {"api_type": "REST", "cluster_names": ["xds"]},
            "resource_api_version": "V3",
        });
        assert_eq!(cluster["eds_cluster_config"]["eds_config"], rest);
        assert_eq!((&cluster["@type"], &cluster["name"]), (&CLUSTER.into(), &"a".into()));
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "p",
            "rds": {"route_config_name": "r", "config_source": ads},
        });
        let listener = polled_of(
            LISTENER,
            &json!({
                "name": "l",
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }),
        );
        let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(manager["rds"]["config_source"], rest, "inside an Any, too");
    }

    #[test]
    fn bytes_that_are_no_such_message_are_refused() {
        let source = Value::Null;
        assert!(polled(&TypeUrl::new(CLUSTER), b"\xff", &source).is_err());
        assert!(polled(&TypeUrl::new("type.googleapis.com/no.Such"), b"", &source).is_err());
    }
}
