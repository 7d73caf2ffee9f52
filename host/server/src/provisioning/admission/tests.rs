//! The two-factor rule, without a server: every kind of credential, with every state of its enrollment, of the
//! manufacturing record and of the evidence in it. [`Case::expected`] says what the result must be. It follows the
//! order of the rule, and shares nothing with the code under test.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall_attestation::bearer::{BearerToken, KeptKeys, SignedToken, TokenRules};
use landfall_attestation::kerberos::{Accepted, KerberosFlaw, NegotiateToken};
use landfall_attestation::password::{self, BasicCredential};
use landfall_attestation::symmetric_key::{SasToken, SymmetricKey};
use landfall_attestation::tpm::PublicArea;
use landfall_attestation::tpm::challenge::{Chip, KeptChallenge};
use landfall_attestation::x509::PresentedChain;
use landfall_attestation::x509::endorsement::EndorsementCertificate;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::enrollment::{
    AccountKind, Allocation, CertificateAuthority, CertificatePin, DirectoryRules, Group, GroupAttestation, Individual,
    IndividualAttestation, PolicyBinding, SealedKeys,
};
use landfall_domain::json::JsonText;
use landfall_domain::names::{Digest, DirectoryName, IdScope, OperationId, TrackingId};
use landfall_domain::registration::Outcome;
use landfall_domain::registry::Evidence;
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::watch::Watches;
use landfall_store::{Admissions, CatalogueRecords, ScopeRecords};
use serde_json::json;

use super::grounds::{Kept, Later, Vouchers};
use super::*;
use crate::catalogue::Catalogue;
use crate::config::{Config, Server, ThrottleLimits};
use crate::directory::{Account, DirectoryFlaw};
use crate::identity_providers::FetchError;
use crate::provisioning::desk::Desk;

/// How a device proves itself, and by which kind of enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CertificateOfAGroup,
    PinnedCertificate,
    KeyOfAGroup,
    OwnKey,
    TpmOfAMaker,
    OwnTpm,
    Token,
    Ticket,
    Password,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enrolled {
    Not,
    Enabled,
    Disabled,
    /// The id has an individual enrollment that demands another kind of credential.
    Otherwise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    Not,
    Active,
    Quarantined,
    Retired,
    /// Imported by a manufacturer on whom the enrollment does not rely.
    ByAnother,
}

/// What the record says about the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    ThisCredential,
    AnotherCredential,
    /// It names a part that this kind of credential does not have.
    AnotherKind,
}

/// To which key the id is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Not,
    ToThisKey,
    ToAnother,
    /// The device's key is bound to another id.
    TheKeyToAnother,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    enrolled: Enrolled,
    recorded: Recorded,
    says: Says,
    manufacturing: Manufacturing,
    bound: Bound,
    key_change: KeyChange,
}

const KINDS: [Kind; 9] = [
    Kind::CertificateOfAGroup,
    Kind::PinnedCertificate,
    Kind::KeyOfAGroup,
    Kind::OwnKey,
    Kind::TpmOfAMaker,
    Kind::OwnTpm,
    Kind::Token,
    Kind::Ticket,
    Kind::Password,
];

impl Kind {
    /// Whether the enrollment is the device's own. An operator has named its key, so it needs no further binding.
    fn is_individual(self) -> bool {
        matches!(self, Self::PinnedCertificate | Self::OwnKey | Self::OwnTpm | Self::Password)
    }

