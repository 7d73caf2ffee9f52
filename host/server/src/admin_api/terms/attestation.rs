//! Reads attestation mechanisms from a body.

use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_attestation::x509::{Anchor, PresentedChain, VerifyPolicy, could_be_pinned, pem};
use landfall_domain::enrollment::{
    CertificatePin, EnrollmentRef, ExpiredCertificates, GroupAttestation, Individual, IndividualAttestation, SealedKeys,
};
use landfall_domain::names::{CaName, Digest, IdScope};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::admin_api::problem::Problem;
use crate::catalogue::ScopeCatalogue;
use crate::service::Service;

mod directory;
mod password;
mod token;
mod tpm;

pub(in crate::admin_api) use directory::DirectoryBody;
pub(in crate::admin_api) use password::PasswordBody;
pub(in crate::admin_api) use token::TokenBody;
pub(in crate::admin_api) use tpm::TpmBody;

/// Exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct X509Body {
    /// Of an individual enrollment: the device's certificates.
    certificates: Option<PairBody>,
    /// Of a group: names of uploaded authorities.
    authorities: Option<PairBody>,
    /// Of a group: certificates of intermediates.
    intermediates: Option<PairBody>,
}

/// One, and its successor while it is rolled over.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PairBody {
    /// PEM, `{"certificate": PEM, "sha256": ...}` with either or both, or the name of an authority.
    #[schema(value_type = Object)]
    primary: Value,
    /// The successor of `primary`: a certificate or its digest.
    #[schema(value_type = Option<Object>)]
    secondary: Option<Value>,
}

/// Two keys, base64 of 16 to 64 bytes each. What is left out is kept, or made when there is nothing to keep.
#[derive(Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct SymmetricKeyBody {
    /// The first of the two keys, base64; what stands is kept when it is absent, or one is made.
    #[schema(value_type = Option<String>)]
    primary_key: Option<Zeroizing<String>>,
    /// The second key, base64; what stands is kept when it is absent, or one is made.
    #[schema(value_type = Option<String>)]
    secondary_key: Option<Zeroizing<String>>,
}

/// The keys are not printed.
impl std::fmt::Debug for SymmetricKeyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKeyBody")
    }
}

/// Keys that were generated or given in this request: the answer shows them, and no later answer does.
///
/// A key that was stored before is not among them: changing one key must not reveal the other.
pub(in crate::admin_api) struct TellOnce {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

impl TellOnce {
    /// The primary and the secondary key.
    pub(super) fn keys(self) -> (Option<String>, Option<String>) {
        (self.primary_key, self.secondary_key)
    }
}

/// The attestation in a body, and the enrollment that it belongs to.
pub(in crate::admin_api) struct Proof<'a> {
    pub(in crate::admin_api) service: &'a Service,
    pub(in crate::admin_api) scope: &'a IdScope,
    pub(in crate::admin_api) owner: EnrollmentRef,
    pub(in crate::admin_api) x509: Option<&'a X509Body>,
    pub(in crate::admin_api) symmetric_key: Option<&'a SymmetricKeyBody>,
    pub(in crate::admin_api) tpm: Option<&'a TpmBody>,
    pub(in crate::admin_api) token: Option<&'a TokenBody>,
    pub(in crate::admin_api) password: Option<&'a PasswordBody>,
    pub(in crate::admin_api) directory: Option<&'a DirectoryBody>,
}

