//! What a policy may ask the host during a call, and the record of the answers.
//!
//! Answers are functions of the snapshot that is pinned for the call: the same question always has the same answer.
//! The host keeps the first answer to each question and repeats it. Otherwise a count that changes during the call
//! could lead to a decision that cannot be replayed. The kept answers are the call's [`Transcript`]. When the decision
//! is run again, a [`RecordedCatalogue`] made from it replaces the live state.

use std::sync::Arc;

use bytes::Bytes;
pub(crate) use landfall_domain::decision::transcript::{Answer, Exchange, Question, Transcript};

use super::call::{Candidates, HubHandle, Label};
use super::http::{Connection, HttpAnswer, HttpBreach, HttpRequest};

/// Answers the questions of a policy.
pub trait Catalogue: Send + Sync {
    /// The labels of a candidate, sorted by key. Empty for a handle that is not a candidate.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]: the recorded call did not ask this, or the live state cannot be read.
    fn hub_labels(&self, hub: HubHandle) -> Result<Arc<[Label]>, NoAnswer>;

    /// How many devices are placed at a path or below it.
    ///
    /// # Errors
    ///
    /// As for [`Catalogue::hub_labels`].
    fn group_count(&self, path: &[String]) -> Result<u64, NoAnswer>;

    /// Sends a request, or returns the answer from the recorded call. `asked` is the request in the form that is kept.
    ///
    /// # Errors
    ///
    /// As for [`Catalogue::hub_labels`]. A service that does not answer is not an error but an answer.
    fn exchange(&self, asked: &HttpRequest, request: &http::Request<Bytes>) -> Result<HttpAnswer, NoAnswer> {
        let _ = (asked, request);
        Ok(HttpAnswer::Breach(HttpBreach::NotGranted))
    }
}

/// Counts devices by group. This is the live part of the catalogue.
pub trait GroupCounts: Send + Sync {
    /// How many devices are placed at a path or below it.
    ///
    /// # Errors
    ///
    /// The reason why the number is not available. The call then ends without an answer: a wrong number could place
    /// devices wrongly.
    fn group_count(&self, path: &[String]) -> Result<u64, String>;
}

/// Why a question to the catalogue has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NoAnswer {
    /// The recorded call did not ask this question.
    #[error("the record has no answer to {question}")]
    NotRecorded { question: Question },
    /// The live state cannot be read.
    #[error("{question} cannot be had: {reason}")]
    Unavailable { question: Question, reason: String },
}

/// The catalogue of a running host.
pub struct LiveCatalogue {
    candidates: Candidates,
    counts: Arc<dyn GroupCounts>,
    connection: Option<Connection>,
}

impl LiveCatalogue {
    /// A catalogue with the labels of the candidates, and counts from `counts`.
    #[must_use]
    pub fn new(candidates: Candidates, counts: Arc<dyn GroupCounts>) -> Self {
        Self { candidates, counts, connection: None }
    }

    /// The same catalogue with the network that is granted to the plugin, if any is.
    #[must_use]
    pub fn connected(self, connection: Option<Connection>) -> Self {
        Self { connection, ..self }
    }
}

impl Catalogue for LiveCatalogue {
    fn hub_labels(&self, hub: HubHandle) -> Result<Arc<[Label]>, NoAnswer> {
        Ok(self.candidates.get(hub).map(|(hub, _)| Arc::clone(&hub.labels)).unwrap_or_default())
    }

    fn group_count(&self, path: &[String]) -> Result<u64, NoAnswer> {
        let unavailable = |reason| NoAnswer::Unavailable { question: Question::GroupCount(path.to_vec()), reason };
        self.counts.group_count(path).map_err(unavailable)
    }

    fn exchange(&self, _: &HttpRequest, request: &http::Request<Bytes>) -> Result<HttpAnswer, NoAnswer> {
        Ok(match &self.connection {
            Some(connection) => connection.exchange(request),
            None => HttpAnswer::Breach(HttpBreach::NotGranted),
        })
    }
}

