//! Test data for stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::call::{Attestation, Call, CallReport, Device, EnrollmentKind};
use landfall_domain::decision::failure::{CallFailure, HostFailure};
use landfall_domain::decision::{Decision, Entry, EntryKind, Factors, PolicyCall, Step, Verdict};
use landfall_domain::enrollment::{
    Allocation, CertificateAuthority, CertificatePin, EnrollmentRef, Group, GroupAttestation, Individual,
    IndividualAttestation, InitialTwin, PolicyBinding, Terms,
};
use landfall_domain::hub::{Connector, Hub, HubState};
use landfall_domain::json::JsonText;
use landfall_domain::names::{Digest, HubName, IdScope, TrackingId};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_domain::registration::{Assignment, Outcome, Registration, Substatus, Version};
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};
use landfall_domain::secret::sealing::SealingKey;

use tokio::sync::watch;

use crate::{
    AdmissionBasis, CommitOutcome, HubLoadFollower, ImportBatch, Page, Precondition, PutOutcome, RecordFilter,
    RegistrationCommit, Store,
};

pub type Shared = Arc<dyn Store>;

pub fn scope() -> IdScope {
    "0ne00000001".parse().unwrap()
}

pub fn hub(name: &str, capacity: u64) -> Hub {
    Hub {
        name: name.parse().unwrap(),
        weight: 1,
        capacity,
        location: None,
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        state: HubState::Active,
        connector: Connector::None,
    }
}

/// Links hubs with these capacities.
pub async fn link(store: &Shared, hubs: &[(&str, u64)]) {
    for (name, capacity) in hubs {
        let put = store.put_hub(&scope(), hub(name, *capacity), Precondition::Any).await;
        assert!(matches!(put, Ok(PutOutcome::Created | PutOutcome::Replaced)));
    }
}

/// The number of devices of a hub.
pub async fn assigned(store: &Shared, name: &str) -> u64 {
    follow(store).await.of(name)
}

/// The number of devices of each hub of the scope, as the store reports it.
#[derive(Default)]
pub struct Loads(watch::Sender<BTreeMap<String, u64>>);

impl HubLoadFollower for Loads {
    fn hub_load(&self, of: &IdScope, hub: &HubName, assigned: u64) {
        if *of == scope() {
            self.0.send_modify(|loads| loads.extend([(hub.to_string(), assigned)]));
        }
    }
}

impl Loads {
    /// The last reported number of a hub.
    pub fn of(&self, name: &str) -> u64 {
        self.0.borrow().get(name).copied().unwrap_or(0)
    }

    /// Waits until this number is reported: a store that several processes write to may report late.
    pub async fn wait_for(&self, name: &str, assigned: u64) {
        self.0.subscribe().wait_for(|loads| loads.get(name).copied().unwrap_or(0) == assigned).await.unwrap();
    }
}

/// Registers a follower of the hubs.
pub async fn follow(store: &Shared) -> Arc<Loads> {
    let loads = Arc::new(Loads::default());
    let follower: Weak<Loads> = Arc::downgrade(&loads);
    store.follow_hub_loads(follower).await.unwrap();
    loads
}

/// The number of records of a manufacturer.
pub async fn counted(store: &Shared, manufacturer: &str) -> u64 {
    let filter = RecordFilter { manufacturer: Some(manufacturer.parse().unwrap()), ..RecordFilter::default() };
    let listing = store.records(&scope(), Page { after: None, limit: usize::MAX }, filter).await.unwrap();
    listing.items.len() as u64
}

pub fn tracking(number: u64) -> TrackingId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    TrackingId::new(Timestamp::from_millis(number), random)
}

pub fn refusal(number: u64) -> Entry {
    Entry {
        tracking_id: tracking(number),
        at: Timestamp::from_millis(number),
        scope: Some(scope()),
        registration_id: format!("device-{number}"),
        source: "192.0.2.7".to_owned(),
        kind: EntryKind::Refused {
            cause: "unknown-device".to_owned(),
            detail: "no manufacturing record".to_owned(),
            shown: Vec::new(),
            enrollment: None,
        },
    }
}

