//! The revisions of a plugin, and the rollback to one of them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use landfall_domain::names::{Digest, PluginName};
use landfall_domain::plugin::PublishedPlugin;
use landfall_policy::image::Revision;
use landfall_store::{Lane, Listing, Page};
use serde::{Deserialize, Serialize};

use super::breaker::BreakerView;
use super::{not_loaded, not_switched, published, shown};
use crate::admin_api::authorize::Caller;
use crate::admin_api::body::{self, Answer, Asked, At, PageQuery};
use crate::admin_api::hub::known;
use crate::admin_api::problem::Problem;
use crate::service::Service;

/// Lists the newest first. The list is held in memory, and a page begins after a digest.
pub(in crate::admin_api) async fn list(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let plugin = published(&scope, &name.parse()?)?;
    let Page { after, limit } = page.page(&service);
    let views: Vec<RevisionView> = std::iter::once(plugin.live)
        .chain(plugin.previous.iter().copied())
        .map(|digest| {
            let breaker = BreakerView::of(&service, &scope, &plugin.name, digest);
            RevisionView::of(plugin, digest, service.images().loaded(digest).as_deref(), breaker)
        })
        .collect();
    let begin = match after {
        None => 0,
        Some(after) => views.iter().position(|view| view.digest == after).map_or(views.len(), |at| at + 1),
    };
    let items: Vec<_> = views.iter().skip(begin).take(limit).cloned().collect();
    let more = views.len() > begin.saturating_add(limit);
    let next = items.last().filter(|_| more).map(|last| last.digest.clone());
    body::listing(Listing { items, next }, RevisionView::clone)
}

pub(in crate::admin_api) async fn rollback(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (scope, name): (_, PluginName) = (known(&service, &scope)?, name.parse()?);
    caller.may_publish(&name)?;
    let when = body::precondition(request.headers());
    let body: RollbackBody = body::json(&service, request).await?;
    let plugin = published(&scope, &name)?;
    let to = match body.revision {
        Some(to) if to == plugin.live || plugin.previous.contains(&to) => to,
        Some(to) => {
            let message =
                format!("{to} was never live under {name}; `landfall plugin revisions {name}` lists those that were");
            return Err(Problem::at("/revision", message));
        }
        None => *plugin.previous.first().ok_or_else(|| {
            Problem::new(
                409,
                format!("{name} has no revision before this one; publish one with `landfall plugin publish`"),
            )
        })?,
    };
    let revision = service.images().revision_of(Lane::Operator, &name, to).await.map_err(not_loaded)?;
    let made = service.make_live(&scope.scope, &name, &revision, Vec::new(), &caller.publisher(), when).await;
    let outcome = made.map_err(|error| not_switched(&name, error))?;
    let (shown, tag) = shown(&service, &scope.scope, &name).await?;
    body::put(outcome, &format!("plugin {name}"), Some(&tag), &shown)
}

/// Where to go back to.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin_api) struct RollbackBody {
    /// SHA-256 of a component that was live before; the one right before when absent.
    #[schema(value_type = Option<String>)]
    revision: Option<Digest>,
}

/// A revision of a plugin.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginRevision)]
pub(in crate::admin_api) struct RevisionView {
    /// SHA-256 of the component.
    digest: String,
    /// Whether enrollments that name the plugin without a revision use this one.
    live: bool,
    /// Whether it is in memory, so that making it live takes no time.
    loaded: bool,
    /// Whether it is asked.
    breaker: BreakerView,
    /// What it says of its version; absent when that was never kept.
    version: Option<String>,
    /// When it was published, the first time.
    published_at: Option<String>,
    /// By whom: the id of a token.
    published_by: Option<String>,
    /// When the live one was made live, if that was later: by going back to it, or by publishing it again.
    live_since: Option<String>,
    /// By whom: the id of a token.
    live_by: Option<String>,
}

impl RevisionView {
    fn of(plugin: &PublishedPlugin, digest: Digest, loaded: Option<&Revision>, breaker: BreakerView) -> Self {
        let live = digest == plugin.live;
        let (version, at, by) = match plugin.past(digest) {
            _ if live => (Some(&plugin.version), Some(plugin.published_at), Some(&plugin.published_by)),
            Some(past) => (Some(&past.version), Some(past.published_at), Some(&past.published_by)),
            None => (None, None, None),
        };
        let kept = version.filter(|version| !version.is_empty()).cloned();
        Self {
            digest: digest.to_string(),
            live,
            loaded: loaded.is_some(),
            breaker,
            version: kept.or_else(|| loaded.map(|revision| revision.description().version.clone())),
            published_at: at.map(|at| at.to_string()),
            published_by: by.cloned(),
            live_since: plugin.live_since.filter(|_| live).map(|at| at.to_string()),
            live_by: plugin.live_by.clone().filter(|_| live),
        }
    }
}
