//! Linked hubs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use landfall_domain::hub::{Connector, Hub, HubState, Location};
use landfall_domain::names::{HubName, IdScope};
use landfall_store::entity_tag;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::problem::{Problem, ProblemPart};
use crate::catalogue::ScopeCatalogue;
use crate::catalogue::candidates::LinkedHub;
use crate::service::Service;

/// A hub as an operator links it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HubBody {
    /// Its share under the `weighted` policy, 1 to 1000.
    #[serde(default = "one")]
    weight: u32,
    /// How many devices it takes.
    capacity: u64,
    /// Where it stands, in degrees.
    location: Option<Location>,
    /// Free labels for policies.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Whether it takes new devices.
    #[serde(default)]
    state: HubState,
    /// How it is told of a device.
    #[serde(default)]
    connector: Connector,
    /// What was read can be sent back: these are not looked at.
    #[serde(default, rename = "name")]
    #[schema(ignore)]
    _name: Option<IgnoredAny>,
    #[serde(default, rename = "assigned")]
    #[schema(ignore)]
    _assigned: Option<IgnoredAny>,
}

/// A hub as it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HubView {
    /// Its host name.
    name: String,
    weight: u32,
    capacity: u64,
    /// Devices assigned to it.
    assigned: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    labels: BTreeMap<String, String>,
    state: HubState,
    connector: Connector,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    body::listing(page.of(&service, scope.hubs.iter().collect(), |linked| linked.hub.name.to_string()), |linked| {
        view(linked)
    })
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let scope = known(&service, &scope)?;
    let linked = scope.hubs.get(&name.parse()?).ok_or_else(|| Problem::not_found(format!("{name} is not linked")))?;
    body::tagged(body::ok(&view(linked))?, Some(&entity_tag(&linked.hub)))
}

pub(super) async fn link(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let (scope, name): (IdScope, HubName) = (known(&service, &scope)?.scope.clone(), name.parse()?);
    let when = body::precondition(request.headers());
    let hub = parse(name.clone(), body::json(&service, request).await?)?;
    let outcome = service.catalogue().change(|store| store.put_hub(&scope, hub, when)).await?;
    let catalogue = known(&service, scope.as_str())?;
    let linked = catalogue.hubs.get(&name);
    let tag = linked.map(|linked| entity_tag(&linked.hub));
    body::put(outcome, &format!("hub {name}"), tag.as_deref(), &linked.map(view))
}

pub(super) async fn unlink(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    let (scope, hub): (IdScope, HubName) = (scope.parse()?, name.parse()?);
    let outcome = service.catalogue().change(|store| store.delete_hub(&scope, &hub, when)).await?;
    body::deleted(outcome, &format!("hub {name}"))
}

/// The catalogue of a scope, which must exist.
pub(super) fn known(service: &Service, scope: &str) -> Result<Arc<ScopeCatalogue>, Problem> {
    let missing = || Problem::not_found(format!("there is no id scope {scope:?} here"));
    service.scope(&scope.parse().map_err(|_| missing())?).ok_or_else(missing)
}

fn parse(name: HubName, body: HubBody) -> Result<Hub, Problem> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, message: &str| {
        errors.push(ProblemPart { pointer: pointer.to_owned(), message: message.to_owned() });
    };
    if !(1..=1000).contains(&body.weight) {
        wrong("/weight", "must be from 1 to 1000");
    }
    if let Some(Location { latitude, longitude }) = body.location {
        if !(-90.0..=90.0).contains(&latitude) {
            wrong("/location/latitude", "must be from -90 to 90");
        }
        if !(-180.0..=180.0).contains(&longitude) {
            wrong("/location/longitude", "must be from -180 to 180");
        }
    }
    if body.labels.len() > MAX_LABELS
        || body.labels.iter().any(|(key, value)| key.is_empty() || key.len() + value.len() > MAX_LABEL_BYTES)
    {
        wrong("/labels", "at most 64 labels, each with a name, and at most 512 bytes with it");
    }
    if errors.is_empty() {
        let HubBody { weight, capacity, location, labels, state, connector, .. } = body;
        Ok(Hub { name, weight, capacity, location, labels, state, connector })
    } else {
        Err(Problem::of(errors))
    }
}

fn view(linked: &LinkedHub) -> HubView {
    let Hub { name, weight, capacity, location, labels, state, connector } = linked.hub.clone();
    HubView { name: name.into(), weight, capacity, assigned: linked.assigned(), location, labels, state, connector }
}

fn one() -> u32 {
    1
}

const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 512;