    fn unknown(self) -> &'static str {
        match self {
            Self::CertificateOfAGroup | Self::PinnedCertificate => "not-enrolled",
            Self::KeyOfAGroup | Self::OwnKey => "not-enrolled-by-key",
            Self::TpmOfAMaker | Self::OwnTpm => "not-enrolled-by-tpm",
            Self::Token => "unknown-issuer",
            Self::Ticket => "no-group-for-directory",
            Self::Password => "not-enrolled-by-password",
        }
    }

    /// Puts a part of this credential (`this`), or of another one of its kind, into the evidence. Answers false if no
    /// record can name a part of this kind.
    fn name_part(self, evidence: &mut Evidence, device: &Device, this: bool) -> bool {
        let other = Digest::of(b"another");
        match self {
            Self::CertificateOfAGroup | Self::PinnedCertificate => {
                evidence.certificate_sha256 = Some(if this { device.leaf } else { other });
            }
            Self::TpmOfAMaker | Self::OwnTpm => {
                evidence.endorsement_key_sha256 = Some(if this { device.chip.endorsement.sha256() } else { other });
            }
            Self::Token => evidence.token_subject = Some(if this { "subject-1" } else { "subject-2" }.to_owned()),
            Self::Ticket => evidence.token_subject = Some(if this { "dev-1$" } else { "dev-2$" }.to_owned()),
            Self::KeyOfAGroup | Self::OwnKey | Self::Password => return false,
        }
        true
    }

    fn name_part_of_another_kind(self, evidence: &mut Evidence) {
        match self {
            Self::CertificateOfAGroup | Self::PinnedCertificate => evidence.token_subject = Some("dev-1".to_owned()),
            _ => evidence.certificate_sha256 = Some(Digest::of(b"a certificate")),
        }
    }
}

impl Case {
    /// What the rule says, in its order: the enrollment is selected, the credential is proven as the enrollment
    /// demands, then the record, then the evidence, then the key to which the id is bound.
    fn expected(&self) -> Result<(), &'static str> {
        if self.kind == Kind::TpmOfAMaker && self.enrolled != Enrolled::Otherwise {
            // A maker vouches for a chip and not for a device. So the record comes first, and must name the key.
            if self.enrolled == Enrolled::Not {
                return Err(self.kind.unknown());
            }
            match (self.recorded, self.says) {
                (Recorded::Not, _) => return Err("no-manufacturing-record"),
                (_, Says::Nothing | Says::AnotherKind) => return Err("no-endorsement-key-in-record"),
                (_, Says::AnotherCredential) => return Err("evidence-mismatch"),
                (Recorded::ByAnother, _) => return Err("no-group-for-tpm"),
                _ => {}
            }
        }
        match self.enrolled {
            Enrolled::Not => return Err(self.kind.unknown()),
            Enrolled::Otherwise => return Err("other-mechanism"),
            Enrolled::Disabled => return Err("enrollment-disabled"),
            Enrolled::Enabled => {}
        }
        match (self.recorded, self.manufacturing) {
            (Recorded::Not, Manufacturing::Required) => return Err("no-manufacturing-record"),
            (Recorded::Not, Manufacturing::Optional) => {}
            (Recorded::ByAnother, _) => return Err("record-of-another-manufacturer"),
            (Recorded::Quarantined, _) => return Err("record-quarantined"),
            (Recorded::Retired, _) => return Err("record-retired"),
            (Recorded::Active, _) => match self.says {
                Says::Nothing | Says::ThisCredential => {}
                Says::AnotherCredential | Says::AnotherKind => return Err("evidence-mismatch"),
            },
        }
        match self.bound {
            Bound::ToAnother if !self.kind.is_individual() && self.key_change == KeyChange::Refuse => {
                Err("key-changed")
            }
            Bound::TheKeyToAnother => Err("key-of-another"),
            Bound::Not | Bound::ToThisKey | Bound::ToAnother => Ok(()),
        }
    }
}

/// All credentials of one device, and the keys that make them valid.
struct Device {
    ambient: Ambient,
    now: Timestamp,
    scope: IdScope,
    id: RegistrationId,
    sealing: SealingKey,
    factory: Authority,
    chain: Arc<PresentedChain>,
    leaf: Digest,
    group_key: SymmetricKey,
    own_key: SymmetricKey,
    chip: Arc<Chip>,
    /// The secret that the desk wraps for the chip. It is fixed here so that these tests need no TPM.
    challenge: [u8; 32],
    issuer: EcdsaKeyPair,
}

