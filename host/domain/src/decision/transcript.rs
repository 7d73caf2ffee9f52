//! What one call of a policy asked the host, and what the host answered.
//!
//! The answers are kept with the decision, so that the call can be run again without the live state.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::{HubHandle, Label};
use super::exchange::{HttpAnswer, HttpRequest};

/// All questions of one call with their answers, sorted by question. Each question occurs once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transcript {
    exchanges: Vec<Exchange>,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PolicyExchange)]
pub struct Exchange {
    /// What was asked.
    pub question: Question,
    /// What was answered.
    #[schema(value_type = HostAnswer)]
    pub answer: Answer,
}

/// What a policy can ask. When it asks for one label of a hub, the question for all labels of the hub is recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PolicyQuestion)]
pub enum Question {
    /// The labels of a hub.
    HubLabels(HubHandle),
    /// How many devices a group has.
    GroupCount(Vec<String>),
    /// The answer of a service to a request.
    Http(Box<HttpRequest>),
}

/// What the host can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Labels, sorted by key.
    Labels(Arc<[Label]>),
    /// A number of devices.
    Count(u64),
    /// The result of a request.
    Http(HttpAnswer),
}

/// What can be answered, as it is written: for the OpenAPI document, whose library knows no shared list.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum HostAnswer {
    /// Labels, sorted by key.
    Labels(Vec<Label>),
    /// A number of devices.
    Count(u64),
    /// What came of a request.
    Http(HttpAnswer),
}

impl Transcript {
    /// All questions and answers.
    #[must_use]
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// The answer to a question, if it was asked.
    pub fn answer(&self, question: &Question) -> Option<&Answer> {
        let at = self.position(question).ok()?;
        self.exchanges.get(at).map(|exchange| &exchange.answer)
    }

    /// Records an answer. If the question has an answer already, the first one stays.
    pub fn record(&mut self, question: Question, answer: Answer) {
        if let Err(at) = self.position(&question) {
            self.exchanges.insert(at, Exchange { question, answer });
        }
    }

    fn position(&self, question: &Question) -> Result<usize, usize> {
        self.exchanges.binary_search_by(|exchange| exchange.question.cmp(question))
    }
}

impl Exchange {
    /// How many bytes an exchange adds to a record: the texts are counted, the rest is estimated.
    pub fn size(question: &Question, answer: &Answer) -> usize {
        let question = match question {
            Question::HubLabels(_) => 0,
            Question::GroupCount(path) => path.iter().map(|segment| segment.len() + 1).sum(),
            Question::Http(request) => request.url.len() + request.body.size(),
        };
        let answer = match answer {
            Answer::Labels(labels) => labels.iter().map(|label| label.key.len() + label.value.len() + 2).sum(),
            Answer::Count(_) => 0,
            Answer::Http(HttpAnswer::Response(response)) => response.body.size(),
            Answer::Http(_) => 0,
        };
        EXCHANGE_BYTES + question + answer
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HubLabels(hub) => write!(f, "the labels of hub {}", hub.0),
            Self::GroupCount(path) => write!(f, "the count of group {}", path.join("/")),
            Self::Http(request) => write!(f, "{request}"),
        }
    }
}

/// The estimate for an exchange, without its texts.
const EXCHANGE_BYTES: usize = 16;
