//! Policy plugins.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::{Problem, ProblemPart};
use super::uploads::Places;

mod breaker;
pub(super) mod revisions;
pub(super) mod rules;

use landfall_domain::names::{IdScope, PluginName};
use landfall_domain::plugin::card::{Description, Tier, Worlds};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::{Signature, read_signatures};
use landfall_domain::plugin::{KeptComponent, PluginCard, PublishedPlugin};
use landfall_policy::image::{ConfigureError, Fetched, Problem as Refusal};
use landfall_policy::shipped;
use landfall_store::{Lane, Listing, plugin_tag};

use self::breaker::BreakerView;
use self::rules::RulesView;
use crate::catalogue::ScopeCatalogue;
use crate::service::Service;
use crate::service::images::ImageError;
use crate::service::switch::SwitchError;
use crate::service::take_over::{TakeOverError, Unfit};

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.plugins().collect(), |plugin| plugin.name.to_string());
    let kept = service.store().kept_components(&scope.scope).await?;
    let mut items = Vec::new();
    for plugin in page.items {
        items.push(view(&service, &scope, plugin, &kept).await?);
    }
    body::listing(Listing { items, next: page.next }, PluginView::clone)
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let scope = known(&service, &scope)?;
    answered(&service, &scope.scope, &name.parse()?).await
}

/// A plugin as the API shows it, and its entity tag.
async fn shown(service: &Service, scope: &IdScope, name: &PluginName) -> Result<(PluginView, String), Problem> {
    let scope = known(service, scope.as_str())?;
    let plugin = published(&scope, name)?;
    let view = view(service, &scope, plugin, &service.store().kept_components(&scope.scope).await?).await?;
    Ok((view, plugin_tag(plugin)))
}

/// The answer with a plugin and its entity tag.
async fn answered(service: &Service, scope: &IdScope, name: &PluginName) -> Answer {
    let (view, tag) = shown(service, scope, name).await?;
    body::tagged(body::ok(&view)?, Some(&tag))
}

fn published<'a>(scope: &'a ScopeCatalogue, name: &PluginName) -> Result<&'a PublishedPlugin, Problem> {
    scope.plugin(name).ok_or_else(|| Problem::not_found(format!("there is no plugin {name}")))
}

pub(super) async fn publish(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
    Extension(places): Extension<Arc<Places>>,
    request: Request,
) -> Answer {
    let (scope, name): (_, PluginName) = (known(&service, &scope)?, name.parse()?);
    caller.may_publish(&name)?;
    let (signatures, when) = (signatures(request.headers())?, body::precondition(request.headers()));
    let _one_of_few = places.publications.begin(&caller)?;
    // A component that exceeds the quota of the token is not read, let alone compiled.
    let most = service.config().limits.management.component_bytes;
    let own = caller.publisher().most_bytes.map_or(most, |own| usize::try_from(own).unwrap_or(most).min(most));
    let component = body::bytes(&service, request, own).await.map_err(|problem| match own < most {
        true => problem.noting("the token's room for plugins is no larger"),
        false => problem,
    })?;
    // A revision that does not load is never stored, let alone made live.
    let fetched = Fetched::from(component.to_vec()).named(&name).signed(signatures.clone()).by(&caller.0.id);
    let revision = service.images().load(fetched).await.map_err(not_loaded)?;
    if revision.card().tier == Tier::Recorded && !service.policies().grants_http(&scope.scope, &name) {
        return Err(Problem::new(409, not_granted(&scope.scope, &name)));
    }
    let made = service.make_live(&scope.scope, &name, &revision, signatures, &caller.publisher(), when).await;
    let outcome = made.map_err(|error| not_switched(&name, error))?;
    let (shown, tag) = shown(&service, &scope.scope, &name).await?;
    body::put(outcome, &format!("plugin {name}"), Some(&tag), &shown)
}

pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    caller.may_publish(&name.parse()?)?;
    if shipped::names_and_components().any(|(shipped, _)| shipped == name) {
        let why = "it comes with Landfall, and enrollments fall back on it; it costs nothing to leave it there";
        return Err(Problem::new(409, format!("plugin {name} is not removed: {why}")));
    }
    let (scope, name): (IdScope, PluginName) = (scope.parse()?, name.parse()?);
    // A plugin that is published anew would have no rules.
    let ruled = |plugin: &PublishedPlugin| plugin.rules != PluginRules::default();
    if !caller.is_operator() && service.scope(&scope).is_some_and(|scope| scope.plugin(&name).is_some_and(ruled)) {
        let why = "an operator has set limits or resorts for it (`landfall plugin show`), and removes it with them";
        return Err(Problem::new(409, format!("plugin {name} is not removed: {why}")));
    }
    let when = body::precondition(request.headers());
    let outcome = service.catalogue().change(|store| store.delete_plugin(&scope, &name, when)).await?;
    body::deleted(outcome, &format!("plugin {name}"))
}

fn not_switched(name: &PluginName, error: SwitchError) -> Problem {
    match error {
        SwitchError::NoScope(_) => Problem::not_found(error.to_string()),
        SwitchError::Conflict(_) | SwitchError::OtherLive(_) => Problem::new(409, error.to_string()),
        SwitchError::Store(error) => error.into(),
        SwitchError::TakeOver(error) => not_taken_over(name, error),
    }
}

