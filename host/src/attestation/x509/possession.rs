//! Proof of possession: whoever uploads an authority's certificate shows that its key is theirs.
//!
//! They are given a random code and sign, with the authority's key, a certificate whose CN is that code. Until then
//! the authority admits nobody, so that nobody takes over the devices of another's authority by uploading its public
//! certificate first.

use super::certificate::Certificate;
use super::error::Flaw;
use super::name::{self, CommonNameError};
use super::signature::signed_by;
use super::strict;
use super::verify::VerifyPolicy;
use crate::clock::Timestamp;

/// Why a proof of possession fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// The authority's certificate is not acceptable.
    #[error("the authority's certificate {0}")]
    Authority(Flaw),
    /// The verification certificate is not acceptable.
    #[error("the verification certificate {0}")]
    Verification(Flaw),
    /// Its subject has no usable CN.
    #[error("the verification certificate does not carry the code: {0}")]
    CommonName(#[from] CommonNameError),
    /// Its CN is something else, perhaps an older code.
    #[error(
        "the verification certificate's CN is {shown:?}, not the code {code:?}; make a new one with exactly this code"
    )]
    OtherCode {
        /// The CN.
        shown: String,
        /// The code.
        code: String,
    },
    /// It names another issuer.
    #[error("the verification certificate names {issuer:?} as its issuer, not the authority {authority:?}")]
    OtherIssuer {
        /// The issuer that it names.
        issuer: String,
        /// The authority's subject.
        authority: String,
    },
    /// Somebody else signed it.
    #[error("the verification certificate was not signed with the authority's key")]
    NotSigned,
}

/// Verifies a proof of possession: the certificate's CN is exactly the code, and the authority's key signed it.
///
/// # Errors
///
/// Which of the demands is not met, in words for the operator.
pub fn verify_possession(
    authority_der: &[u8],
    code: &str,
    verification_certificate_der: &[u8],
    now: Timestamp,
) -> Result<(), PossessionError> {
    let policy = VerifyPolicy::at(now);
    let authority = Certificate::read(authority_der).map_err(PossessionError::Authority)?;
    strict::anchor(&authority)
        .and_then(|()| strict::dates(&authority, &policy, false))
        .map_err(PossessionError::Authority)?;
    let common_name = |parsed: &x509_parser::certificate::X509Certificate<'_>| {
        name::common_name(parsed.subject()).map(ToOwned::to_owned)
    };
    let (proof, shown) =
        Certificate::read_with(verification_certificate_der, common_name).map_err(PossessionError::Verification)?;
    strict::proof(&proof)
        .and_then(|()| strict::dates(&proof, &policy, false))
        .map_err(PossessionError::Verification)?;
    let shown = shown?;
    if shown != code {
        return Err(PossessionError::OtherCode { shown, code: code.to_owned() });
    }
    if !proof.names_issuer(&authority) {
        return Err(PossessionError::OtherIssuer { issuer: proof.issuer_text, authority: authority.subject_text });
    }
    if !signed_by(&proof, &authority.key) {
        return Err(PossessionError::NotSigned);
    }
    Ok(())
}