fn tpm_vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/vectors/tpm-swtpm/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The endorsement key of a certificate on P-384, as a TPM shows it (`TPM2B_PUBLIC`).
fn endorsement_key(certificate: &EndorsementCertificate) -> PublicArea {
    let (x, y) = certificate.key_bits()[1..].split_at(48);
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let attributes = 0x0003_0472_u32.to_be_bytes();
    let area = [
        &[0, 0x23, 0, 0x0c][..],
        &attributes,
        &[0, 0, 0, 6, 1, 0, 0, 0x43, 0, 0x10, 0, 4, 0, 0x10],
        &sized(x),
        &sized(y),
    ];
    PublicArea::parse(&sized(&area.concat())).unwrap()
}

impl Device {
    fn new() -> Self {
        let ambient = Ambient::system();
        let now = ambient.now();
        let factory = Authority::root("Factory", now, 30).unwrap();
        let made = factory.device("dev-1", now, 10).unwrap();
        let chain = PresentedChain::parse(&[made.certificate_der.into()]).unwrap();
        let certificate = EndorsementCertificate::parse(&tpm_vector("ek-secp384r1.crt")).unwrap();
        let endorsement = endorsement_key(&certificate);
        let chip = Chip { storage_root: endorsement.clone(), endorsement, certificate: Some(certificate) };
        Self {
            now,
            scope: "0ne00000001".parse().unwrap(),
            id: "dev-1".parse().unwrap(),
            sealing: SealingKey::new(&[9; 32]).unwrap(),
            factory,
            leaf: chain.leaf().sha256(),
            chain: Arc::new(chain),
            group_key: SymmetricKey::generate(ambient.random()),
            own_key: SymmetricKey::generate(ambient.random()),
            chip: Arc::new(chip),
            challenge: [5; 32],
            issuer: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ambient,
        }
    }

    fn token_signed_by(&self, key: &SymmetricKey) -> SasToken {
        let resource = format!("{}/registrations/{}", self.scope, self.id);
        let end = self.now.as_secs() + 3600;
        let signature = key.sign(format!("{resource}\n{end}").as_bytes());
        let signature = STANDARD.encode(signature.as_ref()).replace('+', "%2B");
        SasToken::parse(&format!("SharedAccessSignature sr={resource}&sig={signature}&se={end}")).unwrap()
    }

