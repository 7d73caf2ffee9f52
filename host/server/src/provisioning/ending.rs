//! The end of an operation, which comes also when the work on it panics.

use landfall_domain::names::TrackingId;

use super::operations::{Claimant, Operation, Operations, Progress};
use super::registration_job::RegistrationJob;
use crate::metrics::Metrics;

/// Sees to it that an operation ends: otherwise its device would poll for ever, and a stop would wait for it.
pub(super) struct Ending<'a> {
    operations: &'a Operations,
    metrics: &'a Metrics,
    claimant: Claimant,
    operation: Operation,
    request: TrackingId,
    concluded: bool,
}

impl<'a> Ending<'a> {
    /// Of an operation that is being worked on.
    pub(super) fn new(
        (operations, metrics): (&'a Operations, &'a Metrics),
        claimant: Claimant,
        operation: Operation,
        request: TrackingId,
    ) -> Self {
        Self { operations, metrics, claimant, operation, request, concluded: false }
    }

    /// Says how far it has come; answers the registration that follows, if one does.
    pub(super) fn conclude(mut self, progress: Progress) -> Option<Box<RegistrationJob>> {
        self.end(progress)
    }

    fn end(&mut self, progress: Progress) -> Option<Box<RegistrationJob>> {
        self.concluded = true;
        self.metrics.registered(progress.word());
        self.operations.conclude(&self.claimant, &self.operation, progress)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.concluded {
            tracing::error!(tracking_id = %self.request, "a registration was given up by a panic; its device may ask again");
            // Nobody is left who could do what was to follow.
            while self.end(Progress::Failed).is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use landfall_domain::clock::{Clock as _, SystemClock, Timestamp};
    use landfall_domain::names::Digest;

    use super::*;
    use crate::provisioning::operations::{BeginResult, RequestKind, Statement, StatementKind};

    #[test]
    fn a_panic_ends_the_operation_that_it_came_in() {
        let (operations, metrics) = (Operations::new(&[1; 32], 10, 1_000), Metrics::default());
        let who = Claimant { scope: "s1".parse().unwrap(), id: "a".parse().unwrap(), key: Digest::of(b"k") };
        let request = TrackingId::new(Timestamp::from_millis(0), [7; 10]);
        let id = || operations.new_id(&who.scope, &who.id, request, StatementKind::Nothing);
        let begin = || match operations.begin(
            &who,
            id(),
            SystemClock.instant(),
            RequestKind::Register,
            &Statement::default(),
        ) {
            BeginResult::Mine(operation) => operation,
            _ => panic!("not mine"),
        };
        let operation = begin();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ending = Ending::new((&operations, &metrics), who.clone(), operation.clone(), request);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(matches!(operation.progress(), Progress::Failed));
        assert_eq!(operations.running(), 0);
        assert!(
            Ending::new((&operations, &metrics), who.clone(), begin(), request).conclude(Progress::Failed).is_none()
        );
        assert_eq!(operations.running(), 0);
    }
}
