//! Tokens of this API.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Answer};
use super::problem::Problem;
use crate::secret::Token;
use crate::service::Service;
use crate::token::{Role, TokenRecord};

/// A token that is wished for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TokenWish {
    /// `operator`, `manufacturer`, `publisher` or `auditor`.
    role: String,
    /// Whose records a manufacturer's token may import.
    manufacturer: Option<String>,
    /// How many records that manufacturer may have.
    quota: Option<u64>,
    /// The only id scope that it is good for.
    scope: Option<String>,
    /// After how many days it ends.
    days: Option<u64>,
    /// What it is for.
    #[serde(default)]
    note: String,
}

pub(super) async fn list(State(service): State<Arc<Service>>) -> Answer {
    let items: Vec<Value> = service.store.tokens().await?.iter().map(view).collect();
    body::ok(&json!({ "items": items }))
}

pub(super) async fn create(State(service): State<Arc<Service>>, request: Request) -> Answer {
    let wish: TokenWish = body::json(&service, request).await?;
    let role = match (wish.role.as_str(), wish.manufacturer) {
        ("operator", None) => Role::Operator,
        ("publisher", None) => Role::Publisher,
        ("auditor", None) => Role::Auditor,
        ("manufacturer", Some(name)) => Role::Manufacturer {
            manufacturer: name.parse().map_err(|error| Problem::at("/manufacturer", format!("{error}")))?,
            quota: wish.quota,
        },
        ("manufacturer", None) => return Err(Problem::at("/manufacturer", "say whose records it may import")),
        ("operator" | "publisher" | "auditor", Some(_)) => {
            return Err(Problem::at("/manufacturer", "only a manufacturer's token has one"));
        }
        _ => return Err(Problem::at("/role", "one of operator, manufacturer, publisher, auditor")),
    };
    let scope = match &wish.scope {
        None => None,
        Some(scope) => Some(super::hub::known(&service, scope).map_err(|_| Problem::at("/scope", "there is no such id scope"))?.scope.clone()),
    };
    if wish.note.len() > MAX_NOTE_BYTES {
        return Err(Problem::at("/note", format!("at most {MAX_NOTE_BYTES} bytes")));
    }
    let now = service.ambient.now();
    let token = Token::generate(service.ambient.random());
    let id: String = service.ambient.random::<6>().iter().map(|byte| format!("{byte:02x}")).collect();
    let record = TokenRecord {
        id,
        secret_sha256: token.digest(),
        note: wish.note,
        role,
        scope,
        created_at: now,
        expires_at: wish.days.map(|days| now.plus(Duration::from_secs(days.saturating_mul(86_400)))),
    };
    let mut shown = view(&record);
    if let Some(members) = shown.as_object_mut() {
        members.insert("token".to_owned(), token.expose().into());
    }
    service.store.put_token(record).await?;
    body::answer(StatusCode::CREATED, &shown)
}

pub(super) async fn revoke(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    if service.store.delete_token(&id).await? {
        body::no_content()
    } else {
        Err(Problem::not_found(format!("there is no token {id}")))
    }
}

fn view(token: &TokenRecord) -> Value {
    let (role, manufacturer, quota) = match &token.role {
        Role::Operator => ("operator", None, None),
        Role::Manufacturer { manufacturer, quota } => ("manufacturer", Some(manufacturer), *quota),
        Role::Publisher => ("publisher", None, None),
        Role::Auditor => ("auditor", None, None),
    };
    let mut view = json!({ "id": token.id, "role": role, "note": token.note, "createdAt": token.created_at.to_string() });
    let more = [
        ("manufacturer", manufacturer.map(|name| json!(name))),
        ("quota", quota.map(|quota| json!(quota))),
        ("scope", token.scope.as_ref().map(|scope| json!(scope))),
        ("expiresAt", token.expires_at.map(|end| json!(end.to_string()))),
    ];
    if let Some(members) = view.as_object_mut() {
        members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    view
}

const MAX_NOTE_BYTES: usize = 200;
