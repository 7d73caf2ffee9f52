//! How devices prove themselves, as a body says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::admin_api::problem::Problem;
use crate::attestation::bearer::{ALGORITHMS, TokenRules, word_of};
use crate::attestation::password::PasswordHash;
use crate::attestation::symmetric_key::SymmetricKey;
use crate::attestation::tpm::PublicArea;
use crate::attestation::x509::endorsement::TpmMakers;
use crate::attestation::x509::pem;
use crate::catalogue::ScopeCatalogue;
use crate::enrollment::{
    AccountKind, CertificatePin, DirectoryRules, EnrollmentRef, GroupAttestation, IndividualAttestation, SealedKeys,
};
use crate::names::{CaName, Digest, DirectoryName, IdScope};
use crate::secret::SecretText;
use crate::service::Service;

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
    /// The same.
    #[schema(value_type = Option<Object>)]
    secondary: Option<Value>,
}

/// Two keys, base64 of 16 to 64 bytes each. What is left out is kept, or made when there is nothing to keep.
#[derive(Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct SymmetricKeyBody {
    /// The one.
    #[schema(value_type = Option<String>)]
    primary_key: Option<Zeroizing<String>>,
    /// The other.
    #[schema(value_type = Option<String>)]
    secondary_key: Option<Zeroizing<String>>,
}

/// Tokens of an identity provider (OpenID Connect, RFC 9068).
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct TokenBody {
    /// The issuer's URL, https://, as it writes it itself.
    pub(super) issuer: String,
    /// For whom tokens must be: one of these.
    pub(super) audiences: Vec<String>,
    /// The claim that is the registration id; `sub` when absent. Names with dots between them go into objects.
    #[serde(default = "subject")]
    pub(super) registration_id_claim: String,
    /// Claims that must have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub(super) required_claims: BTreeMap<String, Value>,
    /// The algorithms with which tokens may be signed, such as `ES256`; those of key pairs when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) algorithms: Vec<String>,
    /// What kind of token it must be (`typ`), such as `at+jwt` (RFC 9068); any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_type: Option<String>,
    /// How long tokens may be good for, from `iat` to `exp`; any time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_lifetime_minutes: Option<u64>,
    /// The certificate authority that the issuer is called with, PEM; the platform's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_certificate: Option<String>,
}

fn subject() -> String {
    "sub".to_owned()
}

/// The rules that a body states.
fn token_rules(body: &TokenBody) -> Result<TokenRules, Problem> {
    let uri: Option<http::Uri> = body.issuer.parse().ok();
    if !uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some() && uri.query().is_none()) {
        return Err(Problem::at("/token/issuer", "an issuer is an https:// address without a query"));
    }
    if body.audiences.is_empty() || body.audiences.iter().any(String::is_empty) {
        return Err(Problem::at("/token/audiences", "name at least one: a token for anybody proves nothing here"));
    }
    if body.registration_id_claim.is_empty() {
        return Err(Problem::at("/token/registrationIdClaim", "name the claim that is the registration id"));
    }
    let algorithm = |(at, word): (usize, &String)| {
        let known = ALGORITHMS.into_iter().find(|known| word_of(*known) == word);
        let all = || ALGORITHMS.map(word_of).join(", ");
        known.ok_or_else(|| Problem::at(format!("/token/algorithms/{at}"), format!("it is none of {}", all())))
    };
    let algorithms = body.algorithms.iter().enumerate().map(algorithm).collect::<Result<_, _>>()?;
    if body.max_lifetime_minutes == Some(0) {
        return Err(Problem::at("/token/maxLifetimeMinutes", "it is at least 1"));
    }
    if let Some(pem) = &body.ca_certificate {
        let error = crate::client::tls::client(pem.as_bytes(), None).err();
        if let Some(error) = error {
            return Err(Problem::at("/token/caCertificate", error.to_string()));
        }
    }
    Ok(TokenRules {
        issuer: body.issuer.clone(),
        audiences: body.audiences.clone(),
        registration_id_claim: body.registration_id_claim.clone(),
        required_claims: body.required_claims.clone(),
        algorithms,
        token_type: body.token_type.clone(),
        max_lifetime_minutes: body.max_lifetime_minutes,
        ca_certificate: body.ca_certificate.clone(),
    })
}

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
    /// Whether it is a group's.
    pub(in crate::admin_api) fn takes_makers(&self) -> bool {
        self.roots.is_some()
    }
}

/// Accounts of a directory (Active Directory), which come with a Kerberos ticket.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct DirectoryBody {
    /// Its name in `landfall.toml`.
    pub(super) name: String,
    /// What kind of account. The account's name is the registration id; a computer's without the `$` at its end.
    #[serde(default)]
    pub(super) accounts: AccountKind,
    /// Groups of which it must be in one, those in them included; any account will do when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
}

/// A username and a password. A password that is left out is kept.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct PasswordBody {
    /// The registration id when absent.
    username: Option<String>,
    /// 12 to 128 bytes. It is told to nobody again.
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
}

/// The password stays out of whatever prints a body.
impl std::fmt::Debug for PasswordBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordBody")
    }
}

/// The keys stay out of whatever prints a body.
impl std::fmt::Debug for SymmetricKeyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKeyBody")
    }
}

/// Keys that were made or given just now: they are told in the answer to this request, and never again.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct TellOnce {
    primary_key: String,
    secondary_key: String,
}