/// The tracking id of the decision that explains the registrations of a device, unless a test sets another.
pub fn decision_of(id: &str) -> TrackingId {
    let digest = Digest::of(id.to_ascii_lowercase().as_bytes());
    let mut number = [0; 8];
    number[4..].copy_from_slice(&digest.as_bytes()[..4]);
    tracking(u64::from_be_bytes(number).saturating_add(1_000_000))
}

/// A registration of a device on a hub, or a failed one.
pub fn registration(id: &str, hub: Option<&str>, path: &[&str]) -> Registration {
    let outcome = match hub {
        Some(hub) => Outcome::Assigned(Assignment {
            hub: hub.parse().unwrap(),
            device_id: id.parse().unwrap(),
            since: Timestamp::from_millis(2),
            substatus: Substatus::InitialAssignment,
            group_path: path.iter().map(|part| (*part).to_owned()).collect(),
            tags: JsonText::parse("{\"a\":1.0}", 100, 4).unwrap(),
            desired: JsonText::parse("{}", 100, 4).unwrap(),
            payload: None,
        }),
        None => Outcome::Failed { code: 400_207, message: "no".to_owned() },
    };
    Registration {
        registration_id: id.parse().unwrap(),
        enrollment: EnrollmentRef::Group("pumps".parse().unwrap()),
        key_identity: Some(Digest::of(id.as_bytes())),
        operation: format!("4.{id}").replace(['_', ':'], "-").parse().unwrap(),
        decision: decision_of(id),
        outcome,
        initial_hub: hub.map(|hub| hub.parse().unwrap()),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
        generation: 1,
        earlier: Vec::new(),
        issued: None,
        chip: None,
    }
}

/// A commit that expects this generation.
pub fn commit_of(registration: Registration, generation: u64) -> RegistrationCommit {
    let expected = (generation > 0).then_some(Version { generation, decision: registration.decision });
    let mut entry = refusal(1);
    entry.tracking_id = registration.decision;
    entry.registration_id = registration.registration_id.to_string();
    RegistrationCommit {
        scope: scope(),
        registration,
        expected,
        record: None,
        basis: AdmissionBasis::default(),
        answered: None,
        entry,
        contents: Vec::new(),
    }
}

/// Commits an assignment of a device to a hub, over any earlier state; it must succeed.
pub async fn place(store: &Shared, id: &str, hub: &str, path: &[&str]) -> Registration {
    match try_place(store, id, Some(hub), path).await {
        CommitOutcome::Committed(registration) => *registration,
        other => panic!("{id} was not placed: {other:?}"),
    }
}

pub async fn try_place(store: &Shared, id: &str, hub: Option<&str>, path: &[&str]) -> CommitOutcome {
    let before = store.registration(&scope(), &id.parse().unwrap()).await.unwrap();
    let generation = before.map_or(0, |r| r.generation);
    store.commit_registration(commit_of(registration(id, hub, path), generation)).await.unwrap()
}

pub async fn group_count(store: &Shared, path: &[&str]) -> u64 {
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    store.group_count(&scope(), &path).await.unwrap()
}

/// A challenge that expires at this time, in milliseconds.
pub fn challenge(number: u64, until: u64) -> KeptChallenge {
    KeptChallenge {
        name: tracking(number),
        scope: scope(),
        registration_id: "pump-1".parse().unwrap(),
        endorsement: vec![1; 300],
        storage_root: vec![2; 300],
        certificate: Some(vec![3; 900]),
        key: SealingKey::new(&[4; 32]).unwrap().seal(&[5; 32], "a place", [6; 12]),
        until: Timestamp::from_millis(until),
        spent: false,
        own: false,
    }
}

pub fn record(id: &str, manufacturer: &str, model: &str) -> ManufacturingRecord {
    ManufacturingRecord {
        registration_id: id.parse().unwrap(),
        manufacturer: manufacturer.parse().unwrap(),
        state: RecordState::Active,
        evidence: Evidence { certificate_sha256: Some(Digest::of(id.as_bytes())), ..Evidence::default() },
        facts: [("model".to_owned(), model.to_owned())].into(),
        imported_at: Timestamp::from_millis(10),
        updated_at: Timestamp::from_millis(10),
        claim: None,
    }
}

