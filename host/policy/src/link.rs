//! Links a plugin to its imports: those of the contract, and a sealed WASI.
//!
//! The imports of a component are its authority. So the linker defines exactly what the tiers grant, interface by
//! interface, and defines no substitutes: a plugin with an import that is not granted fails to load. Each version of
//! the WIT has one adapter here, chosen once when a plugin is loaded; nothing checks the version while a device waits.
//!
//! The state behind the imports ([`CallState`]) belongs to one call and is dropped with it.

mod http;
mod v0_1;
mod wasi;

use std::sync::Arc;

pub(crate) use landfall_domain::plugin::card::WitVersion;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};

use super::budget::{Budget, Meter};
use super::call::{Fault, HubHandle, Label, Outcome, PlaceInput, Placement, SelectInput};
use super::engine::PolicyEngine;
use super::host_view::{Answer, Catalogue, EmptyCatalogue, Exchange, Question, Transcript};
use super::http::{HttpAnswer, HttpRequest};
use super::image::{Description, Problem};
use super::log::Recorder;
use http::HttpState;
pub(super) use http::TooMuchHeld;
use wasi::SealedWasi;

/// Links a compiled component to the imports of the version that it was built against.
pub(super) fn link(
    version: WitVersion,
    engine: &PolicyEngine,
    component: &Component,
) -> Result<Box<dyn Linked>, LinkError> {
    match version {
        WitVersion::V0_1 => v0_1::link(engine, component),
    }
}

/// Links a program to the imports of policies only.
pub(super) fn link_program(engine: &PolicyEngine, component: &Component) -> Result<InstancePre<CallState>, LinkError> {
    v0_1::link_program(engine, component)
}

/// A component that is linked to its imports and can be instantiated. Its answers are not checked yet, and faults are
/// returned as answers.
pub(super) trait Linked: Send + Sync {
    /// The linked component.
    fn component(&self) -> &Component;

    fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Instance>;

    /// Compares the types of the exports with the contract. Some differences show only in an instance.
    fn check(&self, store: &mut Store<CallState>, instance: &Instance) -> Result<(), LinkError>;

    fn describe(&self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Description>;

    fn configure(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Result<(), Vec<Problem>>>;

    fn select_hub(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        input: &SelectInput,
    ) -> wasmtime::Result<Result<Outcome, Fault>>;

    fn place(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        input: &PlaceInput,
    ) -> wasmtime::Result<Result<Placement, Fault>>;
}

/// Why a component does not fit the contract that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LinkError {
    /// An import has the right name but another type.
    #[error("an import differs from landfall:policy@{version}: {detail}; build the plugin against this host's WIT")]
    Import {
        /// The version that the component names.
        version: &'static str,
        /// The function, and the difference.
        detail: String,
    },
    /// An export is missing or has another type.
    #[error("`{function}` differs from landfall:policy@{version}: {detail}; build the plugin against this host's WIT")]
    Export {
        /// The version that the component names.
        version: &'static str,
        /// The interface and function.
        function: String,
        detail: String,
    },
}

/// The state behind the imports of one call.
pub(super) struct CallState {
    pub(super) meter: Meter,
    pub(super) recorder: Recorder,
    wasi: SealedWasi,
    http: HttpState,
    catalogue: Arc<dyn Catalogue>,
    transcript: Transcript,
    transcript_left: usize,
    transcript_limit: usize,
    host_calls: u32,
    host_call_limit: u32,
    host_call_fuel: u64,
}

/// The parts of a call's state that are set aside while its plugin is configured.
pub(super) struct SetAside {
    wasi: SealedWasi,
    catalogue: Arc<dyn Catalogue>,
}

/// The plugin called the host more often than its budget allows.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it called the host more than {limit} times")]
pub(super) struct TooManyHostCalls {
    limit: u32,
}

/// The plugin got more answers from the catalogue than are recorded with a decision.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it asked the catalogue for more than the {limit} bytes that are kept with a decision")]
pub(super) struct TranscriptFull {
    limit: usize,
}

/// The plugin exited through WASI.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it called exit({code}) instead of answering")]
pub(super) struct GuestExit {
    code: u8,
}

impl GuestExit {
    pub(super) fn code(self) -> u8 {
        self.code
    }
}

impl CallState {
    /// The state for a call at the time `now` (milliseconds since 1970) with the random seed `seed`.
    pub(super) fn new(budget: &Budget, now: u64, seed: u64, catalogue: Arc<dyn Catalogue>) -> Self {
        Self {
            meter: Meter::new(budget),
            recorder: Recorder::new(budget),
            wasi: SealedWasi::new(now, seed),
            http: HttpState::default(),
            catalogue,
            transcript: Transcript::default(),
            transcript_left: budget.transcript_bytes,
            transcript_limit: budget.transcript_bytes,
            host_calls: 0,
            host_call_limit: budget.host_calls,
            host_call_fuel: budget.host_call_fuel,
        }
    }

