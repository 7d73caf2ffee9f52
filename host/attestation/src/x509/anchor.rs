//! Trust anchors: the certificates up to which chains are verified. An anchor is an uploaded authority's certificate,
//! root or intermediate.

use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::certificate::{Certificate, moment};
use super::error::{ChainError, Which};
use super::strict::{self, Usage};

/// The certificate of a certificate authority up to which chains may be verified. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Anchor(Arc<Certificate>);

impl Anchor {
    /// Parses an authority's certificate and checks everything that does not change with time. Its own signature is
    /// not checked: it is trusted because an operator uploaded it.
    ///
    /// # Errors
    ///
    /// [`ChainError::Flawed`], which names the flaw.
    pub fn parse(der: &[u8]) -> Result<Self, ChainError> {
        Self::parse_for(Usage::Client, der)
    }

    pub(super) fn parse_for(usage: Usage, der: &[u8]) -> Result<Self, ChainError> {
        let unread = |flaw| ChainError::flawed(Which::Anchor("that was given".to_owned()), flaw);
        let certificate = Certificate::read(der).map_err(unread)?;
        let which = || Which::Anchor(certificate.subject_text.clone());
        strict::anchor(&certificate, usage).map_err(|flaw| ChainError::flawed(which(), flaw))?;
        Ok(Self(Arc::new(certificate)))
    }

    /// SHA-256 of the certificate's DER.
    pub fn sha256(&self) -> Digest {
        self.0.sha256
    }

    /// The subject, as RFC 4514 writes names.
    pub fn subject(&self) -> &str {
        &self.0.subject_text
    }

    /// The end of its validity, in the form of RFC 3339.
    pub fn not_after(&self) -> String {
        moment(self.0.not_after)
    }

    /// The end of its validity, in seconds since 1970-01-01 UTC.
    pub fn not_after_secs(&self) -> i64 {
        self.0.not_after
    }

    /// Whether its validity has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.0.not_after < i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.0
    }
}