/// Detached signatures are header lines, each like a line of a signature file.
fn signatures(headers: &HeaderMap) -> Result<Vec<Signature>, Problem> {
    let lines = headers.get_all(SIGNATURE).iter().map(|value| value.to_str().unwrap_or("?"));
    let text = lines.collect::<Vec<_>>().join("\n");
    read_signatures(&text).map_err(|error| Problem::new(400, format!("the header {SIGNATURE}: {error}")))
}

/// The warning for a plugin of the tier `recorded` without a network grant.
fn not_granted(scope: &IdScope, name: &PluginName) -> String {
    format!(
        "{name} imports wasi:http, which the operator must grant: add [policy.http.plugins.{name}] with `allow = [\"https://HOST\"]` (and, where {scope} is not the server's own id scope, `scopes = [\"{scope}\"]`) to landfall.toml, and start the server again"
    )
}

fn not_taken_over(name: &PluginName, error: TakeOverError) -> Problem {
    match error {
        TakeOverError::Store(error) => error.into(),
        TakeOverError::Enrollment { enrollment, reason: Unfit::Configure(ConfigureError::Refused { problems }) } => {
            let part = |Refusal { pointer, message }| ProblemPart { pointer, message };
            let detail = format!(
                "{enrollment} uses {name}, and the new revision refuses its settings; `errors` says where in them"
            );
            Problem::new(409, detail).with(problems.into_iter().map(part).collect())
        }
        TakeOverError::Enrollment { enrollment, reason } => {
            Problem::new(409, format!("{enrollment} uses {name}, and the new revision cannot take over: {reason}"))
        }
    }
}

fn not_loaded(error: ImageError) -> Problem {
    match error {
        ImageError::Store(error) => error.into(),
        error => Problem::new(422, error.to_string()),
    }
}

/// A policy plugin: its live revision, and what that is.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginView {
    name: String,
    /// The live revision: SHA-256 of the component.
    digest: String,
    /// Revisions that were live before, newest first.
    previous: Vec<String>,
    /// Whether the live revision is asked.
    breaker: BreakerView,
    /// What the operator says of it.
    #[serde(flatten)]
    rules: RulesView,
    published_at: String,
    /// The id of a token.
    published_by: String,
    /// What the component says of itself.
    description: DescriptionView,
    /// JSON Schema of its settings.
    #[schema(value_type = Option<Object>)]
    settings_schema: Option<Value>,
    /// Everything that it imports: its authority.
    imports: Vec<String>,
    /// What its imports amount to.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'static str>,
    /// What it decides: hubs (`selector`), places (`grouper`) or both (`policy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    worlds: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Bytes of revisions that the plugin has let go of, kept because a decision or an enrollment names them. They count
    /// against the quota of who published them.
    kept_bytes: u64,
    /// The ids of the trusted keys that signed it.
    signed_by: Vec<String>,
    /// Why the live revision cannot be run, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// What a component says of itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DescriptionView {
    name: String,
    version: String,
    summary: String,
}

/// Shows a plugin from its stored description; its component is loaded only if there is none. A plugin that cannot be
/// run is shown with the reason, and does not hide the others.
async fn view(
    service: &Service,
    scope: &ScopeCatalogue,
    plugin: &PublishedPlugin,
    kept: &[KeptComponent],
) -> Result<PluginView, Problem> {
    let mut problem = None;
    let mut refused = |error| match error {
        ImageError::Store(error) => Err(Problem::from(error)),
        error => {
            problem.get_or_insert(error.to_string());
            Ok(())
        }
    };
    let known = match &plugin.card {
        Some(card) => Some(card.clone()),
        None => match service.images().revision(Lane::Operator, plugin.live).await {
            Ok(revision) => Some(revision.plugin_card()),
            Err(error) => refused(error).map(|()| None)?,
        },
    };
    let version = known.as_ref().map_or(plugin.version.as_str(), |known| known.description.version.as_str());
    let signers = match service.images().signers(&plugin.name, version, plugin.live).await {
        Ok(signers) => signers,
        Err(error) => refused(error).map(|()| Vec::new())?,
    };
    let nothing = || Description {
        name: plugin.name.to_string(),
        version: plugin.version.clone(),
        summary: String::new(),
        settings_schema: None,
    };
    let (description, card) = match known {
        Some(PluginCard { description, card }) => (description, Some(card)),
        None => (nothing(), None),
    };
    Ok(PluginView {
        name: plugin.name.to_string(),
        digest: plugin.live.to_string(),
        previous: plugin.previous.iter().map(ToString::to_string).collect(),
        breaker: BreakerView::of(service, scope, &plugin.name, plugin.live),
        rules: RulesView::of(&plugin.rules),
        published_at: plugin.published_at.to_string(),
        published_by: plugin.published_by.clone(),
        description: DescriptionView {
            name: description.name,
            version: description.version,
            summary: description.summary,
        },
        settings_schema: description.settings_schema.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        imports: card.as_ref().map(|card| card.imports.clone()).unwrap_or_default(),
        tier: card.as_ref().map(|card| match card.tier {
            Tier::Pure => "pure",
            Tier::Recorded => "recorded",
        }),
        worlds: card.as_ref().map(|card| match card.worlds {
            Worlds::Selector => "selector",
            Worlds::Grouper => "grouper",
            Worlds::Policy => "policy",
        }),
        size_bytes: card.as_ref().map(|card| card.size_bytes),
        kept_bytes: kept.iter().filter(|kept| kept.plugin == plugin.name).map(|kept| kept.bytes).sum(),
        signed_by: signers.iter().map(ToString::to_string).collect(),
        problem,
    })
}

/// A signature over the published component; the header may occur several times.
pub(crate) const SIGNATURE: &str = "landfall-signature";
