//! What a plugin is connected to: the contract's imports, and a sealed WASI.
//!
//! A component's imports are its authority, so the linker defines exactly what the tiers grant, interface by
//! interface, and nothing stands in for an import that it does not define: what was not granted fails when the
//! plugin is loaded. Each version of the WIT has one adapter here, chosen once at load; nothing branches on the version
//! while a device waits.
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

/// Connects a compiled component to the imports of the version that it was built against.
pub(super) fn link(
    version: WitVersion,
    engine: &PolicyEngine,
    component: &Component,
) -> Result<Box<dyn Linked>, LinkError> {
    match version {
        WitVersion::V0_1 => v0_1::link(engine, component),
    }
}

/// Connects a program: what policies get, and nothing else.
pub(super) fn link_program(engine: &PolicyEngine, component: &Component) -> Result<InstancePre<CallState>, LinkError> {
    v0_1::link_program(engine, component)
}

/// A component connected to its imports, ready to be instantiated. Answers are unchecked; faults are answers.
pub(super) trait Linked: Send + Sync {
    /// What was linked.
    fn component(&self) -> &Component;

    fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Instance>;

    /// Compares the types of the exports with the contract's. Some differences only show in an instance.
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

/// A component that does not fit the contract which it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LinkError {
    /// An import is there by name and differs in type.
    #[error("an import differs from landfall:policy@{version}: {detail}; build the plugin against this host's WIT")]
    Import {
        /// The version that the component names.
        version: &'static str,
        /// Which function, and what differs.
        detail: String,
    },
    /// An export is missing or differs in type.
    #[error("`{function}` differs from landfall:policy@{version}: {detail}; build the plugin against this host's WIT")]
    Export {
        /// The version that the component names.
        version: &'static str,
        /// Interface and function.
        function: String,
        detail: String,
    },
}

/// Everything that the imports of one call work on.
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

/// What belongs to a call while its plugin is configured.
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

/// The plugin asked the catalogue for more than is kept with a decision.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it asked the catalogue for more than the {limit} bytes that are kept with a decision")]
pub(super) struct TranscriptFull {
    limit: usize,
}

/// The plugin ended itself through WASI.
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
    /// State for a call at the moment `now` (milliseconds since 1970) with the randomness of `seed`.
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

    /// The same for a program, which has arguments.
    pub(super) fn with_arguments(mut self, arguments: Vec<String>) -> Self {
        self.wasi.arguments = arguments;
        self
    }

    /// Replaces what belongs to the call by what `configure` may see: the moment 0, the seed 0, an empty catalogue.
    pub(super) fn set_aside(&mut self) -> SetAside {
        SetAside {
            wasi: std::mem::replace(&mut self.wasi, SealedWasi::new(0, 0)),
            catalogue: std::mem::replace(&mut self.catalogue, Arc::new(EmptyCatalogue)),
        }
    }

    /// Puts back what was set aside. What `configure` was told of the catalogue is no part of the call's record.
    pub(super) fn take_up(&mut self, SetAside { wasi, catalogue }: SetAside) {
        self.wasi = wasi;
        self.catalogue = catalogue;
        self.transcript = Transcript::default();
        self.transcript_left = self.transcript_limit;
    }

    /// Fuel that the calls into the host have cost.
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

    /// Every function behind an import begins with this.
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

    /// One request and its answer, kept whatever came of it. How large they may be is the grant's to say, and not the
    /// transcript's.
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
