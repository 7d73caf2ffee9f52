//! What is counted for its own sake. All of it only counts up, and is shown by [`crate::metrics`].

use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::listener::Counts;
use crate::tls::current::Current;

/// What is counted for its own sake.
#[derive(Default)]
pub struct Counters {
    pub(crate) registrations: Family<Word, Counter>,
    pub(crate) refusals: Family<Word, Counter>,
    pub(crate) throttled: Family<Word, Counter>,
    pub(crate) claims: Counter,
    pub(crate) certificate_reads: Family<Word, Counter>,
    pub(crate) certificate: OnceLock<Arc<Current>>,
    pub(crate) listeners: OnceLock<Vec<(&'static str, Arc<Counts>)>>,
}

/// One label, whose values are words of this program.
pub(crate) type Word = [(&'static str, &'static str); 1];

impl Counters {
    /// Counts what came of a registration.
    pub fn registered(&self, result: &'static str) {
        self.registrations.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a refusal.
    pub fn refused(&self, cause: &'static str) {
        self.refusals.get_or_create(&[("cause", cause)]).inc();
    }

    /// Counts a request that came too soon.
    pub fn throttled(&self, measure: &'static str) {
        self.throttled.get_or_create(&[("measure", measure)]).inc();
    }

    /// Counts rows of an import that name devices which another manufacturer has.
    pub fn claimed(&self, rows: u64) {
        self.claims.inc_by(rows);
    }

    /// Counts what came of reading the server's certificate again.
    pub fn certificate_read(&self, result: &'static str) {
        self.certificate_reads.get_or_create(&[("result", result)]).inc();
    }

    /// Says which certificate the server shows.
    pub fn certificate(&self, certificate: Arc<Current>) {
        // As for the listeners.
        let _ = self.certificate.set(certificate);
    }

    /// Says what the listeners count, once they are there.
    pub fn listen(&self, listeners: Vec<(&'static str, Arc<Counts>)>) {
        // A service has its listeners for life; whoever comes second is a test.
        let _ = self.listeners.set(listeners);
    }
}
