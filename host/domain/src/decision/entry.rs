//! One entry of the ledger.

use serde::{Deserialize, Serialize};

use super::Decision;
use super::call::Label;
use crate::clock::Timestamp;
use crate::names::{IdScope, TrackingId};

/// What the ledger keeps under a tracking id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionEntry)]
pub struct Entry {
    /// The request.
    #[schema(value_type = String)]
    pub tracking_id: TrackingId,
    /// When it came, in milliseconds since 1970-01-01 UTC.
    #[schema(value_type = u64)]
    pub at: Timestamp,
    /// The id scope in the request's URL.
    #[schema(value_type = Option<String>)]
    pub scope: Option<IdScope>,
    /// The registration id in the request's URL, valid or not. At most 128 characters are kept.
    pub registration_id: String,
    /// Where the request came from.
    pub source: String,
    /// The result of the request.
    pub kind: EntryKind,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionKind)]
pub enum EntryKind {
    /// The device was refused before any policy was asked.
    Refused {
        /// The cause, as a word for programs.
        cause: String,
        /// The full explanation, for the operator.
        detail: String,
        /// What the device presented, without secrets. Empty in records of older versions, which did not keep it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shown: Vec<Label>,
        /// The enrollment that applied, if the request got that far. `None` in records of older versions, which did
        /// not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrollment: Option<String>,
    },
    /// Policies were asked, or would have been asked.
    Decided(Box<Decision>),
    /// The request was answered without a refusal or a decision. Such an entry is kept in memory only.
    Answered {
        /// The HTTP status.
        status: u16,
        /// What was wrong with the request, and where.
        detail: String,
        /// The request's method and path, as far as they could be read. The query is left out, because it may hold a
        /// key.
        asked: String,
    },
}
