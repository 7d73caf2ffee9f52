//! Loads a component as far as it goes without settings.

use std::sync::Arc;

use super::classify::{ClassifyError, classify};
use super::compile::{CompileError, Compiling};
use super::{Description, Revision};
use crate::names::Digest;
use crate::policy::budget::Budgets;
use crate::policy::cache::Key;
use crate::policy::call::CallReport;
use crate::policy::catalogue::EmptyCatalogue;
use crate::policy::engine::PolicyEngine;
use crate::policy::failure::CallFailure;
use crate::policy::link::{LinkError, Linked};
use crate::policy::log::Log;
use crate::policy::run::{Surroundings, run};

/// Why a component is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not a plugin of this host, or wants more than it gets.
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not fit the contract that it names.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It broke when it was tried.
    #[error("the plugin broke when it was tried: {failure}")]
    Trial {
        /// How.
        failure: CallFailure,
        /// What it logged.
        log: Log,
    },
    /// It does not describe itself properly.
    #[error("the plugin describes itself wrongly: {problem}")]
    Description {
        /// What is wrong.
        problem: String,
    },
}

pub(in crate::policy) fn load(
    engine: &PolicyEngine,
    compiling: &Compiling,
    budgets: &Budgets,
    bytes: Arc<[u8]>,
    digest: Digest,
    limit_bytes: usize,
) -> Result<Revision, LoadError> {
    let card = classify(&bytes, limit_bytes)?;
    let component = compiling.compile(engine, &Key::component(engine, digest), &bytes)?;
    let linked: Arc<dyn Linked> = card.wit.link(engine, &component)?.into();
    let description = trial(engine, budgets, &*linked)?;
    Ok(Revision { digest, bytes, description, card, linked })
}

/// Makes an instance and lets it describe itself.
pub(in crate::policy) fn trial(
    engine: &PolicyEngine,
    budgets: &Budgets,
    linked: &dyn Linked,
) -> Result<Description, LoadError> {
    let mut differs = Ok(());
    let budget = budgets.for_init();
    let surroundings = Surroundings { engine, budget: &budget, now: 0, seed: 0, catalogue: Arc::new(EmptyCatalogue) };
    let CallReport { result, log, .. } = run(linked, surroundings, |store, instance| {
        differs = linked.check(store, instance);
        if differs.is_err() {
            return Ok(Ok(None));
        }
        linked.describe(store, instance).map(|description| Ok(Some(description)))
    });
    differs?;
    let description = result.map_err(|failure| LoadError::Trial { failure, log })?;
    let description = description.ok_or(LoadError::Description { problem: "there is no description".into() })?;
    check(&description).map_err(|problem| LoadError::Description { problem })?;
    Ok(description)
}

fn check(description: &Description) -> Result<(), String> {
    let Description { name, version, summary, settings_schema } = description;
    name.parse::<crate::names::PluginName>().map_err(|error| error.to_string())?;
    if !is_version(version) {
        return Err(format!("{version:?} is not a semantic version such as 1.2.3"));
    }
    if summary.chars().count() > MAX_SUMMARY_CHARS {
        return Err(format!("the summary is longer than {MAX_SUMMARY_CHARS} characters"));
    }
    let Some(schema) = settings_schema else {
        return Ok(());
    };
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(format!("the schema of its settings is larger than {MAX_SCHEMA_BYTES} bytes"));
    }
    match serde_json::from_str(schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err("the schema of its settings is neither an object nor a boolean".into()),
        Err(error) => Err(format!("the schema of its settings is not JSON: {error}")),
    }
}

/// `1.2.3`, then anything that a pre-release or a build may carry.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let rest_is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte));
    core.split('.').count() == 3 && core.split('.').all(number) && rest_is_plain && text.len() <= 64
}

/// Characters of a description's summary.
const MAX_SUMMARY_CHARS: usize = 500;
/// Bytes of a schema.
const MAX_SCHEMA_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description { name: "nearest".into(), version: "1.0.0".into(), summary: String::new(), settings_schema: None }
    }

    #[test]
    fn a_description_is_checked() {
        assert_eq!(check(&description()), Ok(()));
        assert!(check(&Description { name: "Nearest hub".into(), ..description() }).is_err());
        assert!(check(&Description { summary: "x".repeat(501), ..description() }).is_err());
        for (schema, good) in [("{}", true), ("true", true), ("1", false), ("{", false)] {
            let described = Description { settings_schema: Some(schema.into()), ..description() };
            assert_eq!(check(&described).is_ok(), good, "{schema}");
        }
        for (version, good) in
            [("0.1.0", true), ("1.2.3-rc.1+b5", true), ("1.2", false), ("v1.2.3", false), ("1.2.3 ", false)]
        {
            assert_eq!(check(&Description { version: version.into(), ..description() }).is_ok(), good, "{version}");
        }
    }
}
