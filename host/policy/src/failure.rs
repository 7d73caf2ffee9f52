//! Determines from the engine's error what ended a call.
//!
//! The cause is determined from types (`Trap`, our own errors), never from the text of an error.

pub(crate) use landfall_domain::decision::failure::{Breakage, CallFailure, HostFailure, MAX_FRAMES};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::budget::{Budget, OverBudget};
use super::host_view::NoAnswer;
use super::http::HttpBreach;
use super::link::{GuestExit, TooManyHostCalls, TooMuchHeld, TranscriptFull};
use super::log::PanicNote;

/// The failure for an error of the engine.
pub(super) fn of_error(error: &wasmtime::Error, panic: Option<PanicNote>, budget: &Budget) -> CallFailure {
    if let Some(over) = error.downcast_ref::<OverBudget>() {
        let OverBudget { unit, wanted, limit } = *over;
        return CallFailure::Broke(Breakage::Memory { unit: unit.into(), wanted, limit });
    }
    if let Some(limit) = error.downcast_ref::<TooManyHostCalls>() {
        return CallFailure::Broke(Breakage::HostCalls { detail: limit.to_string() });
    }
    if let Some(limit) = error.downcast_ref::<TranscriptFull>() {
        return CallFailure::Broke(Breakage::HostCalls { detail: limit.to_string() });
    }
    if let Some(limit) = error.downcast_ref::<TooMuchHeld>() {
        return CallFailure::Broke(Breakage::HostCalls { detail: limit.to_string() });
    }
    if let Some(breach) = error.downcast_ref::<HttpBreach>() {
        return CallFailure::Broke(Breakage::Http(breach.clone()));
    }
    if let Some(no_answer) = error.downcast_ref::<NoAnswer>() {
        return CallFailure::Host(match no_answer {
            NoAnswer::NotRecorded { question } => HostFailure::NotRecorded { question: question.to_string() },
            NoAnswer::Unavailable { .. } => HostFailure::NoCatalogue { detail: no_answer.to_string() },
        });
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return CallFailure::Host(HostFailure::NoInstance);
    }
    let frames = || frames_of(error);
    if let Some(exit) = error.downcast_ref::<GuestExit>() {
        return CallFailure::Broke(Breakage::Trap { cause: exit.to_string(), frames: frames() });
    }
    CallFailure::Broke(match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Breakage::Timeout { deadline_ms: budget.deadline_ms },
        Some(Trap::OutOfFuel) => Breakage::OutOfFuel { fuel: budget.fuel },
        Some(Trap::StackOverflow) => Breakage::StackOverflow,
        Some(trap) if is_of_output(*trap) => Breakage::Output { detail: trap.to_string() },
        Some(trap) => match panic {
            Some(PanicNote { message, file, line }) => Breakage::Panic { message, file, line },
            None => Breakage::Trap { cause: trap.to_string(), frames: frames() },
        },
        // Neither a trap nor one of our errors: the engine refused to copy something out of the guest.
        None => Breakage::Output { detail: error.root_cause().to_string() },
    })
}

/// Whether a trap comes from the engine's own code that reads the guest's answer.
fn is_of_output(trap: Trap) -> bool {
    matches!(
        trap,
        Trap::InvalidChar
            | Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer
    )
}

fn frames_of(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        // The hash at the end of a symbol is of no use to a reader.
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().take(MAX_FRAMES).map(name).collect()
}
