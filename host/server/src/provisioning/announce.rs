//! Step 5: the result of a registration is told to the operator, and to the requests that wait for it.
//!
//! An operation also ends if the work on it panics.

use landfall_domain::decision::call::Placement;
use landfall_domain::names::TrackingId;
use landfall_domain::registration::Outcome;

use super::Request;
use super::desk::Desk;
use super::desk::operations::{Claimant, Operation, Progress};
use super::registration_job::RegistrationJob;

/// Writes one line to the log for each registration that has ended.
pub(super) fn log(request: &Request, progress: &Progress) {
    let Progress::Finished(registration) = progress else { return };
    let Request { tracking_id, registration_id, .. } = request;
    match &registration.outcome {
        Outcome::Assigned(place) => {
            let hub = &place.hub;
            tracing::info!(%tracking_id, %registration_id, %hub, how = ?place.substatus, "a device is assigned");
        }
        Outcome::Failed { code, message } => {
            tracing::warn!(%tracking_id, %registration_id, code, message, "a registration failed");
        }
    }
}

/// Warns the operator of a reply that some SDKs cannot read: they read a policy's reply as an object, and fail on other
/// JSON.
pub(super) fn warn_of_an_odd_reply(desk: &Desk, tracking_id: TrackingId, placed: Option<&Placement>) {
    let reply = placed.and_then(|placed| placed.reply.as_deref());
    if let Some(reply) = reply.filter(|reply| !reply.trim_start().starts_with('{'))
        && let Some(unsaid) = desk.may_log_odd_reply()
    {
        tracing::warn!(%tracking_id, reply, unsaid, "a policy's reply is no JSON object: devices with the SDK for Java or C fail on it; wrap it, as {{\"message\": ...}}");
    }
}

/// Makes sure that an operation ends. Otherwise its device would poll for ever, and stopping the server would wait for
/// it.
pub(super) struct Ending<'a> {
    desk: &'a Desk,
    claimant: Claimant,
    operation: Operation,
    request: TrackingId,
    concluded: bool,
}

impl<'a> Ending<'a> {
    /// Guards an operation that is being worked on.
    pub(super) fn new(desk: &'a Desk, claimant: Claimant, operation: Operation, request: TrackingId) -> Self {
        Self { desk, claimant, operation, request, concluded: false }
    }

    /// Records how far the operation has come. Answers the registration that follows, if there is one.
    pub(super) fn conclude(mut self, progress: Progress) -> Option<Box<RegistrationJob>> {
        self.end(progress)
    }

    fn end(&mut self, progress: Progress) -> Option<Box<RegistrationJob>> {
        self.concluded = true;
        self.desk.counters().registered(progress.word());
        self.desk.operations().conclude(&self.claimant, &self.operation, progress)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.concluded {
            tracing::error!(tracking_id = %self.request, "a registration was given up by a panic; its device may ask again");
            // The work was cut short, so registrations that were to follow cannot be carried out either.
            while self.end(Progress::Failed).is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use landfall_domain::clock::{Ambient, Timestamp};
    use landfall_domain::names::Digest;

    use super::*;
    use crate::config::{Config, Server};
    use crate::provisioning::desk::operations::{BeginResult, RequestKind, Statement, StatementKind};

    #[test]
    fn a_panic_ends_the_operation_that_it_came_in() {
        let config = Config::new(Server::new("localhost", "s1".parse().unwrap()));
        let desk = Desk::new(&config, Ambient::system(), &[1; 32], Arc::default()).unwrap();
        let operations = desk.operations();
        let who = Claimant { scope: "s1".parse().unwrap(), id: "a".parse().unwrap(), key: Digest::of(b"k") };
        let request = TrackingId::new(Timestamp::from_millis(0), [7; 10]);
        let id = || operations.new_id(&who.scope, &who.id, request, StatementKind::Nothing);
        let begin = || match operations.begin(
            &who,
            id(),
            Ambient::system().instant(),
            RequestKind::Register,
            &Statement::default(),
        ) {
            BeginResult::Mine(operation) => operation,
            _ => panic!("not mine"),
        };
        let operation = begin();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ending = Ending::new(&desk, who.clone(), operation.clone(), request);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(matches!(operation.progress(), Progress::Failed));
        assert_eq!(operations.running(), 0);
        assert!(Ending::new(&desk, who.clone(), begin(), request).conclude(Progress::Failed).is_none());
        assert_eq!(operations.running(), 0);
    }
}
