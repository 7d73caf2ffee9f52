//! Enrollments as the API shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_attestation::x509::pem;
use landfall_domain::enrollment::{
    Allocation, CertificatePin, ExpiredCertificates, Group, GroupAttestation, Individual, IndividualAttestation,
    KeyChange, Manufacturing, PolicyBinding, ReprovisionPolicy, Terms,
};
use landfall_domain::names::Digest;
use landfall_domain::secret::address;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attestation::{DirectoryBody, PinBody, TellOnce, TokenBody};
use super::function;

/// An enrollment group as it is. It can be changed and sent back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct GroupView {
    id: String,
    /// How its devices prove themselves: this, or `symmetricKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    x509: Option<X509View>,
    /// How its devices prove themselves: this, or `x509`.
    #[serde(rename = "symmetricKey", skip_serializing_if = "Option::is_none")]
    symmetric_key: Option<SymmetricKeyView>,
    /// How its devices prove themselves: this, or one of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenBody>,
    /// How its devices prove themselves: this, or one of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<MakersView>,
    /// How its devices prove themselves: this, or one of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<DirectoryBody>,
    #[serde(flatten)]
    terms: TermsView,
}

/// An individual enrollment as it is. It can be changed and sent back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct IndividualView {
    registration_id: String,
    /// Its id in its hub, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    /// How it proves itself: this, or `symmetricKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    x509: Option<X509View>,
    /// How it proves itself: this, or `x509`.
    #[serde(skip_serializing_if = "Option::is_none")]
    symmetric_key: Option<SymmetricKeyView>,
    /// How it proves itself: this, or one of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<TpmView>,
    /// How it proves itself: this, or one of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<PasswordView>,
    #[serde(flatten)]
    terms: TermsView,
}

/// Makers whose TPMs are taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct MakersView {
    /// Their certificates that are trusted, PEM.
    roots: Vec<String>,
    /// Certificates that lead up to them, PEM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intermediates: Vec<String>,
}

/// A username, whose password is told to nobody.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct PasswordView {
    username: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct TpmView {
    /// The public part of its endorsement key: base64 of a `TPM2B_PUBLIC`.
    endorsement_key: String,
    /// By which manufacturing records know it.
    endorsement_key_sha256: String,
}

/// There are two keys. They are told once, in the answer to the request that made or gave them.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct SymmetricKeyView {
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary_key: Option<String>,
}

impl SymmetricKeyView {
    fn of(told: Option<TellOnce>) -> Self {
        let (primary_key, secondary_key) = told.map(TellOnce::keys).unwrap_or_default();
        Self { primary_key, secondary_key }
    }
}

/// Secrets are not printed.
impl std::fmt::Debug for SymmetricKeyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKeyView")
    }
}

/// How devices prove themselves: one of the three.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct X509View {
    /// Of an individual enrollment: the device's certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<CertificatesView>,
    /// Of a group: names of uploaded authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorities: Option<AuthoritiesView>,
    /// Of a group: certificates of intermediates.
    #[serde(skip_serializing_if = "Option::is_none")]
    intermediates: Option<CertificatesView>,
}

/// Authorities by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct AuthoritiesView {
    primary: String,
    /// The successor of `primary`, while authorities or certificates are rolled over.
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct CertificatesView {
    primary: PinBody,
    /// The successor of `primary`, while authorities or certificates are rolled over.
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary: Option<PinBody>,
}

/// What becomes of an enrollment's devices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct TermsView {
    enabled: bool,
    manufacturing: Manufacturing,
    /// Whose manufacturing records admit its devices; anybody's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturers: Option<Vec<String>>,
    key_change: KeyChange,
    expired_certificates: ExpiredCertificates,
    /// Who issues the certificates that its devices ask for; they get none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_issuer: Option<String>,
    reprovision: ReprovisionPolicy,
    /// The hubs that devices may get; every linked one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    hubs: Option<Vec<String>>,
    allocation: AllocationView,
    initial_twin: TwinView,
    created_at: String,
    updated_at: String,
    /// What `If-Match` compares.
    etag: String,
}

/// Which policies decide.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct AllocationView {
    selection: BindingView,
    /// Decides when the first abstains; nobody when null.
    fallback: Option<BindingView>,
    grouping: Vec<BindingView>,
}

/// A plugin and its settings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct BindingView {
    plugin: String,
    /// One exact revision; the live one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// As they were written, but for the queries of addresses, which are masked: `?****`. Sent back so, they stay as they are.
    #[schema(value_type = Object)]
    settings: Box<RawValue>,
}

/// Where twins start.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin_api) struct TwinView {
    #[schema(value_type = Object)]
    tags: Map<String, Value>,
    #[schema(value_type = Object)]
    desired: Map<String, Value>,
}

