//! The certificates that a device presented: its own, and those that it sent along.

use landfall_domain::names::Digest;
use rustls_pki_types::CertificateDer;

use super::certificate::Certificate;
use super::error::{ChainError, Flaw, Which};
use super::leaf::Leaf;

/// Maximum number of certificates between a device's own and its authority.
pub const MAX_INTERMEDIATES: usize = 4;

/// Maximum number of certificates above the device's own that are parsed: the intermediates, the authority's own, and
/// some that belong to nothing (RFC 8446, 4.4.2).
pub const MAX_PRESENTED: usize = 8;

/// Maximum size of all certificates in bytes.
pub const MAX_CHAIN_BYTES: usize = 16 * 1024;

/// A chain as it was presented: parsed, within the limits, and not verified.
#[derive(Clone, Debug)]
pub struct PresentedChain {
    leaf: Leaf,
    /// The certificates above the device's own, in the order in which they were sent. The order means nothing.
    above: Vec<Certificate>,
    /// Why one of the sent certificates could not be parsed. It is reported if the others do not lead to an authority.
    unread: Option<ChainError>,
}

impl PresentedChain {
    /// Parses the certificates of a TLS handshake. The first is the device's own. Dropped are exact duplicates,
    /// certificates that the chain of names from the device's own does not reach, and certificates that cannot be
    /// parsed. No signature is checked.
    ///
    /// A chain whose first certificate has a key that is not accepted is an error: for such a key, the handshake
    /// demands no proof of possession (`leaf::provable_key`).
    ///
    /// # Errors
    ///
    /// There is no certificate, there are too many, they are too large, or the device's own cannot be parsed or has a
    /// key that is not accepted.
    pub fn parse(certificates: &[CertificateDer<'_>]) -> Result<Self, ChainError> {
        let (leaf, rest) = certificates.split_first().ok_or(ChainError::Empty)?;
        let above = bounded(leaf, rest)?;
        let leaf = Leaf::read(leaf)?;
        if let Some(flaw) = &leaf.certificate.key.flaw {
            return Err(ChainError::flawed(Which::Leaf, Flaw::Key(flaw.clone())));
        }
        let (mut read, mut unread) = (Vec::new(), None);
        for (at, der) in above.into_iter().enumerate() {
            match Certificate::read(der) {
                Ok(certificate) => read.push(certificate),
                Err(flaw) => {
                    let which = Which::Intermediate(format!("number {} after the device's own", at + 1));
                    unread.get_or_insert(ChainError::flawed(which, flaw));
                }
            }
        }
        let whole = Self { leaf, above: read, unread };
        let led_over: Vec<Digest> = whole
            .levels(|issuer, child| child.issuer == issuer.subject)
            .skip(1)
            .flatten()
            .map(|one| one.sha256)
            .collect();
        let mut chain = whole;
        chain.above.retain(|one| led_over.contains(&one.sha256));
        Ok(chain)
    }

    /// A chain whose certificates above the device's own come from us: those of the `known` ones that the chain of
    /// names reaches.
    pub(super) fn of_known(leaf: Leaf, known: &[Certificate]) -> Result<Self, ChainError> {
        let whole = Self { leaf, above: known.to_vec(), unread: None };
        let led_over = whole.levels(|issuer, child| child.names_issuer(issuer)).skip(1).flatten().cloned();
        let above: Vec<Certificate> = led_over.collect();
        if above.len() > MAX_INTERMEDIATES {
            return Err(ChainError::PathTooLong { found: above.len(), max: MAX_INTERMEDIATES });
        }
        Ok(Self { leaf: whole.leaf, above, unread: None })
    }

    /// The device's own certificate.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// How many other certificates the device sent, counting only those that the chain of names reaches.
    pub fn intermediates(&self) -> usize {
        self.above.len()
    }

    /// The issuer of the topmost certificate that the chain reaches, if that issuer's certificate was not sent.
    pub fn missing_issuer(&self) -> Option<&str> {
        let top = self.levels(|issuer, child| child.names_issuer(issuer)).last()?.into_iter().next()?;
        (top.issuer != top.subject).then_some(top.issuer_text.as_str())
    }

    /// The device's own certificate and those above it, each one after the certificate that it issued.
    pub fn in_order(&self) -> Vec<CertificateDer<'static>> {
        let levels = self.levels(|issuer, child| child.names_issuer(issuer));
        levels.flatten().map(|certificate| certificate.der.clone()).collect()
    }

    pub(super) fn above(&self) -> &[Certificate] {
        &self.above
    }

    /// Why one of the sent certificates could not be parsed, if there is one.
    pub(super) fn unread(&self) -> Option<&ChainError> {
        self.unread.as_ref()
    }

    /// The certificates from the device's own upwards, in levels: each level contains the issuers of the level below,
    /// as `issued` says. A certificate that issued none of them is left out, and no certificate appears twice.
    pub(super) fn levels<'a>(
        &'a self,
        issued: impl Fn(&Certificate, &Certificate) -> bool + 'a,
    ) -> impl Iterator<Item = Vec<&'a Certificate>> + 'a {
        let mut rest: Vec<&Certificate> = self.above.iter().collect();
        let first = vec![&self.leaf.certificate];
        std::iter::successors(Some(first), move |below| {
            let (next, other): (Vec<_>, Vec<_>) =
                rest.drain(..).partition(|candidate| below.iter().any(|child| issued(candidate, child)));
            rest = other;
            (!next.is_empty()).then_some(next)
        })
    }
}

/// The certificates above a device's own without exact duplicates, if all together are within the limits.
///
/// # Errors
///
/// There are too many, or they are too large.
fn bounded<'a, 'der>(
    leaf: &CertificateDer<'_>,
    rest: &'a [CertificateDer<'der>],
) -> Result<Vec<&'a CertificateDer<'der>>, ChainError> {
    let mut above: Vec<&CertificateDer<'_>> = Vec::with_capacity(MAX_PRESENTED);
    let mut bytes = leaf.len();
    let mut sent = 0;
    for certificate in rest {
        if certificate == leaf || above.contains(&certificate) {
            continue;
        }
        sent += 1;
        bytes = bytes.saturating_add(certificate.len());
        // Beyond the limit, certificates are only counted, so that each is compared with a limited number of others.
        if sent <= MAX_PRESENTED {
            above.push(certificate);
        }
    }
    if sent > MAX_PRESENTED {
        return Err(ChainError::TooManyCertificates { sent, max: MAX_PRESENTED });
    }
    if bytes > MAX_CHAIN_BYTES {
        return Err(ChainError::TooLarge { bytes, max: MAX_CHAIN_BYTES });
    }
    Ok(above)
}
