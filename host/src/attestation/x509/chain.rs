//! What a device presented: its own certificate, and those that it sent along.

use rustls_pki_types::CertificateDer;

use super::certificate::Certificate;
use super::error::{ChainError, Which};
use super::leaf::Leaf;

/// How many certificates above the device's own are read.
pub const MAX_INTERMEDIATES: usize = 4;

/// How many bytes of certificates are read.
pub const MAX_CHAIN_BYTES: usize = 16 * 1024;

/// A chain as it was presented: read, within bounds, and not yet judged.
#[derive(Clone, Debug)]
pub struct PresentedChain {
    leaf: Leaf,
    /// Those above, in the order of the wire, which means nothing.
    above: Vec<Certificate>,
}

impl PresentedChain {
    /// Reads the certificates of a TLS handshake: the first is the device's own. Exact duplicates are dropped. No
    /// signature is looked at.
    ///
    /// # Errors
    ///
    /// No certificate, too many, too large, or one that is no certificate.
    pub fn parse(certificates: &[CertificateDer<'_>]) -> Result<Self, ChainError> {
        let (leaf, rest) = certificates.split_first().ok_or(ChainError::Empty)?;
        let above = bounded(leaf, rest)?;
        let read = |(at, der): (usize, &CertificateDer<'_>)| {
            let which = || Which::Intermediate(format!("number {} after the device's own", at + 1));
            Certificate::read(der).map_err(|flaw| ChainError::flawed(which(), flaw))
        };
        Ok(Self { leaf: Leaf::read(leaf)?, above: above.into_iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// A chain of which the upper part is ours: of the known certificates, those that the names lead over.
    pub(super) fn of_known(leaf: Leaf, known: &[Certificate]) -> Result<Self, ChainError> {
        let whole = Self { leaf, above: known.to_vec() };
        let led_over = whole.levels(|issuer, child| child.names_issuer(issuer)).skip(1).flatten().cloned();
        let above: Vec<Certificate> = led_over.collect();
        if above.len() > MAX_INTERMEDIATES {
            return Err(ChainError::TooManyIntermediates { sent: above.len(), max: MAX_INTERMEDIATES });
        }
        Ok(Self { leaf: whole.leaf, above })
    }

    /// The device's own certificate.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// How many other certificates the device sent.
    pub fn intermediates(&self) -> usize {
        self.above.len()
    }

    pub(super) fn above(&self) -> &[Certificate] {
        &self.above
    }

    /// The certificates from the device's own upwards, in levels: each level holds those that issued one of the
    /// level below, by `issued`. What issued nothing does not appear, and nothing appears twice.
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

/// The certificates above a device's own without exact duplicates, when all together are within the limits.
///
/// # Errors
///
/// Too many, or too large.
pub fn bounded<'a, 'der>(
    leaf: &CertificateDer<'_>,
    rest: &'a [CertificateDer<'der>],
) -> Result<Vec<&'a CertificateDer<'der>>, ChainError> {
    let mut above: Vec<&CertificateDer<'_>> = Vec::with_capacity(MAX_INTERMEDIATES);
    let mut bytes = leaf.len();
    let mut sent = 0;
    for certificate in rest {
        if certificate == leaf || above.contains(&certificate) {
            continue;
        }
        sent += 1;
        bytes = bytes.saturating_add(certificate.len());
        // Past the limit they are only counted, and so compared with a bounded number of others.
        if sent <= MAX_INTERMEDIATES {
            above.push(certificate);
        }
    }
    if sent > MAX_INTERMEDIATES {
        return Err(ChainError::TooManyIntermediates { sent, max: MAX_INTERMEDIATES });
    }
    if bytes > MAX_CHAIN_BYTES {
        return Err(ChainError::TooLarge { bytes, max: MAX_CHAIN_BYTES });
    }
    Ok(above)
}