/// A group as the API shows it.
pub(in crate::admin_api) fn group_view(group: &Group, told: Option<TellOnce>, serves: &str) -> GroupView {
    let (mut x509, mut symmetric_key, mut token, mut tpm, mut directory) = (None, None, None, None, None);
    match &group.attestation {
        GroupAttestation::X509Authorities { primary, secondary } => {
            let secondary = secondary.as_ref().map(ToString::to_string);
            x509 = Some(X509View {
                authorities: Some(AuthoritiesView { primary: primary.to_string(), secondary }),
                ..X509View::default()
            });
        }
        GroupAttestation::X509Intermediates { primary, secondary } => {
            let intermediates = Some(certificates(primary, secondary.as_ref()));
            x509 = Some(X509View { intermediates, ..X509View::default() });
        }
        GroupAttestation::SymmetricKey(_) => symmetric_key = Some(SymmetricKeyView::of(told)),
        GroupAttestation::Directory(rules) => {
            let (name, accounts, groups) = (rules.directory.to_string(), rules.accounts, rules.groups.clone());
            directory = Some(DirectoryBody { name, accounts, any_account: groups.is_empty(), groups });
        }
        GroupAttestation::TpmMakers { roots, intermediates } => {
            let texts = |ders: &[Vec<u8>]| ders.iter().map(|der| pem::text_of(der)).collect();
            tpm = Some(MakersView { roots: texts(roots), intermediates: texts(intermediates) });
        }
        GroupAttestation::Token(rules) => {
            token = Some(TokenBody {
                issuer: rules.issuer.clone(),
                audiences: rules.audiences.clone(),
                registration_id_claim: rules.registration_id_claim.clone(),
                required_claims: rules.required_claims.clone(),
                algorithms: rules.algorithms.iter().map(|known| known.to_string()).collect(),
                token_type: rules.token_type.clone(),
                max_lifetime_minutes: rules.max_lifetime_minutes,
                ca_certificate: rules.ca_certificate.clone(),
            });
        }
    }
    let id = group.id.to_string();
    GroupView { id, x509, symmetric_key, token, tpm, directory, terms: terms_view(&group.terms, serves) }
}

/// An individual enrollment as the API shows it.
pub(in crate::admin_api) fn individual_view(
    individual: &Individual,
    told: Option<TellOnce>,
    serves: &str,
) -> IndividualView {
    let (mut tpm, mut password) = (None, None);
    let (x509, symmetric_key) = match &individual.attestation {
        IndividualAttestation::X509 { primary, secondary } => {
            let certificates = Some(certificates(primary, secondary.as_ref()));
            (Some(X509View { certificates, ..X509View::default() }), None)
        }
        IndividualAttestation::SymmetricKey(_) => (None, Some(SymmetricKeyView::of(told))),
        IndividualAttestation::Tpm { endorsement_key } => {
            let endorsement_key_sha256 = Digest::of(endorsement_key).to_string();
            tpm = Some(TpmView { endorsement_key: STANDARD.encode(endorsement_key), endorsement_key_sha256 });
            (None, None)
        }
        IndividualAttestation::Password { username, .. } => {
            password = Some(PasswordView { username: username.clone() });
            (None, None)
        }
    };
    IndividualView {
        registration_id: individual.registration_id.to_string(),
        device_id: individual.device_id.as_ref().map(ToString::to_string),
        x509,
        symmetric_key,
        tpm,
        password,
        terms: terms_view(&individual.terms, serves),
    }
}

fn certificates(primary: &CertificatePin, secondary: Option<&CertificatePin>) -> CertificatesView {
    let shown =
        |pin: &CertificatePin| PinBody { certificate: pin.der.as_deref().map(pem::text_of), sha256: Some(pin.sha256) };
    CertificatesView { primary: shown(primary), secondary: secondary.map(shown) }
}

fn terms_view(terms: &Terms, serves: &str) -> TermsView {
    let binding_view = |binding: &PolicyBinding| binding_view(binding, serves);
    let Allocation { selection, fallback, grouping } = &terms.allocation;
    TermsView {
        enabled: terms.enabled,
        manufacturing: terms.manufacturing,
        manufacturers: terms.manufacturers.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        key_change: terms.key_change,
        expired_certificates: terms.expired_certificates,
        certificate_issuer: terms.certificate_issuer.as_ref().map(ToString::to_string),
        reprovision: terms.reprovision,
        hubs: terms.hubs.as_ref().map(|hubs| hubs.iter().map(ToString::to_string).collect()),
        allocation: AllocationView {
            selection: binding_view(selection),
            fallback: fallback.as_ref().map(binding_view),
            grouping: grouping.iter().map(binding_view).collect(),
        },
        initial_twin: TwinView { tags: terms.initial_twin.tags.clone(), desired: terms.initial_twin.desired.clone() },
        created_at: terms.created_at.to_string(),
        updated_at: terms.updated_at.to_string(),
        etag: terms.etag.clone(),
    }
}

fn binding_view(binding: &PolicyBinding, serves: &str) -> BindingView {
    if let Some(url) = function::address_of(binding, serves) {
        let plugin = address::masked(&url).into_owned();
        return BindingView { plugin, revision: None, settings: no_settings() };
    }
    // It was valid JSON when it was stored. Keys in addresses are not shown to readers of enrollments.
    let mut read: Value = serde_json::from_str(binding.settings.as_str()).unwrap_or_default();
    let shown = if address::mask_all(&mut read) { read.to_string() } else { binding.settings.as_str().to_owned() };
    let settings = RawValue::from_string(shown);
    BindingView {
        plugin: binding.plugin.to_string(),
        revision: binding.revision.map(|revision| revision.to_string()),
        settings: settings.unwrap_or_else(|_| RawValue::NULL.to_owned()),
    }
}

fn no_settings() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
