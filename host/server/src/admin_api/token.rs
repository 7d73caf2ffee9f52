//! Tokens of this API.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use http::StatusCode;
use landfall_domain::api_token::{Role, TokenRecord};
use landfall_domain::names::{PluginName, RegistrationId};
use landfall_domain::secret::Token;
use landfall_domain::text::hex;
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::problem::Problem;
use crate::service::Service;

/// A token that is wished for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TokenWish {
    /// `operator`, `manufacturer`, `publisher`, `auditor` or `monitor`.
    role: String,
    /// Whose records a manufacturer's token may import.
    manufacturer: Option<String>,
    /// How many records that manufacturer may have.
    quota: Option<u64>,
    /// How the registration ids must begin that a manufacturer's token imports, in one of these ways; any when absent.
    #[serde(default)]
    prefixes: Vec<String>,
    /// The names that a publisher's token may publish under; one that ends with `*` is a prefix. Without any, all but those
    /// of the policies that come with Landfall.
    #[serde(default)]
    plugins: Vec<String>,
    /// How many MiB of plugins a publisher's token may have published.
    plugins_mib: Option<u64>,
    /// The only id scope that it is good for.
    scope: Option<String>,
    /// After how many days it ends.
    days: Option<u64>,
    /// What it is for.
    #[serde(default)]
    note: String,
}

pub(super) async fn list(State(service): State<Arc<Service>>, Asked(page): Asked<PageQuery>) -> Answer {
    let tokens = service.store().tokens().await?;
    body::listing(page.of(&service, tokens, |token| token.id.clone()), view)
}

pub(super) async fn create(State(service): State<Arc<Service>>, request: Request) -> Answer {
    let wish: TokenWish = body::json(&service, request).await?;
    let role = match (wish.role.as_str(), wish.manufacturer) {
        ("operator", None) => Role::Operator,
        ("publisher", None) => Role::Publisher,
        ("auditor", None) => Role::Auditor,
        ("monitor", None) => Role::Monitor,
        ("manufacturer", Some(name)) => Role::Manufacturer {
            manufacturer: name.parse().map_err(|error| Problem::at("/manufacturer", format!("{error}")))?,
            quota: wish.quota,
            prefixes: wish.prefixes.clone(),
        },
        ("manufacturer", None) => return Err(Problem::at("/manufacturer", "say whose records it may import")),
        ("operator" | "publisher" | "auditor" | "monitor", Some(_)) => {
            return Err(Problem::at("/manufacturer", "only a manufacturer's token has one"));
        }
        _ => return Err(Problem::at("/role", "one of operator, manufacturer, publisher, auditor, monitor")),
    };
    let scope = match &wish.scope {
        None => None,
        Some(scope) => Some(
            super::hub::known(&service, scope)
                .map_err(|_| Problem::at("/scope", "there is no such id scope"))?
                .scope
                .clone(),
        ),
    };
    match (&role, &scope) {
        (Role::Manufacturer { .. } | Role::Publisher, None) => {
            return Err(Problem::at("/scope", "name one: only operators and auditors can be good for all id scopes"));
        }
        (Role::Monitor, Some(_)) => {
            return Err(Problem::at("/scope", "leave it out: the metrics are of all id scopes"));
        }
        (Role::Manufacturer { .. } | Role::Publisher, Some(_))
        | (Role::Operator | Role::Auditor | Role::Monitor, _) => {}
    }
    if wish.quota.is_some() && !matches!(role, Role::Manufacturer { .. }) {
        return Err(Problem::at("/quota", "only a manufacturer's token has one"));
    }
    if !wish.prefixes.is_empty() && !matches!(role, Role::Manufacturer { .. }) {
        return Err(Problem::at("/prefixes", "only a manufacturer's token has them"));
    }
    if wish.prefixes.len() > MAX_PREFIXES {
        return Err(Problem::at("/prefixes", format!("at most {MAX_PREFIXES}")));
    }
    for (place, prefix) in wish.prefixes.iter().enumerate() {
        // A prefix is valid if it could be an id after removal of trailing separators.
        prefix.trim_end_matches(['-', '.', ':', '_']).parse::<RegistrationId>().map_err(|error| {
            Problem::at(format!("/prefixes/{place}"), format!("no registration id begins so: {error}"))
        })?;
    }
    if role != Role::Publisher && !wish.plugins.is_empty() {
        return Err(Problem::at("/plugins", "only a publisher's token has them"));
    }
    if role != Role::Publisher && wish.plugins_mib.is_some() {
        return Err(Problem::at("/pluginsMib", "only a publisher's token has one"));
    }
    if wish.plugins.len() > MAX_PLUGINS {
        return Err(Problem::at("/plugins", format!("at most {MAX_PLUGINS} are taken")));
    }
    for (number, name) in wish.plugins.iter().enumerate() {
        let plain = name.strip_suffix('*').map_or(name.as_str(), |prefix| prefix.strip_suffix('-').unwrap_or(prefix));
        plain.parse::<PluginName>().map_err(|error| Problem::at(format!("/plugins/{number}"), format!("{error}")))?;
    }
    if wish.days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
        return Err(Problem::at("/days", format!("from 1 to {MAX_DAYS}")));
    }
    if wish.note.len() > MAX_NOTE_BYTES || wish.note.chars().any(char::is_control) {
        return Err(Problem::at("/note", format!("at most {MAX_NOTE_BYTES} bytes, without control characters")));
    }
    let now = service.ambient().now();
    let token = Token::generate(service.ambient().random());
    let id = hex(&service.ambient().random::<6>());
    let record = TokenRecord {
        id,
        secret_sha256: token.digest(),
        note: wish.note,
        role,
        scope,
        created_at: now,
        expires_at: wish.days.map(|days| now.plus(Duration::from_secs(days.saturating_mul(86_400)))),
        plugins: wish.plugins,
        plugins_mib: wish.plugins_mib,
    };
    let shown = NewTokenView { token: token.expose().to_owned(), about: view(&record) };
    service.store().put_token(record).await?;
    body::answer(StatusCode::CREATED, &shown)
}