enum Kind<'a> {
    X509(&'a X509Body),
    SymmetricKey(&'a SymmetricKeyBody),
    Tpm(&'a TpmBody),
    Token(&'a TokenBody),
    Password(&'a PasswordBody),
    Directory(&'a DirectoryBody),
}

impl<'a> Proof<'a> {
    fn kind(&self) -> Result<Kind<'a>, Problem> {
        let said = [
            self.x509.map(Kind::X509),
            self.symmetric_key.map(Kind::SymmetricKey),
            self.tpm.map(Kind::Tpm),
            self.token.map(Kind::Token),
            self.password.map(Kind::Password),
            self.directory.map(Kind::Directory),
        ];
        let mut said = said.into_iter().flatten();
        match (said.next(), said.next()) {
            (Some(kind), None) => Ok(kind),
            (None, _) => Err(Problem::at(
                "",
                "say how devices prove themselves: x509, symmetricKey, tpm, token, password or directory",
            )),
            _ => Err(Problem::at(
                "",
                "an enrollment has exactly one of x509, symmetricKey, tpm, token, password and directory",
            )),
        }
    }

    /// The keys in the body, or else the stored ones, or else new ones.
    fn keys(
        &self,
        body: &SymmetricKeyBody,
        before: Option<&SealedKeys>,
    ) -> Result<(SealedKeys, Option<TellOnce>), Problem> {
        let given = |text: Option<&Zeroizing<String>>, pointer: &str| {
            text.map(|text| SymmetricKey::parse(text))
                .transpose()
                .map_err(|error| Problem::at(pointer, error.to_string()))
        };
        let primary = given(body.primary_key.as_ref(), "/symmetricKey/primaryKey")?;
        let secondary = given(body.secondary_key.as_ref(), "/symmetricKey/secondaryKey")?;
        let (sealing, ambient) = (self.service.sealing(), self.service.ambient());
        let stand = match before {
            Some(sealed) if primary.is_none() && secondary.is_none() => return Ok((sealed.clone(), None)),
            Some(sealed) if primary.is_none() || secondary.is_none() => {
                let opened = sealed.open(&self.owner, self.scope, sealing);
                Some(opened.map_err(|error| Problem::new(409, format!("the other key cannot be opened: {error}")))?)
            }
            _ => None,
        };
        let [old_primary, old_secondary] = stand.map_or([None, None], |keys| keys.map(Some));
        // A given key comes first, then the stored one, then a new one; a stored key is not shown.
        let take = |given: Option<SymmetricKey>, stood: Option<SymmetricKey>| {
            let is_kept = given.is_none() && stood.is_some();
            let key = given.or(stood).unwrap_or_else(|| SymmetricKey::generate(ambient.random()));
            let told = (!is_kept).then(|| key.to_base64().expose().to_owned());
            (key, told)
        };
        let ((primary, primary_key), (secondary, secondary_key)) =
            (take(primary, old_primary), take(secondary, old_secondary));
        let sealed = SealedKeys::seal(&[primary, secondary], &self.owner, self.scope, sealing, ambient);
        Ok((sealed, Some(TellOnce { primary_key, secondary_key })))
    }
}

/// The attestation of a group.
pub(in crate::admin_api) fn group_attestation(
    proof: &Proof<'_>,
    scope: &ScopeCatalogue,
    before: Option<&GroupAttestation>,
) -> Result<(GroupAttestation, Option<TellOnce>), Problem> {
    let x509 = match proof.kind()? {
        Kind::X509(x509) => x509,
        Kind::SymmetricKey(body) => {
            let before = match before {
                Some(GroupAttestation::SymmetricKey(sealed)) => Some(sealed),
                _ => None,
            };
            let (sealed, told) = proof.keys(body, before)?;
            return Ok((GroupAttestation::SymmetricKey(sealed), told));
        }
        Kind::Tpm(body) => return Ok((tpm::makers(body)?, None)),
        Kind::Token(body) => return Ok((GroupAttestation::Token(token::token_rules(body)?), None)),
        Kind::Password(_) => return Err(Problem::at("/password", "a password is one device's, not a group's")),
        Kind::Directory(body) => return Ok((directory::directory_rules(proof, body)?, None)),
    };
    let attestation = match x509 {
        X509Body { certificates: None, authorities: Some(pair), intermediates: None } => {
            let name = |value: &Value, at: &str| -> Result<CaName, Problem> {
                let pointer = format!("/x509/authorities/{at}");
                let text = value.as_str().ok_or_else(|| Problem::at(&pointer, "the name of an uploaded authority"))?;
                let name: CaName = text.parse().map_err(|error| Problem::at(&pointer, format!("{error}")))?;
                match scope.authority(&name) {
                    Some(authority) if authority.verified => Ok(name),
                    Some(_) => {
                        Err(Problem::at(pointer, format!("the key of {name} is not proven yet: landfall ca verify")))
                    }
                    None => Err(Problem::at(pointer, format!("no authority {name} is uploaded: landfall ca upload"))),
                }
            };
            Ok(GroupAttestation::X509Authorities {
                primary: name(&pair.primary, "primary")?,
                secondary: pair.secondary.as_ref().map(|value| name(value, "secondary")).transpose()?,
            })
        }
        X509Body { certificates: None, authorities: None, intermediates: Some(pair) } => {
            let certificate = |value: &Value, at: &str| -> Result<CertificatePin, Problem> {
                let pointer = format!("/x509/intermediates/{at}");
                let pin = pin(value, &pointer)?;
                let der = pin.der.as_deref().ok_or_else(|| Problem::at(&pointer, "the whole certificate is needed"))?;
                let stands = matches!(before, Some(GroupAttestation::X509Intermediates { primary, secondary })
                    if [Some(primary), secondary.as_ref()].into_iter().flatten().any(|one| one.sha256 == pin.sha256));
                scope.vouches_for(der).map_err(|why| Problem::at(&pointer, why))?;
                let ended = Anchor::parse(der).ok().filter(|anchor| anchor.has_ended(proof.service.ambient().now()));
                if let Some(anchor) = ended.filter(|_| !stands) {
                    let why = format!("it expired at {}, so no device could register by it", anchor.not_after());
                    return Err(Problem::at(pointer, why));
                }
                Ok(pin)
            };
            Ok(GroupAttestation::X509Intermediates {
                primary: certificate(&pair.primary, "primary")?,
                secondary: pair.secondary.as_ref().map(|value| certificate(value, "secondary")).transpose()?,
            })
        }
        _ => Err(Problem::at("/x509", "a group has exactly one of authorities and intermediates")),
    };
    Ok((attestation?, None))
}

/// The attestation of an individual enrollment.
pub(in crate::admin_api) fn individual_attestation(
    proof: &Proof<'_>,
    before: Option<&IndividualAttestation>,
) -> Result<(IndividualAttestation, Option<TellOnce>), Problem> {
    let x509 = match proof.kind()? {
        Kind::X509(x509) => x509,
        Kind::SymmetricKey(body) => {
            let before = match before {
                Some(IndividualAttestation::SymmetricKey(sealed)) => Some(sealed),
                _ => None,
            };
            let (sealed, told) = proof.keys(body, before)?;
            return Ok((IndividualAttestation::SymmetricKey(sealed), told));
        }
        Kind::Tpm(body) => return Ok((tpm::chip(body)?, None)),
        Kind::Password(body) => return Ok((password::password(proof.service, &proof.owner, body, before)?, None)),
        Kind::Directory(_) => return Err(Problem::at("/directory", "accounts of a directory are taken by a group")),
        Kind::Token(_) => return Err(Problem::at("/token", "an issuer of tokens is relied on by a group")),
    };
    let X509Body { certificates: Some(pair), authorities: None, intermediates: None } = x509 else {
        return Err(Problem::at("/x509", "an individual enrollment has certificates, and nothing else"));
    };
    let secondary = pair.secondary.as_ref().map(|value| pin(value, "/x509/certificates/secondary")).transpose()?;
    Ok((IndividualAttestation::X509 { primary: pin(&pair.primary, "/x509/certificates/primary")?, secondary }, None))
}

/// Refuses certificates with which the device could never register, unless they are stored already or the enrollment
/// is disabled: a disabled enrollment blocks certificates, whichever they are.
pub(in crate::admin_api) fn can_serve(
    individual: &Individual,
    before: Option<&Individual>,
    policy: &VerifyPolicy,
) -> Result<(), Problem> {
    let pins_of = |individual: &Individual| match &individual.attestation {
        IndividualAttestation::X509 { primary, secondary } => [Some(primary.clone()), secondary.clone()],
        _ => [None, None],
    };
    if !individual.terms.enabled {
        return Ok(());
    }
    let stood = before.filter(|before| before.terms.enabled).map(pins_of).into_iter().flatten().flatten();
    let stood: Vec<Digest> = stood.map(|pin| pin.sha256).collect();
    let policy = VerifyPolicy {
        ignore_expiry: individual.terms.expired_certificates != ExpiredCertificates::Refuse,
        ..policy.clone()
    };
    for (member, pin) in ["primary", "secondary"].into_iter().zip(pins_of(individual)) {
        let Some(CertificatePin { sha256, der: Some(der) }) = pin else { continue };
        if stood.contains(&sha256) {
            continue;
        }
        let wrong = |why: String| Problem::at(format!("/x509/certificates/{member}"), why);
        let chain = PresentedChain::parse(&[CertificateDer::from(der)]).map_err(|error| wrong(error.to_string()))?;
        could_be_pinned(chain.leaf(), &policy).map_err(|error| wrong(error.to_string()))?;
        let cn = chain.leaf().registration_id().map_err(|error| wrong(error.to_string()))?;
        if cn != individual.registration_id {
            let id = &individual.registration_id;
            return Err(wrong(format!("the certificate's CN is {cn}, so {id} cannot register with it")));
        }
    }
    Ok(())
}

/// A pinned certificate, or its SHA-256.
fn pin(value: &Value, pointer: &str) -> Result<CertificatePin, Problem> {
    let wrong = |message: String| Problem::at(pointer, message);
    if let Some(text) = value.as_str() {
        let der = pem::certificate_from(text).map_err(|error| wrong(error.to_string()))?;
        return Ok(CertificatePin { sha256: Digest::of(&der), der: Some(der) });
    }
    let parts: PinBody = serde_json::from_value(value.clone()).map_err(|error| {
        wrong(format!("a certificate (PEM), or {{\"certificate\": PEM, \"sha256\": its digest}}: {error}"))
    })?;
    match (parts.certificate, parts.sha256) {
        (Some(text), given) => {
            let der = pem::certificate_from(&text).map_err(|error| wrong(error.to_string()))?;
            let sha256 = Digest::of(&der);
            if given.is_some_and(|given| given != sha256) {
                return Err(Problem::at(format!("{pointer}/sha256"), format!("the certificate's is {sha256}")));
            }
            Ok(CertificatePin { sha256, der: Some(der) })
        }
        (None, Some(sha256)) => Ok(CertificatePin { sha256, der: None }),
        (None, None) => Err(wrong("give `certificate` or `sha256`".to_owned())),
    }
}

/// A certificate in parts, as it is shown.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PinnedCertificate)]
pub(in crate::admin_api) struct PinBody {
    /// The certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
    /// SHA-256 of the DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) sha256: Option<Digest>,
}
