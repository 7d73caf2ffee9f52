//! Loads a component as far as that is possible without settings.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall_domain::decision::call::CallReport;
use landfall_domain::names::{Digest, PluginName, is_version};
use wasmtime::component::Component;

use super::classify::{ClassifyError, classify};
use super::compile::{CompileError, Compiling, Owner};
use super::{Card, Description, Revision};
use crate::budget::Budgets;
use crate::cache::Key;
use crate::engine::PolicyEngine;
use crate::failure::CallFailure;
use crate::host_view::EmptyCatalogue;
use crate::link::{LinkError, Linked};
use crate::log::Log;
use crate::run::{Surroundings, run};
use crate::trust::{Signature, Subject, Trust, VerifyError};

/// Why a component cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FetchError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The file is larger than a component may be.
    #[error(
        "{path} has more than {limit_bytes} bytes, which is the most that is taken; strip debug information, optimise for size"
    )]
    TooLarge { path: PathBuf, limit_bytes: usize },
}

/// Why a component is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoadError {
    /// The component is not signed as the configuration demands.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The component is not a plugin for this host, or needs more than it gets.
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    /// The component cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The component does not fit the contract that it names.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The component broke in the trial.
    #[error("the plugin broke when it was tried: {failure}")]
    Trial {
        failure: CallFailure,
        /// What the component logged.
        log: Log,
    },
    /// The component's description of itself is not valid.
    #[error("the plugin describes itself wrongly: {problem}")]
    Description {
        /// What is wrong with the description.
        problem: String,
    },
}

/// What is needed to load components.
pub(crate) struct Loader<'a> {
    pub(crate) engine: &'a PolicyEngine,
    pub(crate) compiling: &'a Compiling,
    pub(crate) budgets: &'a Budgets,
    pub(crate) limit_bytes: usize,
}

/// A component's bytes and the signatures that came with them, from any source. Nothing but their digest is known yet.
#[derive(Clone)]
pub struct Fetched {
    bytes: Arc<[u8]>,
    digest: Digest,
    signatures: Vec<Signature>,
    name: Option<PluginName>,
    publisher: Option<String>,
}

/// Bytes whose signatures have been verified.
pub(crate) struct Verified {
    bytes: Arc<[u8]>,
    digest: Digest,
    owner: Owner,
}

/// A component of a known world that imports only what is granted.
struct Classified {
    verified: Verified,
    card: Card,
}

struct Compiled {
    classified: Classified,
    component: Component,
}

/// Machine code that is linked with its imports.
struct Connected {
    classified: Classified,
    linked: Arc<dyn Linked>,
}

impl Fetched {
    /// Reads a component from a file, if it has at most `limit_bytes`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is larger.
    pub fn read(path: &Path, limit_bytes: usize) -> Result<Self, FetchError> {
        let failed = |source| FetchError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        // The bytes that were read are counted, not the size in the directory: a pipe has no size, and a file can
        // grow.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > limit_bytes {
            return Err(FetchError::TooLarge { path: path.to_owned(), limit_bytes });
        }
        Ok(Self::from(bytes))
    }

    /// The same component with these signatures.
    #[must_use]
    pub fn signed(self, signatures: Vec<Signature>) -> Self {
        Self { signatures, ..self }
    }

    /// The same component, to be published under this name. Its signatures must then be for this name.
    #[must_use]
    pub fn named(self, name: &PluginName) -> Self {
        Self { name: Some(name.clone()), ..self }
    }

    /// The same component, published by a token. Compiling it waits for the other components of this token.
    #[must_use]
    pub fn by(self, token: &str) -> Self {
        Self { publisher: Some(token.to_owned()), ..self }
    }

    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The component's bytes.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Verifies the signatures, before anything inspects or runs the component.
    pub(crate) fn verified(self, trust: &Trust) -> Result<Verified, LoadError> {
        trust.verify(&self.subject(None), &self.signatures)?;
        let Self { bytes, digest, publisher, .. } = self;
        let owner = publisher.map_or(Owner::Revision(digest), Owner::Token);
        Ok(Verified { bytes, digest, owner })
    }

    /// Checks that the component states the version that its signatures are for. Only the component knows its version.
    pub(crate) fn is_of(&self, version: &str, trust: &Trust) -> Result<(), LoadError> {
        if self.name.is_some() {
            trust.verify(&self.subject(Some(version)), &self.signatures)?;
        }
        Ok(())
    }

    fn subject<'a>(&'a self, version: Option<&'a str>) -> Subject<'a> {
        Subject { digest: self.digest, name: self.name.as_ref(), version }
    }
}

impl<B: Into<Arc<[u8]>>> From<B> for Fetched {
    fn from(bytes: B) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes, signatures: Vec::new(), name: None, publisher: None }
    }
}

impl Verified {
    /// Runs all stages.
    pub(crate) fn load(self, loader: &Loader<'_>) -> Result<Revision, LoadError> {
        self.classified(loader.limit_bytes)?.compiled(loader)?.linked(loader.engine)?.trialled(loader)
    }

    fn classified(self, limit_bytes: usize) -> Result<Classified, LoadError> {
        let card = classify(&self.bytes, limit_bytes)?;
        Ok(Classified { verified: self, card })
    }
}

impl Classified {
    fn compiled(self, loader: &Loader<'_>) -> Result<Compiled, LoadError> {
        let Verified { bytes, digest, owner, .. } = &self.verified;
        let key = Key::component(loader.engine, *digest);
        let component = loader.compiling.compile(loader.engine, &key, bytes, owner.clone())?;
        Ok(Compiled { classified: self, component })
    }
}

impl Compiled {
    fn linked(self, engine: &PolicyEngine) -> Result<Connected, LoadError> {
        let linked = crate::link::link(self.classified.card.wit, engine, &self.component)?.into();
        Ok(Connected { classified: self.classified, linked })
    }
}

impl Connected {
    fn trialled(self, loader: &Loader<'_>) -> Result<Revision, LoadError> {
        let description = trial(loader.engine, loader.budgets, &*self.linked)?;
        let Self { classified: Classified { verified, card }, linked } = self;
        let Verified { bytes, digest, .. } = verified;
        Ok(Revision { digest, bytes, description, card, linked })
    }
}

/// Creates an instance and lets it describe itself.
pub(crate) fn trial(engine: &PolicyEngine, budgets: &Budgets, linked: &dyn Linked) -> Result<Description, LoadError> {
    let mut differs = Ok(());
    let budget = budgets.for_init();
    let surroundings =
        Surroundings { engine, budget: &budget, waits: false, now: 0, seed: 0, catalogue: Arc::new(EmptyCatalogue) };
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
    name.parse::<PluginName>().map_err(|error| error.to_string())?;
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
    match landfall_domain::json::value(schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err("the schema of its settings is neither an object nor a boolean".into()),
        Err(error) => Err(format!("the schema of its settings is not JSON: {error}")),
    }
}

/// Maximum number of characters in a description's summary.
const MAX_SUMMARY_CHARS: usize = 500;
/// Maximum size of a schema in bytes.
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
