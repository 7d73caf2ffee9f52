//! Makes an image from a revision and settings.

use std::sync::Arc;

use landfall_domain::json::{JsonError, JsonText};
use landfall_domain::names::Digest;
use landfall_domain::text::one_line;

use super::bake::{self, Baked};
use super::compile::{Compiling, Owner};
use super::load::trial;
use super::{Configured, Image, Problem, Revision};
use crate::budget::{Budget, Budgets};
use crate::cache::Key;
use crate::engine::PolicyEngine;
use crate::failure::CallFailure;
use crate::host_view::EmptyCatalogue;
use crate::link::Linked;
use crate::log::Log;
use crate::run::{Surroundings, run};

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConfigureError {
    /// The settings are not JSON, or too large.
    #[error("the settings are {0}")]
    NotJson(String),
    /// The plugin refuses the settings.
    #[error("the plugin refuses its settings: {}", listed(problems))]
    Refused {
        /// All mistakes that the plugin reports, each with its place.
        problems: Vec<Problem>,
    },
    /// The plugin broke while it read the settings.
    #[error("the plugin broke when it was given its settings: {failure}")]
    Broke {
        failure: CallFailure,
        /// What the plugin logged.
        log: Log,
    },
    /// The plugin must be configured before each call, and that takes more than a call may use.
    #[error(
        "the plugin cannot be given its settings within what a call may use: {failure}. They are given to it before each \
         call, because {because}"
    )]
    NotWithinACall {
        /// Why the settings cannot be baked, so that they are given in each call.
        because: String,
        /// How the attempt ended.
        failure: CallFailure,
    },
}

pub(crate) fn configure(
    engine: &Arc<PolicyEngine>,
    compiling: &Compiling,
    budgets: Budgets,
    revision: &Arc<Revision>,
    settings: &str,
) -> Result<Image, ConfigureError> {
    let parsed = JsonText::parse(settings, MAX_SETTINGS_BYTES, MAX_SETTINGS_DEPTH);
    parsed.map_err(|error| ConfigureError::NotJson(describe(&error)))?;
    let settings_digest = Digest::of(settings.as_bytes());
    let key = Key::baked(engine, revision.digest, settings_digest);

    let too_large = revision.bytes.len() > compiling.max_baked_bytes;
    let baked = match cached(engine, compiling, &budgets, revision, &key) {
        Some(linked) => Ok(linked),
        None if too_large => Err(format!(
            "the component has {} KiB, and only those of at most {} KiB are compiled anew for each of their settings \
             (limits.policy.baked_component_kib)",
            revision.bytes.len().div_ceil(1024),
            compiling.max_baked_bytes / 1024
        )),
        None => bake(engine, compiling, &budgets, revision, settings, &key)?,
    };
    let (linked, configured) = match baked {
        Ok(linked) => (linked, Configured::Baked),
        Err(because) => {
            accepts(engine, &budgets.for_init(), revision, settings)?;
            let plugin = &revision.description.name;
            tracing::info!(
                plugin,
                because,
                "this policy's settings cannot be baked; it is configured before each call"
            );
            (Arc::clone(&revision.linked), Configured::EachCall { because })
        }
    };
    within_a_call(engine, &budgets, revision, &*linked, &configured, settings)?;
    Ok(Image {
        revision: Arc::clone(revision),
        settings: settings.into(),
        settings_digest,
        configured,
        linked,
        budgets,
        engine: Arc::clone(engine),
    })
}

fn cached(
    engine: &PolicyEngine,
    compiling: &Compiling,
    budgets: &Budgets,
    revision: &Revision,
    key: &Key,
) -> Option<Arc<dyn Linked>> {
    let component = compiling.cached(engine, key)?;
    let linked: Arc<dyn Linked> = crate::link::link(revision.card.wit, engine, &component).ok()?.into();
    trial(engine, budgets, &*linked).ok().map(|_| linked)
}

/// The inner error says why the settings cannot be baked, which is not the operator's mistake.
fn bake(
    engine: &PolicyEngine,
    compiling: &Compiling,
    budgets: &Budgets,
    revision: &Revision,
    settings: &str,
    key: &Key,
) -> Result<Result<Arc<dyn Linked>, String>, ConfigureError> {
    let bytes = match bake::bake(engine, compiling, budgets, revision, settings) {
        Baked::Component(bytes) => bytes,
        Baked::Refused(problems) => return Err(ConfigureError::Refused { problems }),
        Baked::Broke(failure, log) => return Err(ConfigureError::Broke { failure, log }),
        Baked::Impossible(because) => return Ok(Err(because)),
    };
    let linked = compiling
        .compile(engine, key, &bytes, Owner::Revision(revision.digest))
        .map_err(|error| error.to_string())
        .and_then(|component| {
            let linked: Arc<dyn Linked> =
                crate::link::link(revision.card.wit, engine, &component).map_err(|error| error.to_string())?.into();
            trial(engine, budgets, &*linked).map_err(|error| error.to_string())?;
            Ok(linked)
        });
    Ok(linked.map_err(|error| format!("what was baked does not load: {error}")))
}

/// Lets the plugin itself check the settings, and discards the result.
fn accepts(engine: &PolicyEngine, budget: &Budget, revision: &Revision, settings: &str) -> Result<(), ConfigureError> {
    let linked = &*revision.linked;
    let surroundings =
        Surroundings { engine, budget, waits: false, now: 0, seed: 0, catalogue: Arc::new(EmptyCatalogue) };
    let report = run(linked, surroundings, |store, instance| linked.configure(store, instance, settings).map(Ok));
    match report.result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problems)) => Err(ConfigureError::Refused { problems: bake::clipped(problems) }),
        Err(failure) => Err(ConfigureError::Broke { failure, log: report.log }),
    }
}

/// Tries the part of each call that precedes the question, within the call's budget: creating the instance, and
/// configuring it if the settings are not baked. An image that fails here could never decide anything.
fn within_a_call(
    engine: &PolicyEngine,
    budgets: &Budgets,
    revision: &Revision,
    linked: &dyn Linked,
    configured: &Configured,
    settings: &str,
) -> Result<(), ConfigureError> {
    let budget = &budgets.call;
    if let Configured::EachCall { because } = configured {
        return accepts(engine, budget, revision, settings).map_err(|error| match error {
            ConfigureError::Broke { failure, .. } => {
                ConfigureError::NotWithinACall { because: because.clone(), failure }
            }
            other => other,
        });
    }
    let surroundings =
        Surroundings { engine, budget, waits: false, now: 0, seed: 0, catalogue: Arc::new(EmptyCatalogue) };
    let report = run(linked, surroundings, |_, _| Ok(Ok(())));
    report.result.map_err(|failure| ConfigureError::Broke { failure, log: report.log })
}

fn describe(error: &JsonError) -> String {
    error.to_string()
}

fn listed(problems: &[Problem]) -> String {
    let place = |pointer: &str| {
        if pointer.is_empty() { "the whole".to_owned() } else { one_line(pointer) }
    };
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", place(&problem.pointer), one_line(&problem.message))).collect();
    if lines.is_empty() { "it does not say why".into() } else { lines.join("; ") }
}

/// Maximum size of settings in bytes.
const MAX_SETTINGS_BYTES: usize = 1 << 20;
/// Maximum nesting of arrays and objects in settings.
const MAX_SETTINGS_DEPTH: usize = 64;