    fn bearer_token(&self) -> BearerToken {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let end = self.now.as_secs() + 3600;
        let claims = json!({ "iss": ISSUER, "aud": "landfall", "exp": end, "sub": "subject-1", "device": "dev-1" });
        let text = format!("{}.{}", part(json!({ "alg": "ES256", "typ": "JWT" })), part(claims));
        let signature = self.issuer.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        BearerToken::parse(&format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))).unwrap()
    }

    fn password(&self) -> BasicCredential {
        BasicCredential::parse(&format!("Basic {}", STANDARD.encode("dev-1:correct horse battery"))).unwrap()
    }

    fn credential(&self, kind: Kind) -> Credential {
        match kind {
            Kind::CertificateOfAGroup | Kind::PinnedCertificate => Credential::X509(Arc::clone(&self.chain)),
            Kind::KeyOfAGroup => Credential::SharedKey(self.token_signed_by(&self.group_key.derive(self.id.as_str()))),
            Kind::OwnKey => Credential::SharedKey(self.token_signed_by(&self.own_key)),
            Kind::TpmOfAMaker | Kind::OwnTpm => {
                let key = SymmetricKey::of_bytes(self.challenge.to_vec().into()).unwrap();
                Credential::Tpm { chip: Arc::clone(&self.chip), token: Some(self.token_signed_by(&key)) }
            }
            Kind::Token => Credential::Bearer(self.bearer_token()),
            Kind::Ticket => Credential::Negotiate(NegotiateToken::parse("Negotiate AAAA")),
            Kind::Password => Credential::Basic(self.password()),
        }
    }

    fn keys(&self, first: &SymmetricKey, owner: &EnrollmentRef) -> SealedKeys {
        let keys = [first.clone(), SymmetricKey::generate(self.ambient.random())];
        SealedKeys::seal(&keys, owner, &self.scope, &self.sealing, &self.ambient)
    }

    fn group(&self, kind: Kind, terms: Terms) -> Option<Group> {
        let id: GroupName = "devices".parse().unwrap();
        let attestation = match kind {
            Kind::CertificateOfAGroup => {
                GroupAttestation::X509Authorities { primary: "factory".parse().unwrap(), secondary: None }
            }
            Kind::KeyOfAGroup => {
                GroupAttestation::SymmetricKey(self.keys(&self.group_key, &EnrollmentRef::Group(id.clone())))
            }
            Kind::TpmOfAMaker => GroupAttestation::TpmMakers {
                roots: vec![tpm_vector("root.der")],
                intermediates: vec![tpm_vector("issuer.der")],
            },
            Kind::Token => GroupAttestation::Token(token_rules()),
            Kind::Ticket => GroupAttestation::Directory(DirectoryRules {
                directory: "corp".parse().unwrap(),
                accounts: AccountKind::Computers,
                groups: Vec::new(),
            }),
            Kind::PinnedCertificate | Kind::OwnKey | Kind::OwnTpm | Kind::Password => return None,
        };
        Some(Group { id, attestation, terms })
    }

    fn individual(&self, kind: Kind, terms: Terms) -> Option<Individual> {
        let owner = EnrollmentRef::Individual(self.id.clone());
        let attestation = match kind {
            Kind::PinnedCertificate => IndividualAttestation::X509 {
                primary: CertificatePin { sha256: self.leaf, der: None },
                secondary: None,
            },
            Kind::OwnKey => IndividualAttestation::SymmetricKey(self.keys(&self.own_key, &owner)),
            Kind::OwnTpm => IndividualAttestation::Tpm { endorsement_key: self.chip.endorsement.as_bytes().to_vec() },
            Kind::Password => {
                let password = self.password();
                let hash = password::hash(&password.password, [3; 16]).unwrap();
                IndividualAttestation::Password { username: password.username, hash }
            }
            _ => return None,
        };
        Some(Individual { registration_id: self.id.clone(), device_id: None, attestation, terms })
    }

    /// An individual enrollment that demands another kind of credential than this one.
    fn enrolled_otherwise(&self, kind: Kind, terms: Terms) -> Individual {
        let shows_a_key = matches!(kind, Kind::OwnKey | Kind::KeyOfAGroup);
        let other = if shows_a_key { Kind::PinnedCertificate } else { Kind::OwnKey };
        self.individual(other, terms).unwrap()
    }
}

type GroupName = landfall_domain::names::GroupId;

const ISSUER: &str = "https://id.example";

fn token_rules() -> TokenRules {
    TokenRules {
        issuer: ISSUER.to_owned(),
        audiences: vec!["landfall".to_owned()],
        registration_id_claim: "device".to_owned(),
        required_claims: [].into(),
        algorithms: Vec::new(),
        token_type: None,
        max_lifetime_minutes: None,
        ca_certificate: None,
        public_hosts_only: false,
    }
}

/// The store's rows, in maps.
#[derive(Default)]
struct Maps {
    individuals: HashMap<String, Individual>,
    records: HashMap<String, ManufacturingRecord>,
    registrations: HashMap<String, Registration>,
    keys: HashMap<Digest, RegistrationId>,
    authenticators: Mutex<Vec<Digest>>,
}

