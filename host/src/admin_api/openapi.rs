//! The OpenAPI document, made from the table of endpoints and the types of the bodies.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::authorize::Rule;
use super::body::{self, Answer};
use super::routes;
use super::{authority, hub, problem, record, terms, token};
use crate::registry::import::ImportReport;

pub(super) async fn serve() -> Answer {
    body::ok(&document())
}

/// The document, OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in routes::all() {
        let mut responses = Map::new();
        let good = match endpoint.gives {
            Some(schema) => {
                json!({ "description": "Done", "content": { "application/json": { "schema": reference(schema) } } })
            }
            None => json!({ "description": "Done" }),
        };
        responses.insert("2XX".to_owned(), good);
        let problem = json!({ "application/problem+json": { "schema": reference("Problem") } });
        responses.insert("default".to_owned(), json!({ "description": "A problem (RFC 9457)", "content": problem }));
        let mut operation = json!({
            "summary": endpoint.summary,
            "description": format!("Who may: {}.", who_may(endpoint.rule)),
            "responses": responses,
            "security": [{ "token": [] }],
        });
        let parameters: Vec<Value> = parameters(endpoint.path).collect();
        if let Some(operation) = operation.as_object_mut() {
            if !parameters.is_empty() {
                operation.insert("parameters".to_owned(), parameters.into());
            }
            if let Some((media, schema)) = endpoint.takes {
                let schema = if schema.is_empty() { json!({}) } else { json!({ "schema": reference(schema) }) };
                operation.insert("requestBody".to_owned(), json!({ "required": true, "content": { media: schema } }));
            }
        }
        let path = paths.entry(endpoint.path.to_owned()).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Landfall management API", "version": "1", "license": { "name": "Apache-2.0" } },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// The types of the bodies, and all that they are made of.
fn schemas() -> Value {
    let mut all = Vec::new();
    add::<problem::Problem>(&mut all);
    add::<token::TokenWish>(&mut all);
    add::<hub::HubBody>(&mut all);
    add::<hub::HubView>(&mut all);
    add::<authority::CertificateBody>(&mut all);
    add::<authority::AuthorityView>(&mut all);
    add::<terms::EnrollmentBody>(&mut all);
    add::<record::StateBody>(&mut all);
    add::<ImportReport>(&mut all);
    let named = all.into_iter().map(|(name, schema)| (name, json!(schema)));
    Value::Object(named.collect())
}

type Schema = utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>;

fn add<T: ToSchema>(all: &mut Vec<(String, Schema)>) {
    T::schemas(all);
    all.push((T::name().into_owned(), T::schema()));
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
        Rule::AnyToken => "whoever has a token",
        Rule::Operate => "operators",
        Rule::Read => "operators and auditors",
        Rule::Import | Rule::ReadRecords => {
            "operators, manufacturers for their own records, and auditors where nothing changes"
        }
        Rule::Publish => "operators and publishers",
        Rule::ReadPlugins => "operators, auditors and publishers",
        Rule::OperateAll => "operators whose token is bound to no id scope",
        Rule::ReadAll => "operators and auditors whose token is bound to no id scope",
    }
}
