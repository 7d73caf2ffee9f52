//! The contents of a row, whatever its format.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_attestation::x509::endorsement::EndorsementCertificate;
use landfall_domain::clock::Timestamp;
use landfall_domain::did_you_mean::did_you_mean;
use landfall_domain::names::{Digest, ManufacturerId};
use landfall_domain::registry::evidence::EVIDENCE;
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};

use crate::config::ManagementLimits;

/// The names of a row's members, and of a file's columns. Any other column of a CSV file is a fact.
pub(super) fn members() -> impl Iterator<Item = &'static str> {
    std::iter::once("registrationId").chain(EVIDENCE).chain(["facts"])
}

/// The limits for the contents of a row.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RowLimits {
    /// The bytes of a row.
    pub row_bytes: usize,
    pub facts: usize,
    /// The bytes of a fact's name.
    pub fact_name_bytes: usize,
    /// The bytes of a fact.
    pub fact_bytes: usize,
}

impl RowLimits {
    /// The limits in the configuration.
    pub fn of(limits: &ManagementLimits) -> Self {
        Self {
            row_bytes: limits.import_row_bytes,
            facts: limits.facts,
            fact_name_bytes: limits.fact_name_bytes,
            fact_bytes: limits.fact_bytes,
        }
    }
}

/// A record that is being built from a row.
pub(super) struct Draft<'a> {
    pub(super) registration_id: &'a str,
    pub(super) evidence: Evidence,
    pub(super) facts: BTreeMap<String, String>,
}

impl Draft<'_> {
    pub(super) fn record(self, manufacturer: &ManufacturerId, now: Timestamp) -> Result<ManufacturingRecord, String> {
        if self.evidence.certificate_serial.is_some() && self.evidence.certificate_issuer.is_none() {
            return Err(
                "certificateSerial: a number says nothing without its issuer; give certificateIssuer too".into()
            );
        }
        Ok(ManufacturingRecord {
            registration_id: self.registration_id.parse().map_err(|error| format!("registrationId: {error}"))?,
            manufacturer: manufacturer.clone(),
            state: RecordState::Active,
            evidence: self.evidence,
            facts: self.facts,
            imported_at: now,
            updated_at: now,
            claim: None,
        })
    }
}

/// Adds a member that is evidence of the credential. An empty text says nothing.
pub(super) fn add_evidence(evidence: &mut Evidence, member: &str, text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(());
    }
    let digest = || text.parse::<Digest>().map(Some).map_err(|error| format!("{member}: {error}"));
    match member {
        "certificateSha256" => evidence.certificate_sha256 = digest()?,
        "publicKeySha256" => evidence.public_key_sha256 = digest()?,
        "endorsementKeySha256" => evidence.endorsement_key_sha256 = digest()?,
        "certificateIssuer" => evidence.certificate_issuer = Some(name(member, text)?),
        "certificateSerial" => {
            let serial = text.parse().map_err(|error| format!("{member}: {error}"))?;
            evidence.certificate_serial = Some(serial);
        }
        "endorsementCertificate" => {
            let der = STANDARD.decode(text).map_err(|_| format!("{member}: it is not the base64 of DER"))?;
            let read = EndorsementCertificate::parse(&der).map_err(|error| format!("{member}: {error}"))?;
            evidence.endorsement_certificate = Some(read.der().to_vec());
        }
        "tokenIssuer" => evidence.token_issuer = Some(name(member, text)?),
        "tokenSubject" => evidence.token_subject = Some(name(member, text)?),
        _ => return Err(unknown(member)),
    }
    Ok(())
}

fn name(member: &str, text: &str) -> Result<String, String> {
    if text.len() > MAX_NAME_BYTES {
        return Err(format!("{member}: it has {} bytes; at most {MAX_NAME_BYTES} are taken", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{member}: it holds a control character"));
    }
    Ok(text.to_owned())
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

/// Checks a fact's name. Names are simple, so that a policy's settings, a template or a URL can contain them without
/// escapes.
pub(super) fn check_fact_name(name: &str, limits: &RowLimits) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > limits.fact_name_bytes || !name.bytes().all(plain) {
        let shown: String = name.chars().take(80).collect();
        let max = limits.fact_name_bytes;
        return Err(format!("{shown:?} is no name of a fact: 1 to {max} letters, digits or any of . _ -"));
    }
    Ok(())
}

/// The message for an unknown member or column.
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
        did_you_mean(name, &members().collect::<Vec<_>>())
    )
}

/// The message for bytes that are not UTF-8.
pub(super) const NOT_UTF8: &str = "it is not UTF-8 text; save the file with the character set UTF-8";

/// The limit for texts of evidence. Distinguished names and addresses of issuers are shorter.
const MAX_NAME_BYTES: usize = 512;
