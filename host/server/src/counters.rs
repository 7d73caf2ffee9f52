//! The counters of this process. They only count up; [`crate::metrics`] shows them.

use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::listener::Counts;
use crate::tls::current::Current;

/// The counters of this process.
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
    /// Counts the result of a registration.
    pub fn registered(&self, result: &'static str) {
        self.registrations.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a refusal.
    pub fn refused(&self, cause: &'static str) {
        self.refusals.get_or_create(&[("cause", cause)]).inc();
    }

    /// Counts a request that was throttled, by the measure that was full.
    pub fn throttled(&self, measure: &'static str) {
        self.throttled.get_or_create(&[("measure", measure)]).inc();
    }

    /// Counts rows of imports that name a device of another manufacturer.
    pub fn claimed(&self, rows: u64) {
        self.claims.inc_by(rows);
    }

    /// Counts the result of reading the server's certificate again.
    pub fn certificate_read(&self, result: &'static str) {
        self.certificate_reads.get_or_create(&[("result", result)]).inc();
    }

    /// Sets the certificate that the server shows.
    pub fn certificate(&self, certificate: Arc<Current>) {
        // As for the listeners below.
        let _ = self.certificate.set(certificate);
    }

    /// Sets the counts of the listeners, once the listeners are there.
    pub fn listen(&self, listeners: Vec<(&'static str, Arc<Counts>)>) {
        // A service keeps its listeners for its whole life. Only a test sets them a second time.
        let _ = self.listeners.set(listeners);
    }
}
