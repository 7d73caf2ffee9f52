//! What a row may say, whatever it is written in.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::config::ManagementLimits;
use crate::names::{Digest, ManufacturerId};
use crate::nearest::did_you_mean;
use crate::registry::{Evidence, ManufacturingRecord, RecordState};

/// The names of a row's members and of a file's columns; everything else in a CSV file is a fact.
pub(super) const MEMBERS: [&str; 5] =
    ["registrationId", "certificateSha256", "publicKeySha256", "endorsementKeySha256", "facts"];

/// How much a row may say.
#[derive(Clone, Copy, Debug)]
pub struct RowLimits {
    /// Bytes of the row.
    pub row_bytes: usize,
    /// Facts.
    pub facts: usize,
    /// Bytes of a fact's name.
    pub fact_name_bytes: usize,
    /// Bytes of a fact.
    pub fact_bytes: usize,
}

impl RowLimits {
    /// Those of the configuration.
    pub fn of(limits: &ManagementLimits) -> Self {
        Self {
            row_bytes: limits.import_row_bytes,
            facts: limits.facts,
            fact_name_bytes: limits.fact_name_bytes,
            fact_bytes: limits.fact_bytes,
        }
    }
}

/// A record in the making.
pub(super) struct Draft<'a> {
    pub(super) registration_id: &'a str,
    pub(super) evidence: Evidence,
    pub(super) facts: BTreeMap<String, String>,
}

impl Draft<'_> {
    pub(super) fn record(self, manufacturer: &ManufacturerId, now: Timestamp) -> Result<ManufacturingRecord, String> {
        Ok(ManufacturingRecord {
            registration_id: self.registration_id.parse().map_err(|error| format!("registrationId: {error}"))?,
            manufacturer: manufacturer.clone(),
            state: RecordState::Active,
            evidence: self.evidence,
            facts: self.facts,
            imported_at: now,
            updated_at: now,
        })
    }
}

/// A digest of the evidence; an empty text says nothing.
pub(super) fn digest(member: &str, text: Option<&str>) -> Result<Option<Digest>, String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(str::parse).transpose().map_err(|error| format!("{member}: {error}"))
}

/// Adds a fact, within the limits.
pub(super) fn add_fact(
    facts: &mut BTreeMap<String, String>,
    name: &str,
    value: &str,
    limits: &RowLimits,
) -> Result<(), String> {
    check_fact_name(name, limits)?;
    if value.len() > limits.fact_bytes {
        return Err(format!("the fact {name:?} has {} bytes; at most {} are taken", value.len(), limits.fact_bytes));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("the fact {name:?} holds a control character"));
    }
    if facts.insert(name.to_owned(), value.to_owned()).is_some() {
        return Err(format!("the fact {name:?} is there twice"));
    }
    if facts.len() > limits.facts {
        return Err(format!("it has more than {} facts", limits.facts));
    }
    Ok(())
}

pub(super) fn check_fact_name(name: &str, limits: &RowLimits) -> Result<(), String> {
    if name.is_empty() || name.len() > limits.fact_name_bytes || name.trim() != name {
        let shown: String = name.chars().take(80).collect();
        let max = limits.fact_name_bytes;
        return Err(format!("{shown:?} is no name of a fact: 1 to {max} bytes without spaces around them"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the name {name:?} holds a control character"));
    }
    Ok(())
}

/// What to say of a member or column that is not known.
pub(super) fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(80).collect();
    if name.eq_ignore_ascii_case("state") {
        return "`state` cannot be imported; change it with `landfall registry state`".to_owned();
    }
    if name.eq_ignore_ascii_case("manufacturer") {
        return "`manufacturer` is not part of a row: it is that of the token, or of --manufacturer".to_owned();
    }
    format!(
        "unknown member `{shown}`; {}; what else there is to say of a device goes into `facts`",
        did_you_mean(name, &MEMBERS)
    )
}
