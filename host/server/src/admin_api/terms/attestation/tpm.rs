//! Reads TPMs and TPM manufacturers from a body.

use landfall_attestation::tpm::PublicArea;
use landfall_attestation::x509::endorsement::TpmMakers;
use landfall_attestation::x509::pem;
use landfall_domain::enrollment::{GroupAttestation, IndividualAttestation};
use serde::Deserialize;

use crate::admin_api::problem::Problem;

/// A TPM: of an individual enrollment its endorsement key, of a group the makers whose TPMs it takes.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct TpmBody {
    /// The public part of its endorsement key: base64 of a `TPM2B_PUBLIC`.
    endorsement_key: Option<String>,
    /// Certificates of makers that are trusted, PEM. Every TPM of theirs is taken whose endorsement key the device's
    /// manufacturing record names.
    roots: Option<Vec<String>>,
    /// Certificates that lead up to the roots, PEM.
    intermediates: Option<Vec<String>>,
    /// What was read can be sent back: this is not looked at.
    #[serde(default, rename = "endorsementKeySha256")]
    #[schema(ignore)]
    _endorsement_key_sha256: Option<serde::de::IgnoredAny>,
}

impl TpmBody {
    /// Whether the body is for a group.
    pub(in crate::admin_api) fn takes_makers(&self) -> bool {
        self.roots.is_some()
    }
}

/// The TPM of one device.
pub(super) fn chip(body: &TpmBody) -> Result<IndividualAttestation, Problem> {
    let TpmBody { endorsement_key: Some(key), roots: None, intermediates: None, .. } = body else {
        return Err(Problem::at("/tpm", "an individual enrollment has an endorsementKey, and nothing else"));
    };
    let key = PublicArea::parse_base64(key).map_err(|error| Problem::at("/tpm/endorsementKey", error.to_string()))?;
    Ok(IndividualAttestation::Tpm { endorsement_key: key.as_bytes().to_vec() })
}

/// The manufacturers whose TPMs a group accepts.
pub(super) fn makers(body: &TpmBody) -> Result<GroupAttestation, Problem> {
    let TpmBody { endorsement_key: None, roots: Some(roots), intermediates, .. } = body else {
        return Err(Problem::at("/tpm", "a group has the roots of TPM makers, and perhaps intermediates"));
    };
    let read = |texts: &[String], member: &str| -> Result<Vec<Vec<u8>>, Problem> {
        if texts.len() > pem::MAX_BUNDLE {
            return Err(Problem::at(format!("/tpm/{member}"), format!("at most {} are taken", pem::MAX_BUNDLE)));
        }
        let read = |(at, text): (usize, &String)| {
            let pointer = format!("/tpm/{member}/{at}");
            let der = pem::certificate_from(text).map_err(|error| Problem::at(&pointer, error.to_string()))?;
            let alone = std::slice::from_ref(&der);
            let (root, other) = if member == "roots" { (alone, &[][..]) } else { (&[][..], alone) };
            TpmMakers::parse(root, other).map_err(|error| Problem::at(pointer, error.to_string()))?;
            Ok(der)
        };
        texts.iter().enumerate().map(read).collect()
    };
    let roots = read(roots, "roots")?;
    if roots.is_empty() {
        return Err(Problem::at("/tpm/roots", "name at least one: the certificate of a maker of TPMs"));
    }
    let intermediates = read(intermediates.as_deref().unwrap_or_default(), "intermediates")?;
    Ok(GroupAttestation::TpmMakers { roots, intermediates })
}
