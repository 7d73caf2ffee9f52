//! Proof of possession: whoever uploads an authority's certificate proves that they have its key.
//!
//! The service gives out a random code. The uploader signs, with the authority's key, a certificate whose CN is that
//! code. Until then the authority admits no device. Otherwise somebody could upload another's public certificate
//! first, and so take over the devices of that authority.

use landfall_domain::clock::Timestamp;

use super::certificate::Certificate;
use super::error::Flaw;
use super::name::{self, CommonNameError};
use super::signature::signed_by;
use super::strict;
use super::verify::VerifyPolicy;

/// Why a proof of possession fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PossessionError {
    /// The authority's certificate is not acceptable.
    #[error("the authority's certificate {0}")]
    Authority(Flaw),
    /// The verification certificate is not acceptable.
    #[error("the verification certificate {0}")]
    Verification(Flaw),
    /// The verification certificate has no usable CN.
    #[error("the verification certificate does not carry the code: {0}")]
    CommonName(#[from] CommonNameError),
    /// Its CN is not the code; perhaps it is an older code.
    #[error(
        "the verification certificate's CN is {shown:?}, not the code {code:?}; make a new one with exactly this code"
    )]
    OtherCode { shown: String, code: String },
    /// It names another issuer.
    #[error("the verification certificate names {issuer:?} as its issuer, not the authority {authority:?}")]
    OtherIssuer {
        /// The issuer that the verification certificate names.
        issuer: String,
        /// The authority's subject.
        authority: String,
    },
    /// It was not signed with the authority's key.
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
    strict::anchor(&authority, strict::Usage::Client)
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

#[cfg(test)]
mod tests {
    use rcgen::date_time_ymd;

    use super::super::tests::authority::{Made, NOW, self_signed};
    use super::*;

    const CODE: &str = "9F3C2A7B00D1";

    #[test]
    fn a_certificate_with_the_code_signed_by_the_authority_proves_possession() {
        let root = Made::root("root");
        assert_eq!(verify_possession(&root.der, CODE, &root.device(CODE), NOW), Ok(()));
        let as_authority = root.intermediate(CODE).der;
        assert_eq!(verify_possession(&root.der, CODE, &as_authority, NOW), Ok(()));
        let line = root.intermediate("line");
        assert_eq!(verify_possession(&line.der, CODE, &line.device(CODE), NOW), Ok(()));
    }

    #[test]
    fn another_code_is_refused_even_in_another_case() {
        let root = Made::root("root");
        for shown in ["9f3c2a7b00d1", "9F3C2A7B00D", "9F3C2A7B00D11"] {
            let got = verify_possession(&root.der, CODE, &root.device(shown), NOW);
            assert_eq!(got, Err(PossessionError::OtherCode { shown: shown.to_owned(), code: CODE.to_owned() }));
        }
        let nobody = root.device_with(CODE, |params| params.distinguished_name = rcgen::DistinguishedName::new());
        let got = verify_possession(&root.der, CODE, &nobody, NOW);
        assert_eq!(got, Err(PossessionError::CommonName(CommonNameError::Count(0))));
    }

    #[test]
    fn a_certificate_of_anybody_else_is_refused() {
        let (root, other, namesake) = (Made::root("root"), Made::root("other"), Made::root("root"));
        let other_issuer = |issuer: &str| {
            Err(PossessionError::OtherIssuer { issuer: issuer.to_owned(), authority: "CN=root".to_owned() })
        };
        assert_eq!(verify_possession(&root.der, CODE, &other.device(CODE), NOW), other_issuer("CN=other"));
        let own = self_signed(CODE, |_| {});
        assert_eq!(verify_possession(&root.der, CODE, &own, NOW), other_issuer("CN=9F3C2A7B00D1"));
        let anonymous = namesake.device_with(CODE, |params| params.use_authority_key_identifier_extension = false);
        assert_eq!(verify_possession(&root.der, CODE, &anonymous, NOW), Err(PossessionError::NotSigned));
    }

    #[test]
    fn dates_hold_for_both_certificates() {
        let root = Made::root("root");
        let expired = root.device_with(CODE, |params| params.not_after = date_time_ymd(2029, 1, 1));
        let got = verify_possession(&root.der, CODE, &expired, NOW);
        assert!(matches!(got, Err(PossessionError::Verification(Flaw::Expired(_)))), "{got:?}");
        let old = Made::root_with("root", |params| params.not_after = date_time_ymd(2029, 1, 1));
        let got = verify_possession(&old.der, CODE, &old.device(CODE), NOW);
        assert!(matches!(got, Err(PossessionError::Authority(Flaw::Expired(_)))), "{got:?}");
    }

    #[test]
    fn what_is_no_authority_cannot_be_proven() {
        let device = self_signed("dev-1", |_| {});
        let got = verify_possession(&device, CODE, &device, NOW);
        assert_eq!(got, Err(PossessionError::Authority(Flaw::NotAuthority)));
    }
}
