//! Policy plugins.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::names::PluginName;
use crate::policy::image::{Revision, Tier, Worlds};
use crate::policy::live::ImageError;
use crate::service::Service;
use crate::store::{Listing, PublishedPlugin};

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.plugins().collect(), |plugin| plugin.name.to_string());
    let mut items = Vec::new();
    for plugin in page.items {
        let revision = service.images.revision(plugin.live).await.map_err(not_loaded)?;
        items.push(view(plugin, &revision));
    }
    body::listing(Listing { items, next: page.next }, Value::clone)
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let scope = known(&service, &scope)?;
    let plugin =
        scope.plugin(&name.parse()?).ok_or_else(|| Problem::not_found(format!("there is no plugin {name}")))?;
    let revision = service.images.revision(plugin.live).await.map_err(not_loaded)?;
    body::ok(&view(plugin, &revision))
}

pub(super) async fn publish(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (scope, name): (_, PluginName) = (known(&service, &scope)?, name.parse()?);
    let component = body::bytes(&service, request, service.config.limits.management.component_bytes).await?;
    // A revision that does not load is never kept, let alone made live.
    let revision = service.images.load(component.to_vec()).await.map_err(not_loaded)?;
    let before = scope.plugin(&name);
    if before.is_some_and(|before| before.live == revision.digest()) {
        return body::ok(&before.map(|before| view(before, &revision)));
    }
    service.takes_over(&scope, &name, &revision).await.map_err(|(group, error)| {
        Problem::new(409, format!("group {group} uses {name}, and the new revision cannot take over: {error}"))
    })?;
    let previous = before.iter().flat_map(|before| std::iter::once(before.live).chain(before.previous.iter().copied()));
    let plugin = PublishedPlugin {
        name: name.clone(),
        live: revision.digest(),
        previous: previous.collect(),
        published_at: service.ambient.now(),
        published_by: caller.0.id.clone(),
    };
    let shown = view(&plugin, &revision);
    let outcome = service.store.publish_plugin(&scope.scope, plugin, component.to_vec()).await?;
    service.reload().await?;
    service.warm_up().await;
    body::put(outcome, &format!("plugin {name}"), None, &shown)
}

pub(super) async fn remove(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let outcome = service.store.delete_plugin(&scope.parse()?, &name.parse()?).await?;
    service.reload().await?;
    body::deleted(outcome, &format!("plugin {name}"))
}

fn not_loaded(error: ImageError) -> Problem {
    match error {
        ImageError::Store(error) => error.into(),
        error => Problem::new(422, error.to_string()),
    }
}

fn view(plugin: &PublishedPlugin, revision: &Revision) -> Value {
    let (card, description) = (revision.card(), revision.description());
    json!({
        "name": plugin.name,
        "digest": plugin.live,
        "previous": plugin.previous,
        "publishedAt": plugin.published_at.to_string(),
        "publishedBy": plugin.published_by,
        "description": {
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
        },
        "settingsSchema": description.settings_schema.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "imports": card.imports,
        "tier": match card.tier { Tier::Pure => "pure" },
        "worlds": match card.worlds {
            Worlds::Selector => "selector",
            Worlds::Grouper => "grouper",
            Worlds::Policy => "policy",
        },
        "sizeBytes": revision.bytes().len(),
    })
}
