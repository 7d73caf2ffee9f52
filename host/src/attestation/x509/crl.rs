//! Certificate revocation lists (RFC 5280, section 5): which of its certificates an authority has taken back.
//!
//! A list is brought by an operator or fetched from where one has said, and is believed because the authority's key has
//! signed it; nothing that a certificate
//! names is fetched. Every certificate of a verified path is looked up in the list of whoever has issued it, if there is
//! one. A list says until when the next one comes; after that, and a time of grace that the configuration gives, the
//! authority's certificates are refused, because nobody knows any more.

use std::collections::HashSet;

use x509_parser::asn1_rs::FromDer as _;
use x509_parser::oid_registry as oid;
use x509_parser::revocation_list::CertificateRevocationList;

use super::anchor::Anchor;
use super::certificate::moment;
use super::distinguished::Name;
use super::signature;
use super::signed;
use super::{name, object_id};
use crate::clock::Timestamp;

/// The list of one authority.
#[derive(Clone, Debug)]
pub struct Crl {
    revoked: HashSet<Vec<u8>>,
    this_update: i64,
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
        if Name::of(list.issuer()) != issuer.subject {
            return Err(CrlError::OtherIssuer(name::text(list.issuer())));
        }
        let tbs = list.tbs_cert_list.as_ref();
        let parts = signed::parts(der, tbs.len()).ok_or_else(|| malformed(&"its signature is not in DER"))?;
        if !signature::verifies(&issuer.key, parts.algorithm, tbs, parts.value) {
            return Err(CrlError::NotSigned);
        }
        let partial = list.extensions().iter().find(|extension| {
            extension.critical
                || extension.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR
                || extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT
        });
        if let Some(extension) = partial {
            return Err(CrlError::Partial(object_id::text(&extension.oid)));
        }
        let next_update = list.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        // "Removed from the list" is said in lists of changes only.
        let revoked = list.iter_revoked_certificates().map(|one| plain(one.raw_serial()).to_vec()).collect();
        Ok(Self { revoked, this_update: list.last_update().timestamp(), next_update })
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

    /// Whether a certificate's number is on it, from its octets in the DER.
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        self.revoked.contains(plain(serial))
    }

    /// Whether the next one was due so long ago.
    pub fn is_stale(&self, now: Timestamp, grace_seconds: u64) -> bool {
        let last = self.next_update.saturating_add(i64::try_from(grace_seconds).unwrap_or(i64::MAX));
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX) > last
    }

    /// Whether it was made before that one.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.this_update < other.this_update
    }
}

/// Without zeros before it: who has written a number so in one place need not have in the other.
fn plain(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial {
        serial = rest;
    }
    serial
}

/// A hundred thousand entries and more.
pub const MAX_BYTES: usize = 8 << 20;
