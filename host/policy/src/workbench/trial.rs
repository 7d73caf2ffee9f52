//! Runs golden vectors and says what differs.

use std::collections::HashMap;
use std::sync::Arc;

use landfall_domain::decision::call::{CallReport, Usage};
use serde::Serialize;

use super::expectation::{Answered, Difference};
use super::sentences;
use super::vector::Vector;
use crate::image::{ConfigureError, Image, Revision};
use crate::{Budgets, Log, LogLevel, PolicyHost};

/// Runs the vectors of one plugin: each settings are given once.
pub struct Trial<'a> {
    host: &'a PolicyHost,
    revision: Arc<Revision>,
    budgets: Budgets,
    images: HashMap<String, Result<Arc<Image>, ConfigureError>>,
}

/// What became of a vector.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Tried {
    pub name: String,
    /// How the answer differs from what is expected; empty when it does not.
    pub differences: Vec<Difference>,
    /// The whole answer, as an expectation is written.
    pub answer: serde_json::Value,
    /// What it took.
    pub usage: Usage,
    /// What it may take.
    pub max_fuel: Option<u64>,
    /// What it logged.
    pub log: Log,
    /// The sentences of its reasons, or of what is wrong with its settings.
    pub said: Vec<String>,
}

impl Tried {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty() && !self.is_over_its_fuel()
    }

    /// Whether it took more fuel than the vector grants.
    #[must_use]
    pub fn is_over_its_fuel(&self) -> bool {
        self.max_fuel.is_some_and(|most| self.usage.fuel > most)
    }
}

impl<'a> Trial<'a> {
    /// A trial of a revision, under the budgets of a server that says nothing of them.
    #[must_use]
    pub fn new(host: &'a PolicyHost, revision: Arc<Revision>) -> Self {
        Self { host, revision, budgets: Budgets::default(), images: HashMap::new() }
    }

    /// The same, with every log line kept. Lines cost fuel, so this is for looking and not for comparing.
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
        // A policy that broke has not come to what it would have sent.
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
        // A plugin of one half is asked for that half, whatever is expected of it.
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

/// What came of a vector, before it is compared.
struct Answer {
    answered: Answered,
    usage: Usage,
    log: Log,
    said: Vec<String>,
    unsent: Vec<Difference>,
}

impl Answer {
    /// Of no call.
    fn of(answered: Answered) -> Self {
        Self { answered, usage: Usage::default(), log: Log::default(), said: Vec::new(), unsent: Vec::new() }
    }
}