pub fn batch(rows: Vec<ManufacturingRecord>) -> ImportBatch {
    ImportBatch {
        scope: scope(),
        manufacturer: "acme".parse().unwrap(),
        quota: None,
        rows,
        all_or_nothing: false,
        dry_run: false,
        drop_evidence: false,
    }
}

pub fn pin(text: &str) -> CertificatePin {
    CertificatePin { sha256: Digest::of(text.as_bytes()), der: Some(text.as_bytes().to_vec()) }
}

pub fn terms(etag: &str, plugin: &str) -> Terms {
    let binding = |name: &str| PolicyBinding {
        plugin: name.parse().unwrap(),
        revision: None,
        settings: JsonText::parse("{}", 9, 1).unwrap(),
    };
    let mut initial_twin = InitialTwin::default();
    initial_twin.tags.insert("depth".to_owned(), serde_json::json!({"nested": [1, 2.5, null, "x"]}));
    let allocation = Allocation { selection: binding(plugin), fallback: None, grouping: vec![binding("table")] };
    let terms = Terms::with_policies(allocation, Timestamp::from_millis(1));
    Terms { initial_twin, etag: etag.to_owned(), ..terms }
}

/// A decision that led to no registration, made with a revision.
pub fn decided(number: u64, revision: Digest) -> Entry {
    let device = Device {
        registration_id: format!("device-{number}"),
        attestation: Attestation::X509,
        enrollment: EnrollmentKind::Group,
        enrollment_id: "pumps".to_owned(),
        facts: Vec::new(),
        claims: Vec::new(),
        tags: Vec::new(),
        payload: None,
        prior: None,
    };
    let factors = Factors {
        enrollment: EnrollmentRef::Group("pumps".parse().unwrap()),
        credential: "a certificate".to_owned(),
        key_identity: Digest::of(b"key"),
        manufacturer: None,
        evidence: Vec::new(),
    };
    let call =
        Call { decision_id: tracking(number).to_string(), now: number, seed: 1, catalog_revision: 1, attempt: 0 };
    let call = PolicyCall {
        step: Step::Selection,
        plugin: "ours".parse().unwrap(),
        revision,
        settings: Digest::of(b"{}"),
        call,
        candidates: Arc::default(),
        report: CallReport::never_began(CallFailure::Host(HostFailure::Crashed)),
        budget: None,
        instead: None,
    };
    let (hubs, engine) = (Digest::of(b"hubs"), Digest::of(b"engine"));
    let verdict = Verdict::NoRoom { detail: "no hub".to_owned() };
    let decision = Decision { factors, device, hubs, engine, calls: vec![call], issued: None, verdict };
    Entry { kind: EntryKind::Decided(Box::new(decision)), ..refusal(number) }
}

pub fn individual(id: &str, etag: &str, primary: &str, secondary: Option<&str>) -> Individual {
    Individual {
        registration_id: id.parse().unwrap(),
        device_id: None,
        attestation: IndividualAttestation::X509 { primary: pin(primary), secondary: secondary.map(pin) },
        terms: terms(etag, "weighted"),
    }
}

pub fn group(id: &str, attestation: GroupAttestation) -> Group {
    Group { id: id.parse().unwrap(), attestation, terms: terms("g1", "weighted") }
}

/// Publishes the plugins that the groups and individual enrollments of these tests use.
pub async fn policies(store: &Shared) {
    policies_in(&**store, &scope()).await;
}

/// Publishes the same plugins in an id scope.
pub async fn policies_in(store: &dyn Store, scope: &IdScope) {
    for name in ["weighted", "table"] {
        let plugin = PublishedPlugin::first(name.parse().unwrap(), name.as_bytes(), Timestamp::from_millis(1), "t1");
        let bytes = name.as_bytes().to_vec();
        let put = store.publish_plugin(scope, plugin, bytes, Vec::new(), PublishBounds::NONE, Precondition::New).await;
        assert!(matches!(put, Ok(PutOutcome::Created)), "{put:?}");
    }
}

/// An uploaded, proven authority.
pub fn authority(name: &str, der: &str) -> CertificateAuthority {
    CertificateAuthority {
        name: name.parse().unwrap(),
        der: der.as_bytes().to_vec(),
        verified: true,
        verification_code: None,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
    }
}
