//! Registrations.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::registration::{Outcome, Registration};
use crate::service::Service;
use crate::store::RegistrationFilter;

/// Which registrations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    hub: Option<String>,
    group: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(filter): Asked<Filter>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = PageQuery { after: filter.after, limit: filter.limit };
    let filter = RegistrationFilter {
        hub: filter.hub.as_deref().map(str::parse).transpose()?,
        group: filter.group.as_deref().map(str::parse).transpose()?,
    };
    body::listing(service.store.registrations(&scope.scope, page.page(&service), filter).await?, view)
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, id)): At<(String, String)>) -> Answer {
    let found = service.store.registration(&scope.parse()?, &id.parse()?).await?;
    let found = found.ok_or_else(|| missing(&id))?;
    body::tagged(body::ok(&view(&found))?, Some(&found.etag()))
}

pub(super) async fn remove(State(service): State<Arc<Service>>, At((scope, id)): At<(String, String)>) -> Answer {
    let scope = known(&service, &scope)?;
    let removed = service.store.delete_registration(&scope.scope, &id.parse()?).await?;
    let removed = removed.ok_or_else(|| missing(&id))?;
    scope.hubs.moved(removed.hub(), None);
    body::no_content()
}

pub(super) async fn release(State(service): State<Arc<Service>>, At((scope, id)): At<(String, String)>) -> Answer {
    if service.store.release_registration(&scope.parse()?, &id.parse()?).await? {
        body::no_content()
    } else {
        Err(missing(&id))
    }
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("{id} is not registered"))
}

fn view(registration: &Registration) -> Value {
    let mut view = json!({
        "registrationId": registration.registration_id,
        "enrollment": registration.enrollment,
        "keyIdentity": registration.key_identity,
        "operationId": registration.operation,
        "decision": registration.decision.to_string(),
        "createdAt": registration.created_at.to_string(),
        "updatedAt": registration.updated_at.to_string(),
        "generation": registration.generation,
    });
    let outcome = match &registration.outcome {
        Outcome::Assigned(assignment) => json!({
            "status": "assigned",
            "hub": assignment.hub,
            "deviceId": assignment.device_id,
            "since": assignment.since.to_string(),
            "substatus": assignment.substatus,
            "group": assignment.group_path,
            "tags": assignment.tags.value(),
            "desired": assignment.desired.value(),
            "payload": assignment.payload.as_ref().map(crate::json::JsonText::value),
        }),
        Outcome::Failed { code, message } => json!({ "status": "failed", "errorCode": code, "errorMessage": message }),
    };
    if let (Some(members), Value::Object(outcome)) = (view.as_object_mut(), outcome) {
        members.extend(outcome);
    }
    view
}