fn now<'a, T: Send + 'a>(answer: T) -> Later<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Kept for Maps {
    fn individual<'a>(
        &'a self,
        _: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Individual>, StoreError>> {
        now(Ok(self.individuals.get(id.key()).cloned()))
    }

    fn enrollment_of_certificate<'a>(
        &'a self,
        _: &'a IdScope,
        certificate: Digest,
    ) -> Later<'a, Result<Option<EnrollmentRef>, StoreError>> {
        let names = |individual: &&Individual| match &individual.attestation {
            IndividualAttestation::X509 { primary, .. } => primary.sha256 == certificate,
            _ => false,
        };
        let found = self.individuals.values().find(names);
        now(Ok(found.map(|individual| EnrollmentRef::Individual(individual.registration_id.clone()))))
    }

    fn record<'a>(
        &'a self,
        _: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<ManufacturingRecord>, StoreError>> {
        now(Ok(self.records.get(id.key()).cloned()))
    }

    fn registration<'a>(
        &'a self,
        _: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Registration>, StoreError>> {
        now(Ok(self.registrations.get(id.key()).cloned()))
    }

    fn device_of_key<'a>(
        &'a self,
        _: &'a IdScope,
        key: Digest,
    ) -> Later<'a, Result<Option<RegistrationId>, StoreError>> {
        now(Ok(self.keys.get(&key).cloned()))
    }

    fn spend_authenticator(
        &self,
        authenticator: Digest,
        _: Timestamp,
        _: Timestamp,
    ) -> Later<'_, Result<bool, StoreError>> {
        let mut spent = self.authenticators.lock().unwrap();
        let is_new = !spent.contains(&authenticator);
        spent.push(authenticator);
        now(Ok(is_new))
    }

    fn keep_challenge(&self, _: KeptChallenge, _: Timestamp) -> Later<'_, Result<(), StoreError>> {
        now(Ok(()))
    }
}

/// An identity provider with one key, and a directory with one account.
struct Outsiders {
    keys: KeptKeys,
}

impl Outsiders {
    fn of(device: &Device) -> Self {
        let point = device.issuer.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256" });
        let issuer = (ISSUER.to_owned(), None, false);
        let keys = KeptKeys { keys: vec![jwk.to_string()], ..KeptKeys::new(issuer, &[], device.now) };
        Self { keys }
    }
}

impl Vouchers for Outsiders {
    fn signed<'a>(
        &'a self,
        _: &'a TokenRules,
        token: &'a BearerToken,
    ) -> Later<'a, Result<Option<SignedToken<'a>>, FetchError>> {
        now(Ok(token.signed_by(&self.keys.keys())))
    }

    fn open_ticket(
        &self,
        _: &IdScope,
        _: &DirectoryName,
        _: &[u8],
        _: Timestamp,
    ) -> Option<Result<Accepted, KerberosFlaw>> {
        Some(Ok(Accepted {
            principal: "dev-1$".to_owned(),
            realm: "CORP.EXAMPLE".to_owned(),
            sid: vec![1, 5],
            replay_id: Digest::of(b"authenticator"),
            replay_until: i64::MAX,
        }))
    }

    fn account<'a>(
        &'a self,
        _: &'a IdScope,
        _: &'a DirectoryName,
        _: &'a str,
        _: Timestamp,
    ) -> Later<'a, Result<Option<Arc<Account>>, DirectoryFlaw>> {
        let kind = AccountKind::Computers;
        now(Ok(Some(Arc::new(Account { sid: vec![1, 5], kind, expires: None, groups: Vec::new() }))))
    }
}

/// The place where all cases are tried, one after the other.
struct Bench {
    device: Device,
    outsiders: Outsiders,
    config: Config,
    desk: Desk,
    watches: Arc<Watches>,
}