    /// Sets the arguments, which only a program has.
    pub(super) fn with_arguments(mut self, arguments: Vec<String>) -> Self {
        self.wasi.arguments = arguments;
        self
    }

    /// Replaces the state of the call by what `configure` may see: time 0, seed 0, an empty catalogue.
    pub(super) fn set_aside(&mut self) -> SetAside {
        SetAside {
            wasi: std::mem::replace(&mut self.wasi, SealedWasi::new(0, 0)),
            catalogue: std::mem::replace(&mut self.catalogue, Arc::new(EmptyCatalogue)),
        }
    }

    /// Restores the state that was set aside. Answers of the catalogue to `configure` are not part of the call's
    /// record.
    pub(super) fn take_up(&mut self, SetAside { wasi, catalogue }: SetAside) {
        self.wasi = wasi;
        self.catalogue = catalogue;
        self.transcript = Transcript::default();
        self.transcript_left = self.transcript_limit;
    }

    /// The fuel that calls into the host have used.
    pub(super) fn host_fuel(&self) -> u64 {
        self.host_call_fuel.saturating_mul(self.host_calls.into())
    }

    /// Whether the guest holds handles to streams or timers, which a snapshot of its memory would leave dangling.
    pub(super) fn holds_handles(&self) -> bool {
        self.wasi.holds_handles()
    }

    pub(super) fn into_parts(self) -> (Recorder, Transcript) {
        (self.recorder, self.transcript)
    }

    /// Counts a call into the host. Every imported function begins with this.
    fn host_call(&mut self) -> Result<(), TooManyHostCalls> {
        self.host_calls = self.host_calls.saturating_add(1);
        if self.host_calls > self.host_call_limit {
            return Err(TooManyHostCalls { limit: self.host_call_limit });
        }
        Ok(())
    }

    fn hub_labels(&mut self, hub: HubHandle) -> wasmtime::Result<Arc<[Label]>> {
        let answer = self.ask(Question::HubLabels(hub), |catalogue| catalogue.hub_labels(hub).map(Answer::Labels))?;
        match answer {
            Answer::Labels(labels) => Ok(labels),
            Answer::Count(_) | Answer::Http(_) => Ok(Arc::default()),
        }
    }

    fn group_count(&mut self, path: Vec<String>) -> wasmtime::Result<u64> {
        let count = |catalogue: &dyn Catalogue| catalogue.group_count(&path).map(Answer::Count);
        match self.ask(Question::GroupCount(path.clone()), count)? {
            Answer::Count(count) => Ok(count),
            Answer::Labels(_) | Answer::Http(_) => Ok(0),
        }
    }

    /// Sends one request and records its answer, whatever the outcome. The size limits are those of the grant, not of
    /// the transcript.
    fn exchange(&mut self, request: &::http::Request<bytes::Bytes>) -> wasmtime::Result<HttpAnswer> {
        self.http.sent = self.http.sent.saturating_add(1);
        let asked = HttpRequest::of(self.http.sent, request);
        let answer = self.catalogue.exchange(&asked, request)?;
        self.transcript.record(Question::Http(Box::new(asked)), Answer::Http(answer.clone()));
        Ok(answer)
    }

    fn ask(
        &mut self,
        question: Question,
        ask: impl FnOnce(&dyn Catalogue) -> Result<Answer, super::host_view::NoAnswer>,
    ) -> wasmtime::Result<Answer> {
        if let Some(answer) = self.transcript.answer(&question) {
            return Ok(answer.clone());
        }
        let answer = ask(&*self.catalogue)?;
        let size = Exchange::size(&question, &answer);
        self.transcript_left =
            self.transcript_left.checked_sub(size).ok_or(TranscriptFull { limit: self.transcript_limit })?;
        self.transcript.record(question, answer.clone());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
