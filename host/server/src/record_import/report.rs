//! The report of an import.

use std::collections::BTreeMap;

use landfall_domain::names::RegistrationId;
use landfall_store::{RowOutcome, RowResult};
use serde::{Deserialize, Serialize};

use super::Import;
use super::parser::Batch;

/// What came of an import. Every row is counted once: in `unchanged` or `refused`; or in `added` or `updated` when it was
/// written; or in `wouldBeAdded` or `wouldBeUpdated` when it was good and nothing of the import was written. Where somebody
/// else's change in the very moment of writing refuses an all-or-nothing import, its good rows are in none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Whether anything may have been written: not by a dry run, and not when one row of an all-or-nothing import was
    /// refused.
    pub written: bool,
    /// Rows, blank lines apart.
    pub rows: u64,
    /// New records that were written.
    pub added: u64,
    /// Records that said something else before, and were written.
    pub updated: u64,
    /// Rows that would have become new records, if anything had been written.
    #[serde(default)]
    pub would_be_added: u64,
    /// Rows that would have changed records, if anything had been written.
    #[serde(default)]
    pub would_be_updated: u64,
    /// Records that said the same.
    pub unchanged: u64,
    /// Rows that were not taken.
    pub refused: u64,
    /// Those among them that name devices which another manufacturer has.
    #[serde(default)]
    pub of_others: u64,
    /// Rows that leave out evidence which their records had before, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_left_out: Option<EvidenceLeftOut>,
    /// Refused rows, by line.
    pub errors: Vec<ImportProblem>,
    /// Refused rows that are not among `errors`.
    pub errors_not_listed: u64,
    /// Why the file was not read to its end, when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    #[serde(skip)]
    max_listed: usize,
    #[serde(skip)]
    dry_run: bool,
    #[serde(skip)]
    drops_evidence: bool,
}

/// Rows that say nothing of evidence which their records had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceLeftOut {
    /// Whether it goes from the records, as the import was told; otherwise it stays.
    pub dropped: bool,
    /// How many rows.
    pub rows: u64,
    /// How many of each member.
    pub members: BTreeMap<String, u64>,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportProblem {
    /// Its line in the file, counted from 1.
    pub line: u64,
    /// Its device, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Whether it is another manufacturer's.
    #[serde(skip)]
    pub(crate) of_other: bool,
}

impl ImportReport {
    pub(super) fn new(max_listed: usize, import: &Import) -> Self {
        Self { max_listed, dry_run: import.dry_run, drops_evidence: import.drop_evidence, ..Self::default() }
    }

    pub(super) fn note_parsed(&mut self, batch: &Batch) {
        self.rows = self.rows.saturating_add(batch.seen);
        for problem in &batch.problems {
            self.refuse(problem.clone());
        }
        if let Some(stopped) = &batch.stopped {
            self.stopped = Some(stopped.clone());
        }
    }

    pub(super) fn note(&mut self, line: u64, id: &RegistrationId, result: RowResult) {
        self.note_left_out(result);
        let outcome = result.outcome;
        let reason = match outcome {
            RowOutcome::Added => return self.added += 1,
            RowOutcome::Updated => return self.updated += 1,
            RowOutcome::Unchanged => return self.unchanged += 1,
            RowOutcome::OtherManufacturer => {
                self.of_others += 1;
                "another manufacturer has this device"
            }
            RowOutcome::Retired => "the device is retired; its record does not change any more",
            RowOutcome::OverQuota => "the manufacturer's quota of records is used up",
            RowOutcome::NotTaken => return,
        };
        let of_other = outcome == RowOutcome::OtherManufacturer;
        self.refuse(ImportProblem { line, registration_id: Some(id.to_string()), reason: reason.to_owned(), of_other });
    }

    /// Counts rows that were all taken.
    pub(super) fn count<'a>(&mut self, results: impl Iterator<Item = &'a RowResult>) {
        for result in results {
            self.note_left_out(*result);
            match result.outcome {
                RowOutcome::Added => self.added += 1,
                RowOutcome::Updated => self.updated += 1,
                RowOutcome::Unchanged => self.unchanged += 1,
                _ => {}
            }
        }
    }

    fn note_left_out(&mut self, result: RowResult) {
        if result.left_out.is_none() {
            return;
        }
        let dropped = self.drops_evidence;
        let left_out = self.evidence_left_out.get_or_insert_with(|| EvidenceLeftOut { dropped, ..Default::default() });
        left_out.rows += 1;
        for member in result.left_out.names() {
            *left_out.members.entry(member.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn done(mut self, written: bool) -> Self {
        self.written = written && !self.dry_run;
        if !self.written {
            self.would_be_added = std::mem::take(&mut self.added);
            self.would_be_updated = std::mem::take(&mut self.updated);
        }
        self.errors.sort_by_key(|problem| problem.line);
        self
    }

    fn refuse(&mut self, problem: ImportProblem) {
        self.refused += 1;
        if self.errors.len() < self.max_listed {
            self.errors.push(problem);
        } else {
            self.errors_not_listed += 1;
        }
    }
}
