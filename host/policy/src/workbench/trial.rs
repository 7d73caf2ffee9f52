//! Runs golden vectors and reports what differs.

use std::collections::HashMap;
use std::sync::Arc;

use landfall_domain::decision::call::{CallReport, Usage};
use landfall_domain::decision::log::{Log, LogLevel};
use serde::Serialize;

use super::expectation::{Answered, Difference};
use super::sentences;
use super::vector::Vector;
use crate::image::{ConfigureError, Image, Revision};
use crate::{Budgets, PolicyHost};

/// Runs the vectors of one plugin. Each set of settings is configured only once.
pub struct Trial<'a> {
    host: &'a PolicyHost,
    revision: Arc<Revision>,
    budgets: Budgets,
    images: HashMap<String, Result<Arc<Image>, ConfigureError>>,
}

/// The result of a vector.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Tried {
    pub name: String,
    /// The differences between the answer and the expectation. Empty if there are none.
    pub differences: Vec<Difference>,
    /// The whole answer, in the form of an expectation.
    pub answer: serde_json::Value,
    /// What the call used.
    pub usage: Usage,
    /// The fuel that the vector allows.
    pub max_fuel: Option<u64>,
    /// What the policy logged.
    pub log: Log,
    /// The sentences of the policy's reasons, or of the mistakes in the settings.
    pub said: Vec<String>,
}

impl Tried {
    /// Whether everything is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty() && !self.is_over_its_fuel()
    }

    /// Whether the call used more fuel than the vector allows.
    #[must_use]
    pub fn is_over_its_fuel(&self) -> bool {
        self.max_fuel.is_some_and(|most| self.usage.fuel > most)
    }
}

impl<'a> Trial<'a> {
    /// A trial of a revision, with the default budgets of a server.
    #[must_use]
    pub fn new(host: &'a PolicyHost, revision: Arc<Revision>) -> Self {
        Self { host, revision, budgets: Budgets::default(), images: HashMap::new() }
    }

    /// The same trial, with every log line kept. Log lines cost fuel, so this is for reading and not for comparing.
    #[must_use]
    pub fn explaining(mut self) -> Self {
        self.budgets.call.log_level = LogLevel::Trace;
        self.budgets.call.log_bytes = 1 << 20;
        self.budgets.call.log_lines = 10_000;
        self
    }

    /// Runs one vector.
    pub fn run(&mut self, vector: &Vector) -> Tried {
        let Answer { answered, usage, log, said, unsent } = self.answer(vector);
        let mut differences = vector.expect.differences(&answered);
        // A policy that broke did not get as far as the requests that it would have sent.
        if !matches!(answered, Answered::Broke(_)) {
            differences.extend(unsent);
        }
        Tried {
            name: vector.name.clone(),
            differences,
            answer: answered.as_expected(),
            usage,
            max_fuel: vector.max_fuel,
            log,
            said,
        }
    }

    fn answer(&mut self, vector: &Vector) -> Answer {
        let settings = vector.settings.to_string();
        let (host, revision, budgets) = (self.host, &self.revision, &self.budgets);
        let image = &*self
            .images
            .entry(settings)
            .or_insert_with_key(|settings| host.configure_within(revision, settings, budgets.clone()));
        let image = match image {
            Ok(image) => image,
            Err(ConfigureError::Refused { problems }) => {
                return Answer { said: sentences::of_problems(problems), ..Answer::of(Answered::refused(problems)) };
            }
            Err(error @ ConfigureError::Broke { log, .. }) => {
                return Answer { log: log.clone(), ..Answer::of(Answered::Broke(error.to_string())) };
            }
            Err(error) => return Answer::of(Answered::Broke(error.to_string())),
        };
        if vector.expect.is_of_settings() {
            return Answer::of(Answered::With("takeSettings", serde_json::Value::Null));
        }
        // A plugin with one half only is asked for that half, whatever the vector expects.
        let worlds = self.revision.card().worlds;
        if vector.expect.is_of_grouping() || !worlds.selects() {
            let Some(input) = vector.place_input() else {
                return Answer::of(Answered::Broke("the vector names no hub".into()));
            };
            let services = vector.catalogue_of_hub(&input);
            let CallReport { result, usage, log, .. } = image.place(&input, Arc::clone(&services) as _);
            let (answered, said) = (Answered::placed(&result), sentences::of_placement(&result));
            return Answer { answered, usage, log, said, unsent: services.unsent() };
        }
        let (input, services) = (vector.select_input(), vector.catalogue());
        let CallReport { result, usage, log, .. } = image.select_hub(&input, Arc::clone(&services) as _);
        let (answered, said) = (Answered::selected(&result, &input.candidates), sentences::of_outcome(&result));
        Answer { answered, usage, log, said, unsent: services.unsent() }
    }
}

/// The answer to a vector, before it is compared.
struct Answer {
    answered: Answered,
    usage: Usage,
    log: Log,
    said: Vec<String>,
    unsent: Vec<Difference>,
}

impl Answer {
    /// An answer without a call.
    fn of(answered: Answered) -> Self {
        Self { answered, usage: Usage::default(), log: Log::default(), said: Vec::new(), unsent: Vec::new() }
    }
}
