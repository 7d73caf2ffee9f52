//! The OpenAPI document, generated from the table of endpoints and the types of their inputs and outputs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema as _, ToSchema as _};

use super::authorize::Rule;
use super::body::{self, Answer};
use super::problem::Problem;
use super::routes::{self, Endpoint, Gives};

pub(super) async fn serve() -> Answer {
    body::ok(&document())
}

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    for mut endpoint in routes::all() {
        schemas.append(&mut endpoint.schemas);
        let method = endpoint.method.as_str().to_ascii_lowercase();
        paths.entry(endpoint.path).or_default().insert(method, operation(&endpoint));
    }
    let schemas: BTreeMap<String, RefOr<Schema>> = schemas.into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Landfall management API",
            "description": "Every request carries a bearer token: `Authorization: Bearer lf_...`. Where `security` is empty, none is needed. What can be changed carries an entity tag (`ETag`): with it in `If-Match`, a PUT, PATCH or DELETE is done only over what was read, and answers 412 otherwise; `If-None-Match: *` makes only what is not there.",
            "version": "1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let schema = match &endpoint.gives {
        Gives::Nothing => None,
        Gives::One(name) => Some(reference(name)),
        Gives::Page(name) => Some(json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": { "type": "array", "items": reference(name) },
                "next": { "type": "string", "description": "`after` of the next page; absent on the last." },
            },
        })),
    };
    let good = match schema {
        Some(schema) => json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } }),
        None => json!({ "description": "Done." }),
    };
    let problem = json!({ "application/problem+json": { "schema": reference("Problem") } });
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "description": format!("Who may: {}.", who_may(endpoint.rule)),
        "responses": { "2XX": good, "default": { "description": "A problem (RFC 9457).", "content": problem } },
    });
    let in_path = parameters(endpoint.path);
    let in_query = endpoint.query.iter().map(|parameter| json!(parameter));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let body = endpoint.takes.as_ref().map(|(media, schema)| {
        let schema = schema.as_deref().map_or_else(|| json!({}), |name| json!({ "schema": reference(name) }));
        let content: Map<String, Value> = media.iter().map(|media| ((*media).to_owned(), schema.clone())).collect();
        json!({ "required": true, "content": content })
    });
    if let Some(operation) = operation.as_object_mut() {
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if endpoint.rule == Rule::Anybody {
            operation.insert("security".to_owned(), json!([]));
        }
        operation.extend(body.map(|body| ("requestBody".to_owned(), body)));
    }
    operation
}

/// The operation id: the method and the words of the path, such as `put_hubs_name`.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_start_matches("/api/v1/").trim_start_matches("scopes/{scope}/");
    let words = path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
    std::iter::once(endpoint.method.as_str().to_ascii_lowercase().as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn parameters(path: &str) -> impl Iterator<Item = Value> + '_ {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn who_may(rule: Rule) -> &'static str {
    match rule {
        Rule::Anybody => "whoever asks, without a token",
        Rule::AnyToken => "whoever has a token",
        Rule::Operate => "operators",
        Rule::Read => "operators and auditors",
        Rule::Import => "operators, and manufacturers for their own records",
        Rule::ReadRecords => "operators, auditors, and manufacturers for their own records",
        Rule::Publish => "operators and publishers",
        Rule::ReadPlugins => "operators, auditors and publishers",
        Rule::OperateAll => "operators whose token is bound to no id scope",
        Rule::ReadAll => "operators and auditors whose token is bound to no id scope",
        Rule::ReadMetrics => "operators, auditors and monitors whose token is bound to no id scope",
    }
}