impl Bench {
    fn new() -> Self {
        let device = Device::new();
        let mut config = Config::new(Server::new("localhost", device.scope.clone()));
        config.passwords.enabled = true;
        config.limits.throttle = ThrottleLimits::unlimited();
        let desk = Desk::new(&config, device.ambient.clone(), &[1; 32], Arc::default()).unwrap();
        let asks = (TrackingId::new(device.now, [1; 10]), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (of, chip) = ((&device.scope, &device.id), (Arc::clone(&device.chip), false));
        assert!(desk.hold_challenge(asks, of, chip, &device.challenge));
        let watches = Arc::new(Watches::new(config.limits.policy.breaker(), device.ambient.clone()));
        Self { outsiders: Outsiders::of(&device), device, config, desk, watches }
    }

    fn terms(&self, case: &Case) -> Terms {
        let settings = JsonText::of(&json!({}));
        let selection = PolicyBinding { plugin: "weighted".parse().unwrap(), revision: None, settings };
        let allocation = Allocation { selection, fallback: None, grouping: Vec::new() };
        Terms {
            enabled: case.enrolled != Enrolled::Disabled,
            manufacturing: case.manufacturing,
            manufacturers: Some(vec!["acme".parse().unwrap()]),
            key_change: case.key_change,
            ..Terms::with_policies(allocation, self.device.now)
        }
    }

    fn record(&self, case: &Case) -> Option<ManufacturingRecord> {
        let (manufacturer, state) = match case.recorded {
            Recorded::Not => return None,
            Recorded::Active => ("acme", RecordState::Active),
            Recorded::Quarantined => ("acme", RecordState::Quarantined),
            Recorded::Retired => ("acme", RecordState::Retired),
            Recorded::ByAnother => ("other", RecordState::Active),
        };
        let mut evidence = Evidence::default();
        match case.says {
            Says::Nothing => {}
            Says::ThisCredential => drop(case.kind.name_part(&mut evidence, &self.device, true)),
            Says::AnotherCredential => drop(case.kind.name_part(&mut evidence, &self.device, false)),
            Says::AnotherKind => case.kind.name_part_of_another_kind(&mut evidence),
        }
        Some(ManufacturingRecord {
            registration_id: self.device.id.clone(),
            manufacturer: manufacturer.parse().unwrap(),
            state,
            evidence,
            facts: [].into(),
            imported_at: self.device.now,
            updated_at: self.device.now,
            claim: None,
        })
    }

    fn catalogue(&self, groups: Vec<Group>) -> Arc<Catalogue> {
        let factory = CertificateAuthority {
            name: "factory".parse().unwrap(),
            der: self.device.factory.certificate_der.clone(),
            verified: true,
            verification_code: None,
            created_at: self.device.now,
            updated_at: self.device.now,
        };
        let scope = ScopeRecords {
            scope: self.device.scope.clone(),
            revision: 1,
            admissions: Admissions::default(),
            hubs: Vec::new(),
            groups,
            authorities: vec![factory],
            revocations: Vec::new(),
            plugins: Vec::new(),
        };
        let records = CatalogueRecords { scopes: vec![scope] };
        Arc::new(Catalogue::new(records, &Catalogue::default(), &self.watches, &self.device.sealing))
    }

    fn registration(&self, key: Digest) -> Registration {
        let made = TrackingId::new(self.device.now, [2; 10]);
        Registration {
            registration_id: self.device.id.clone(),
            enrollment: EnrollmentRef::Group("devices".parse().unwrap()),
            key_identity: Some(key),
            operation: OperationId::of_parts("code", made),
            decision: made,
            outcome: Outcome::Failed { code: 400_208, message: String::new() },
            initial_hub: None,
            created_at: self.device.now,
            updated_at: self.device.now,
            generation: 1,
            earlier: Vec::new(),
            issued: None,
            chip: None,
        }
    }

    /// The result of a request, and the key that it showed.
    async fn tried(&self, case: &Case, kept: &Maps, catalogue: &Arc<Catalogue>) -> Result<Digest, String> {
        let request = Request {
            tracking_id: TrackingId::new(self.device.now, self.device.ambient.random()),
            received_at: self.device.now,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            standing: Default::default(),
            scope: self.device.scope.clone(),
            registration_id: self.device.id.clone(),
            credential: self.device.credential(case.kind),
            payload: None,
            csr: None,
        };
        let grounds = Grounds {
            config: &self.config,
            catalogue: Arc::clone(catalogue),
            kept,
            vouchers: &self.outsiders,
            desk: &self.desk,
            sealing: &self.device.sealing,
        };
        match admit(&grounds, &request).await {
            Ok(admitted) => Ok(admitted.factors.key_identity),
            Err(RegisterError::Refused(cause)) => Err(cause.code().to_owned()),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    async fn outcome(&self, case: &Case) -> Result<(), String> {
        let terms = self.terms(case);
        let (mut individuals, mut groups) = (Vec::new(), Vec::new());
        if case.enrolled != Enrolled::Not {
            groups.extend(self.device.group(case.kind, terms.clone()));
            individuals.extend(self.device.individual(case.kind, terms.clone()));
        }
        if case.enrolled == Enrolled::Otherwise {
            individuals = vec![self.device.enrolled_otherwise(case.kind, terms)];
        }
        let mut kept = Maps::default();
        kept.individuals.extend(individuals.into_iter().map(|one| (one.registration_id.key().to_owned(), one)));
        kept.records.extend(self.record(case).map(|record| (record.registration_id.key().to_owned(), record)));
        let catalogue = self.catalogue(groups);
        let first = self.tried(case, &kept, &catalogue).await;
        kept.authenticators.lock().unwrap().clear();
        let id = self.device.id.key().to_owned();
        match (case.bound, &first) {
            (Bound::Not, _) | (_, Err(_)) => return first.map(drop),
            (Bound::ToThisKey, Ok(key)) => drop(kept.registrations.insert(id, self.registration(*key))),
            (Bound::ToAnother, Ok(_)) => {
                kept.registrations.insert(id, self.registration(Digest::of(b"another key")));
            }
            (Bound::TheKeyToAnother, Ok(key)) => drop(kept.keys.insert(*key, "dev-2".parse().unwrap())),
        }
        self.tried(case, &kept, &catalogue).await.map(drop)
    }
}

#[tokio::test]
async fn two_factors_admit_a_device_and_nothing_less_does() {
    let bench = Bench::new();
    let (mut tried, mut admitted, mut wrong) = (0, 0, Vec::new());
    for kind in KINDS {
        for enrolled in [Enrolled::Not, Enrolled::Enabled, Enrolled::Disabled, Enrolled::Otherwise] {
            for recorded in
                [Recorded::Not, Recorded::Active, Recorded::Quarantined, Recorded::Retired, Recorded::ByAnother]
            {
                for says in [Says::Nothing, Says::ThisCredential, Says::AnotherCredential, Says::AnotherKind] {
                    let names_a_part = kind.name_part(&mut Evidence::default(), &bench.device, true);
                    if !names_a_part && matches!(says, Says::ThisCredential | Says::AnotherCredential) {
                        continue;
                    }
                    for manufacturing in [Manufacturing::Required, Manufacturing::Optional] {
                        for (bound, key_change) in [
                            (Bound::Not, KeyChange::Refuse),
                            (Bound::ToThisKey, KeyChange::Refuse),
                            (Bound::ToAnother, KeyChange::Refuse),
                            (Bound::ToAnother, KeyChange::Allow),
                            (Bound::TheKeyToAnother, KeyChange::Refuse),
                        ] {
                            let case = Case { kind, enrolled, recorded, says, manufacturing, bound, key_change };
                            // A device that is refused earlier is refused in the same way, whatever the id is bound to.
                            if bound != Bound::Not && (Case { bound: Bound::Not, ..case }).expected().is_err() {
                                continue;
                            }
                            let (expected, outcome) = (case.expected(), bench.outcome(&case).await);
                            tried += 1;
                            admitted += usize::from(outcome.is_ok());
                            if outcome != expected.map_err(str::to_owned) {
                                wrong.push(format!("{case:?}: {outcome:?}, and not {expected:?}"));
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    // This notices a rule that refuses everything, and a table of cases that became empty.
    assert!(tried > 1000 && admitted > 100, "{tried} tried, {admitted} admitted");
}

#[tokio::test]
async fn a_ticket_admits_once() {
    let bench = Bench::new();
    let case = Case {
        kind: Kind::Ticket,
        enrolled: Enrolled::Enabled,
        recorded: Recorded::Active,
        says: Says::Nothing,
        manufacturing: Manufacturing::Required,
        bound: Bound::Not,
        key_change: KeyChange::Refuse,
    };
    let mut kept = Maps::default();
    kept.records.extend(bench.record(&case).map(|record| (record.registration_id.key().to_owned(), record)));
    let groups = bench.device.group(case.kind, bench.terms(&case)).into_iter().collect();
    let catalogue = bench.catalogue(groups);
    assert!(bench.tried(&case, &kept, &catalogue).await.is_ok());
    assert_eq!(bench.tried(&case, &kept, &catalogue).await, Err("ticket-again".to_owned()));
}
