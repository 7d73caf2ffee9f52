//! One ledger entry.

use serde::{Deserialize, Serialize};

use super::Decision;
use super::call::Label;
use crate::clock::Timestamp;
use crate::names::{IdScope, TrackingId};

/// What is kept under a tracking id.
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
    /// The id scope of its URL.
    #[schema(value_type = Option<String>)]
    pub scope: Option<IdScope>,
    /// The registration id of its URL, as far as it is one; at most 128 characters are kept.
    pub registration_id: String,
    /// Where it came from.
    pub source: String,
    /// What came of it.
    pub kind: EntryKind,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionKind)]
pub enum EntryKind {
    /// The device was turned away before any policy was asked.
    Refused {
        /// The cause, for programs.
        cause: String,
        /// The whole story, for the operator.
        detail: String,
        /// What the device showed, as far as it is no secret. Absent in records of versions that kept none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shown: Vec<Label>,
        /// The enrollment that counted, as far as the request came to one. Absent in records of versions that kept none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrollment: Option<String>,
    },
    /// Policies were asked, or would have been.
    Decided(Box<Decision>),
    /// It was answered without either. Such an entry is kept in memory only.
    Answered {
        /// The HTTP status.
        status: u16,
        /// What was wrong with it, and where.
        detail: String,
        /// Its method and path, as far as they could be read; without the query, which may hold a key.
        asked: String,
    },
}
