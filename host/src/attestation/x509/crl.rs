//! Certificate revocation lists (RFC 5280, section 5): which of its certificates an authority has taken back.
//!
//! A list is uploaded by an operator, and is believed because the authority's key has signed it; nothing that a certificate
//! names is fetched. Every certificate of a verified path is looked up in the list of whoever has issued it, if there is
//! one. A list says until when the next one comes; after that, and a time of grace that the configuration gives, the
//! authority's certificates are refused, because nobody knows any more.

use std::collections::HashSet;

use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::oid_registry as oid;
use x509_parser::revocation_list::CertificateRevocationList;

use super::anchor::Anchor;
use super::certificate::{Certificate, moment};
use super::chain::PresentedChain;
use super::error::{ChainError, Which};
use super::signature;
use super::verify::VerifiedPath;
use crate::clock::Timestamp;

/// The list of one authority.
#[derive(Clone, Debug)]
pub struct Crl {
    issuer: Certificate,
    revoked: HashSet<Vec<u8>>,
    next_update: i64,
}

/// Why a list is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// It is larger than any.
    #[error("the list has {0} bytes, and at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// It is none.
    #[error("it is no certificate revocation list (RFC 5280) in DER or PEM: {0}")]
    Malformed(String),
    /// It is of somebody else.
    #[error("the list was issued by {0:?}, not by this authority")]
    OtherIssuer(String),
    /// Somebody else has signed it.
    #[error("the list was not signed by the authority's key, or with an algorithm that is not accepted")]
    NotSigned,
    /// It does not say when the next one comes.
    #[error("the list does not say when the next one comes (nextUpdate)")]
    NoNextUpdate,
    /// It is not the whole list, or not of all certificates.
    #[error("the list is one of a part, or of changes (critical extension {0}); bring the whole one")]
    Partial(String),
}

impl Crl {
    /// Reads an authority's list from DER.
    ///
    /// # Errors
    ///
    /// [`CrlError`].
    pub fn parse(der: &[u8], authority: &Anchor) -> Result<Self, CrlError> {
        if der.len() > MAX_BYTES {
            return Err(CrlError::TooLarge(der.len()));
        }
        let malformed = |what: &dyn std::fmt::Display| CrlError::Malformed(what.to_string());
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"bytes follow it"));
        }
        let issuer = authority.certificate();
        if list.issuer().as_raw() != issuer.subject {
            return Err(CrlError::OtherIssuer(list.issuer().to_string()));
        }
        let tbs = list.tbs_cert_list.as_ref();
        let (_, whole) = Any::from_der(der).map_err(|error| malformed(&error))?;
        let after = whole.data.get(tbs.len()..).unwrap_or_default();
        let (_, algorithm) = Any::from_der(after).map_err(|error| malformed(&error))?;
        if !signature::verifies(&issuer.key, algorithm.data, tbs, list.signature_value.as_ref()) {
            return Err(CrlError::NotSigned);
        }
        let partial = list.extensions().iter().find(|extension| {
            extension.critical
                || extension.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR
                || extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT
        });
        if let Some(extension) = partial {
            return Err(CrlError::Partial(extension.oid.to_id_string()));
        }
        let next_update = list.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        // "Removed from the list" is said in lists of changes only.
        let revoked = list.iter_revoked_certificates().map(|one| one.raw_serial().to_vec()).collect();
        Ok(Self { issuer: issuer.clone(), revoked, next_update })
    }

    /// When the next list comes, RFC 3339.
    pub fn next_update(&self) -> String {
        moment(self.next_update)
    }

    /// How many certificates it names.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Whether this authority has issued the certificate.
    fn has_issued(&self, certificate: &Certificate) -> bool {
        certificate.issuer == self.issuer.subject && signature::signed_by(certificate, &self.issuer.key)
    }

    fn is_of(&self, issuer: &Certificate) -> bool {
        issuer.subject == self.issuer.subject && issuer.key.spki_sha256 == self.issuer.key.spki_sha256
    }
}

/// Refuses a verified path of which an authority has taken a certificate back, or of which that cannot be known.
///
/// # Errors
///
/// [`ChainError::Revoked`] or [`ChainError::StaleRevocations`].
pub fn not_revoked(
    chain: &PresentedChain,
    path: &VerifiedPath,
    anchors: &[Anchor],
    lists: &[Crl],
    now: Timestamp,
    grace_seconds: u64,
) -> Result<(), ChainError> {
    if lists.is_empty() {
        return Ok(());
    }
    let between = path.intermediates.iter().filter_map(|digest| chain.above().iter().find(|one| one.sha256 == *digest));
    let anchor = anchors.iter().find(|anchor| Some(anchor.sha256()) == path.anchor).map(Anchor::certificate);
    let all: Vec<&Certificate> = std::iter::once(&chain.leaf().certificate).chain(between).chain(anchor).collect();
    for (at, certificate) in all.iter().enumerate() {
        let issuer = all.get(at + 1);
        let list = lists.iter().find(|list| match issuer {
            Some(issuer) => list.is_of(issuer),
            // The one at the top may have been issued by another authority that is uploaded here.
            None => list.has_issued(certificate),
        });
        let Some(list) = list else { continue };
        let of = || list.issuer.subject_text.clone();
        let last = list.next_update.saturating_add(i64::try_from(grace_seconds).unwrap_or(i64::MAX));
        if i64::try_from(now.as_secs()).unwrap_or(i64::MAX) > last {
            return Err(ChainError::StaleRevocations { issuer: of(), since: list.next_update() });
        }
        if list.revoked.contains(&certificate.serial) {
            let which = match at {
                0 => Which::Leaf,
                _ => Which::Intermediate(certificate.subject_text.clone()),
            };
            return Err(ChainError::Revoked { which, issuer: of() });
        }
    }
    Ok(())
}

/// A hundred thousand entries and more.
pub const MAX_BYTES: usize = 8 << 20;