/// The catalogue of a recorded call.
pub struct RecordedCatalogue {
    transcript: Transcript,
}

impl RecordedCatalogue {
    /// A catalogue with the answers in `transcript`, and nothing else.
    #[must_use]
    pub fn new(transcript: Transcript) -> Self {
        Self { transcript }
    }
}

impl Catalogue for RecordedCatalogue {
    fn hub_labels(&self, hub: HubHandle) -> Result<Arc<[Label]>, NoAnswer> {
        match self.transcript.answer(&Question::HubLabels(hub)) {
            Some(Answer::Labels(labels)) => Ok(Arc::clone(labels)),
            _ => Err(NoAnswer::NotRecorded { question: Question::HubLabels(hub) }),
        }
    }

    fn group_count(&self, path: &[String]) -> Result<u64, NoAnswer> {
        let question = Question::GroupCount(path.to_vec());
        match self.transcript.answer(&question) {
            Some(Answer::Count(count)) => Ok(*count),
            _ => Err(NoAnswer::NotRecorded { question }),
        }
    }

    fn exchange(&self, asked: &HttpRequest, _: &http::Request<Bytes>) -> Result<HttpAnswer, NoAnswer> {
        let question = Question::Http(Box::new(asked.clone()));
        match self.transcript.answer(&question) {
            Some(Answer::Http(answer)) => Ok(answer.clone()),
            _ => Err(NoAnswer::NotRecorded { question }),
        }
    }
}

/// A catalogue without labels and devices, for `describe` and `configure`.
pub struct EmptyCatalogue;

impl Catalogue for EmptyCatalogue {
    fn hub_labels(&self, _: HubHandle) -> Result<Arc<[Label]>, NoAnswer> {
        Ok(Arc::default())
    }

    fn group_count(&self, _: &[String]) -> Result<u64, NoAnswer> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_catalogue_answers_what_was_asked_and_nothing_else() {
        let mut transcript = Transcript::default();
        let labels: Arc<[Label]> = Arc::new([Label { key: "region".into(), value: "eu".into() }]);
        transcript.record(Question::GroupCount(vec!["b".into()]), Answer::Count(2));
        transcript.record(Question::HubLabels(HubHandle(3)), Answer::Labels(Arc::clone(&labels)));
        transcript.record(Question::GroupCount(vec!["a".into()]), Answer::Count(1));
        transcript.record(Question::GroupCount(vec!["a".into()]), Answer::Count(9));

        let text = serde_json::to_string(&transcript).unwrap();
        let catalogue = RecordedCatalogue::new(serde_json::from_str(&text).unwrap());
        assert_eq!(catalogue.group_count(&["a".into()]), Ok(1));
        assert_eq!(catalogue.group_count(&["b".into()]), Ok(2));
        assert_eq!(catalogue.hub_labels(HubHandle(3)), Ok(labels));
        let error = catalogue.group_count(&["c".into()]).unwrap_err();
        assert_eq!(error.to_string(), "the record has no answer to the count of group c");
        assert!(catalogue.hub_labels(HubHandle(0)).is_err());
    }

    #[test]
    fn a_recorded_exchange_is_answered_from_the_record_and_another_never_goes_out() {
        let request = |text: &'static str| http::Request::post("https://fn.example/").body(Bytes::from(text)).unwrap();
        let (said, other) = (request("a"), request("b"));
        let asked = HttpRequest::of(1, &said);
        let answer = HttpAnswer::Breach(HttpBreach::Requests { limit: 3 });
        let mut transcript = Transcript::default();
        transcript.record(Question::Http(Box::new(asked.clone())), Answer::Http(answer.clone()));

        let catalogue = RecordedCatalogue::new(transcript);
        assert_eq!(catalogue.exchange(&asked, &said), Ok(answer));
        let error = catalogue.exchange(&HttpRequest::of(1, &other), &other).unwrap_err();
        assert_eq!(error.to_string(), "the record has no answer to request 1, POST https://fn.example/");
        assert!(catalogue.exchange(&HttpRequest::of(2, &said), &said).is_err());
    }
}
