//! The rules for each certificate by itself. Each rule names the section of RFC 5280 that it comes from, if there is
//! one.

use super::certificate::Certificate;
use super::error::Flaw;
use super::signature;
use super::verify::VerifyPolicy;

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// A TLS client, as devices are.
    Client,
    /// The certificate of a TPM's endorsement key. It signs nothing: it is only presented.
    EndorsementKey,
    /// A TLS server. Needed by the public test suites for path validation.
    #[cfg(test)]
    Server,
}

/// The rules for every certificate, including pinned ones.
pub(super) fn any(certificate: &Certificate) -> Result<(), Flaw> {
    legible(certificate)?;
    certificate.key.flaw.clone().map_or(Ok(()), |flaw| Err(Flaw::Key(flaw)))
}

/// Everything in the certificate is understood.
fn legible(certificate: &Certificate) -> Result<(), Flaw> {
    if certificate.version != 3 {
        return Err(Flaw::Version(certificate.version));
    }
    if let Some(extension) = &certificate.extensions.unknown_critical {
        return Err(Flaw::UnknownCriticalExtension(extension.clone()));
    }
    certificate.lax.clone().map_or(Ok(()), Err)
}

/// The rules for a certificate that an operator has named. Its purposes are not checked, except that its key may sign.
pub(super) fn pinned(certificate: &Certificate) -> Result<(), Flaw> {
    any(certificate)?;
    signs_handshakes(certificate)
}

/// 4.2.1.3, and RFC 5246, 7.4.6: the key of a certificate that is presented in a handshake signs the handshake.
fn signs_handshakes(certificate: &Certificate) -> Result<(), Flaw> {
    match certificate.extensions.signs_handshakes {
        Some(false) => Err(Flaw::MayNotSignHandshakes),
        _ => Ok(()),
    }
}

/// The rules for a certificate that its issuers verify and that is not an authority's.
pub(super) fn issued_leaf(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    match usage {
        // The key is compared with the TPM's key, which is checked elsewhere. So its algorithm may be written in any
        // way (RSAES-OAEP).
        Usage::EndorsementKey => legible(certificate)?,
        _ => any(certificate)?,
    }
    issued(certificate, usage)?;
    usable(certificate, usage)?;
    if usage == Usage::EndorsementKey && certificate.extensions.purposes.is_none() {
        return Err(Flaw::NotForEndorsementKeys);
    }
    let extensions = &certificate.extensions;
    if extensions.ca {
        return Err(Flaw::LeafIsAuthority);
    }
    if extensions.may_sign == Some(true) {
        return Err(Flaw::LeafMaySign);
    }
    if extensions.name_constraints.is_some() {
        return Err(Flaw::LeafNameConstraints);
    }
    if usage == Usage::Client {
        signs_handshakes(certificate)?;
    }
    signature_algorithm(certificate)
}

/// The rules for a certificate between the device's and the anchor.
pub(super) fn intermediate(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    any(certificate)?;
    issued(certificate, usage)?;
    usable(certificate, usage)?;
    authority(certificate)?;
    signature_algorithm(certificate)
}

/// The rules for an uploaded authority's certificate. Its signature and the signature's algorithm are not checked.
pub(super) fn anchor(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    any(certificate)?;
    issued_or_uploaded(certificate, usage)?;
    usable(certificate, usage)?;
    authority(certificate)?;
    if certificate.not_after < certificate.not_before {
        return Err(Flaw::InvertedValidity);
    }
    // 4.2.1.10: the extension must be critical, so that programs that do not know name constraints refuse the
    // certificate.
    if certificate.extensions.name_constraints.as_ref().is_some_and(|(_, critical)| !critical) {
        return Err(Flaw::NonCriticalNameConstraints);
    }
    Ok(())
}

/// The rules for a certificate whose only purpose is to prove possession of its issuer's key. Tools make it in many
/// ways (with cA, for servers), so little is demanded.
pub(super) fn proof(certificate: &Certificate) -> Result<(), Flaw> {
    any(certificate)?;
    signature_algorithm(certificate)
}

/// Checks the dates. Clocks in factories run ahead, so a certificate may begin a little later than now. The end of its
/// validity is never extended.
pub(super) fn dates(certificate: &Certificate, policy: &VerifyPolicy, ignore_expiry: bool) -> Result<(), Flaw> {
    if certificate.not_after < certificate.not_before {
        return Err(Flaw::InvertedValidity);
    }
    if certificate.not_before > policy.latest_begin() {
        return Err(Flaw::NotYetValid(super::certificate::moment(certificate.not_before)));
    }
    if certificate.not_after < policy.now_secs() && !ignore_expiry {
        return Err(Flaw::Expired(super::certificate::moment(certificate.not_after)));
    }
    Ok(())
}

/// Serial number and subject of an issued certificate: 4.1.2.2 and 4.1.2.4.
fn issued(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    if certificate.serial.iter().all(|octet| *octet == 0) {
        return Err(Flaw::Serial);
    }
    issued_or_uploaded(certificate, usage)
}

/// An uploaded authority may have the serial number 0, as public roots have and older tools give: an anchor is never
/// looked up by its number. Makers of TPMs have given negative numbers, and nobody will replace those chips.
fn issued_or_uploaded(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    let serial = &certificate.serial;
    let negative = serial.first().is_some_and(|first| first & 0x80 != 0);
    if !(1..=20).contains(&serial.len()) || (negative && usage != Usage::EndorsementKey) {
        return Err(Flaw::Serial);
    }
    if certificate.issuer.is_empty() {
        return Err(Flaw::EmptyIssuer);
    }
    Ok(())
}

/// 4.2.1.12. `anyExtendedKeyUsage` does not stand for clientAuth, here and in webpki.
fn usable(certificate: &Certificate, usage: Usage) -> Result<(), Flaw> {
    let usable = certificate.extensions.purposes.is_none_or(|purposes| match usage {
        Usage::Client => purposes.clients,
        Usage::EndorsementKey => purposes.endorsement,
        #[cfg(test)]
        Usage::Server => purposes.servers,
    });
    match usage {
        _ if usable => Ok(()),
        Usage::EndorsementKey => Err(Flaw::NotForEndorsementKeys),
        _ => Err(Flaw::NotForClients),
    }
}

/// The rules for an authority: 4.1.2.6, 4.2.1.3 and 4.2.1.9.
fn authority(certificate: &Certificate) -> Result<(), Flaw> {
    if certificate.subject.is_empty() {
        return Err(Flaw::EmptySubject);
    }
    if !certificate.extensions.ca {
        return Err(Flaw::NotAuthority);
    }
    if certificate.extensions.may_sign == Some(false) {
        return Err(Flaw::MayNotSign);
    }
    Ok(())
}

fn signature_algorithm(certificate: &Certificate) -> Result<(), Flaw> {
    if signature::accepted(certificate) {
        return Ok(());
    }
    Err(Flaw::SignatureAlgorithm(certificate.signature.algorithm_name.clone()))
}
