//! What is done for a device that is not enrolled, so that its refusal takes as long as that of one that is.
//!
//! An enrollment that stands costs its decoding and the trial of its keys or its certificate; where none stands, one of
//! nobody is decoded and tried. It is an enrollment like any other, if a plain one: a very large one can still be told by
//! its time, by whoever already knows a credential that it might hold.

use serde_json::{Map, json};

use crate::attestation::symmetric_key::SymmetricKey;
use crate::clock::Ambient;
use crate::enrollment::{
    Allocation, CertificatePin, EnrollmentRef, ExpiredCertificates, Individual, IndividualAttestation, InitialTwin,
    KeyChange, Manufacturing, PolicyBinding, ReprovisionPolicy, SealedKeys, Terms,
};
use crate::json::JsonText;
use crate::names::{Digest, IdScope};
use crate::secret::sealing::{SealError, SealingKey};

/// An enrollment of nobody, with keys and with what opens them.
pub struct Decoy {
    /// As the store keeps one: with a certificate, and with keys.
    pinned: Vec<u8>,
    shared: Vec<u8>,
    sealed: SealedKeys,
    owner: EnrollmentRef,
    scope: IdScope,
    sealing: SealingKey,
}

impl Decoy {
    /// New ones, which are kept nowhere. (That there are none is not possible: 32 bytes are a key, and the names are names.)
    pub fn new(ambient: &Ambient) -> Option<Self> {
        let (owner, scope) = (EnrollmentRef::Individual("nobody".parse().ok()?), "0neNOBODY".parse().ok()?);
        let sealing = SealingKey::new(&ambient.random::<32>()).ok()?;
        let keys = [SymmetricKey::generate(ambient.random()), SymmetricKey::generate(ambient.random())];
        let sealed = SealedKeys::seal(&keys, &owner, &scope, &sealing, ambient);
        let certificate = ambient.random::<500>().to_vec();
        let pinned = IndividualAttestation::X509 {
            primary: CertificatePin { sha256: Digest::of(&certificate), der: Some(certificate) },
            secondary: None,
        };
        let encoded = |attestation| rmp_serde::to_vec_named(&individual(&owner, attestation, ambient)?).ok();
        let (pinned, shared) = (encoded(pinned)?, encoded(IndividualAttestation::SymmetricKey(sealed.clone()))?);
        Some(Self { pinned, shared, sealed, owner, scope, sealing })
    }

    /// Reads an enrollment with a certificate, as it is done for one that stands.
    pub(super) fn read_pinned(&self) {
        drop(std::hint::black_box(rmp_serde::from_slice::<Individual>(&self.pinned)));
    }

    /// Reads one with keys.
    pub(super) fn read_shared(&self) {
        drop(std::hint::black_box(rmp_serde::from_slice::<Individual>(&self.shared)));
    }

    /// Opens the keys: the same work as for keys that are there.
    pub(super) fn open(&self) -> Result<[SymmetricKey; 2], SealError> {
        self.sealed.open(&self.owner, &self.scope, &self.sealing)
    }
}

/// A plain one, with the shipped policies.
fn individual(owner: &EnrollmentRef, attestation: IndividualAttestation, ambient: &Ambient) -> Option<Individual> {
    let EnrollmentRef::Individual(registration_id) = owner.clone() else { return None };
    let policy = |plugin: &str, settings| {
        Some(PolicyBinding { plugin: plugin.parse().ok()?, revision: None, settings: JsonText::of(&settings) })
    };
    let rules = json!({ "rules": [{ "group": ["{fact.site}"], "tags": { "from": "table" } }] });
    let now = ambient.now();
    Some(Individual {
        registration_id,
        device_id: None,
        attestation,
        terms: Terms {
            enabled: true,
            manufacturing: Manufacturing::Required,
            manufacturers: None,
            key_change: KeyChange::Refuse,
            expired_certificates: ExpiredCertificates::Refuse,
            certificate_issuer: None,
            reprovision: ReprovisionPolicy::default(),
            hubs: None,
            allocation: Allocation {
                selection: policy("weighted", json!({}))?,
                fallback: None,
                grouping: vec![policy("table", rules)?],
            },
            initial_twin: InitialTwin { tags: Map::new(), desired: Map::new() },
            created_at: now,
            updated_at: now,
            etag: "0123456789abcdef".to_owned(),
        },
    })
}