pub(super) async fn revoke(State(service): State<Arc<Service>>, At(id): At<String>, request: Request) -> Answer {
    let when = body::precondition(request.headers());
    let outcome = service.store().delete_token(&id, service.latest_time(), when).await?;
    body::deleted(outcome, &format!("token {id}"))
}

/// A token, without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenView {
    /// By which it is revoked.
    id: String,
    /// `operator`, `manufacturer`, `publisher`, `auditor` or `monitor`.
    role: &'static str,
    /// Whose records a manufacturer's token may import.
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<String>,
    /// How many records that manufacturer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<u64>,
    /// How the registration ids must begin that a manufacturer's token imports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prefixes: Vec<String>,
    /// The names that a publisher's token may publish under; one that ends with `*` is a prefix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(default = json!([]))]
    plugins: Vec<String>,
    /// How many MiB of plugins a publisher's token may have published.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins_mib: Option<u64>,
    /// The only id scope that it is good for; all of them when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// What it is for.
    note: String,
    created_at: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewTokenView {
    /// The token itself. It is told this once and kept nowhere.
    token: String,
    #[serde(flatten)]
    about: TokenView,
}

fn view(token: &TokenRecord) -> TokenView {
    let (role, manufacturer, quota, prefixes) = match &token.role {
        Role::Operator => ("operator", None, None, None),
        Role::Manufacturer { manufacturer, quota, prefixes } => {
            ("manufacturer", Some(manufacturer), *quota, Some(prefixes))
        }
        Role::Publisher => ("publisher", None, None, None),
        Role::Auditor => ("auditor", None, None, None),
        Role::Monitor => ("monitor", None, None, None),
    };
    TokenView {
        id: token.id.clone(),
        role,
        manufacturer: manufacturer.map(ToString::to_string),
        quota,
        prefixes: prefixes.cloned().unwrap_or_default(),
        plugins: token.plugins.clone(),
        plugins_mib: token.plugins_mib,
        scope: token.scope.as_ref().map(ToString::to_string),
        note: token.note.clone(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|end| end.to_string()),
    }
}

const MAX_PREFIXES: usize = 32;

/// The maximum number of plugin names that one token may publish under.
const MAX_PLUGINS: usize = 64;

const MAX_NOTE_BYTES: usize = 200;

const MAX_DAYS: u64 = 3653;