/// What a body says of how devices prove themselves, and whose it is.
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

    /// The password that is given, or the one that stands.
    fn password(
        &self,
        body: &PasswordBody,
        before: Option<&IndividualAttestation>,
    ) -> Result<IndividualAttestation, Problem> {
        if !self.service.config.passwords.enabled {
            let message = "passwords are off, and better so; passwords.enabled in landfall.toml takes them";
            return Err(Problem::at("/password", message));
        }
        let EnrollmentRef::Individual(id) = &self.owner else {
            return Err(Problem::at("/password", "a password is one device's"));
        };
        let username = body.username.clone().unwrap_or_else(|| id.to_string());
        if username.is_empty()
            || username.len() > 128
            || username.contains(':')
            || username.chars().any(char::is_control)
        {
            let message = "a username has 1 to 128 bytes, and neither colons nor control characters (RFC 7617)";
            return Err(Problem::at("/password/username", message));
        }
        let hash = match (&body.password, before) {
            (Some(given), _) => PasswordHash::new(&SecretText::new(given.to_string()), self.service.ambient.random())
                .map_err(|error| Problem::at("/password/password", error.to_string()))?,
            (None, Some(IndividualAttestation::Password { hash, .. })) => hash.clone(),
            (None, _) => return Err(Problem::at("/password/password", "give the device's password")),
        };
        Ok(IndividualAttestation::Password { username, hash })
    }

    /// The keys that are given, those that stand, or new ones.
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
        let (sealing, ambient) = (&self.service.sealing, &self.service.ambient);
        let stand = match before {
            Some(sealed) if primary.is_none() && secondary.is_none() => return Ok((sealed.clone(), None)),
            Some(sealed) if primary.is_none() || secondary.is_none() => {
                let opened = sealed.open(&self.owner, self.scope, sealing);
                Some(opened.map_err(|error| Problem::new(409, format!("the other key cannot be opened: {error}")))?)
            }
            _ => None,
        };
        let [old_primary, old_secondary] = stand.map_or([None, None], |keys| keys.map(Some));
        let new = || SymmetricKey::generate(ambient.random());
        let keys = [primary.or(old_primary).unwrap_or_else(new), secondary.or(old_secondary).unwrap_or_else(new)];
        let [primary, secondary] = keys.each_ref().map(|key| key.to_base64().expose().to_owned());
        let sealed = SealedKeys::seal(&keys, &self.owner, self.scope, sealing, ambient);
        Ok((sealed, Some(TellOnce { primary_key: primary, secondary_key: secondary })))
    }
}

/// How the devices of a group prove themselves.
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
        Kind::Tpm(body) => return Ok((makers(body)?, None)),
        Kind::Token(body) => return Ok((GroupAttestation::Token(token_rules(body)?), None)),
        Kind::Password(_) => return Err(Problem::at("/password", "a password is one device's, not a group's")),
        Kind::Directory(body) => return Ok((directory_rules(proof.service, body)?, None)),
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
                scope.vouches_for(der).map_err(|why| Problem::at(pointer, why))?;
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

/// How the device of an individual enrollment proves itself.
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
        Kind::Tpm(body) => {
            let TpmBody { endorsement_key: Some(key), roots: None, intermediates: None, .. } = body else {
                return Err(Problem::at("/tpm", "an individual enrollment has an endorsementKey, and nothing else"));
            };
            let key =
                PublicArea::parse_base64(key).map_err(|error| Problem::at("/tpm/endorsementKey", error.to_string()))?;
            return Ok((IndividualAttestation::Tpm { endorsement_key: key.as_bytes().to_vec() }, None));
        }
        Kind::Password(body) => return Ok((proof.password(body, before)?, None)),
        Kind::Directory(_) => return Err(Problem::at("/directory", "accounts of a directory are taken by a group")),
        Kind::Token(_) => return Err(Problem::at("/token", "an issuer of tokens is relied on by a group")),
    };
    let X509Body { certificates: Some(pair), authorities: None, intermediates: None } = x509 else {
        return Err(Problem::at("/x509", "an individual enrollment has certificates, and nothing else"));
    };
    let secondary = pair.secondary.as_ref().map(|value| pin(value, "/x509/certificates/secondary")).transpose()?;
    Ok((IndividualAttestation::X509 { primary: pin(&pair.primary, "/x509/certificates/primary")?, secondary }, None))
}

/// The accounts that a group takes.
fn directory_rules(service: &Service, body: &DirectoryBody) -> Result<GroupAttestation, Problem> {
    let wrong = |what: String| Problem::at("/directory/name", what);
    let name: DirectoryName = body.name.parse().map_err(|error| wrong(format!("{error}")))?;
    if service.directories.get(&name).is_none() {
        let known = service.directories.names();
        return Err(wrong(format!("no directory {name} is in landfall.toml ([directory.{name}]); there are: {known}")));
    }
    if let Some(at) = body.groups.iter().position(|group| group.is_empty() || group.len() > 256) {
        return Err(Problem::at(format!("/directory/groups/{at}"), "the name of a group has 1 to 256 bytes"));
    }
    let (accounts, groups) = (body.accounts, body.groups.clone());
    Ok(GroupAttestation::Directory(DirectoryRules { directory: name, accounts, groups }))
}

/// The makers whose TPMs a group takes.
fn makers(body: &TpmBody) -> Result<GroupAttestation, Problem> {
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

/// A certificate, or its SHA-256.
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
    /// PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
    /// SHA-256 of the DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) sha256: Option<Digest>,
}
