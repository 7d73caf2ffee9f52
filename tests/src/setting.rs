//! A data folder filled without a server: hubs, a proven CA, a group, records.

use std::collections::BTreeMap;

use landfall::folder::DataFolder;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_domain::enrollment::{Allocation, CertificateAuthority, Group, GroupAttestation, PolicyBinding, Terms};
use landfall_domain::hub::{Connector, Hub, HubState};
use landfall_domain::json::JsonText;
use landfall_domain::names::IdScope;
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{
    AuthorityStore as _, EnrollmentStore as _, HubStore as _, ImportBatch, Precondition, RecordStore as _, Upkeep as _,
};

/// Links three hubs, enrolls a factory's devices in one group and imports their records.
///
/// # Errors
///
/// Whatever the store says.
pub async fn fill(
    folder: &DataFolder,
    scope: &IdScope,
    factory: &Authority,
    devices: &[String],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let store = RedbStore::open(&folder.database(), StoreSettings::default())?;
    let now = Ambient::system().now();
    for (name, weight) in [("a.hubs.example", 3), ("b.hubs.example", 2), ("c.hubs.example", 1)] {
        let hub = Hub {
            name: name.parse()?,
            weight,
            capacity: 1_000_000,
            location: None,
            labels: BTreeMap::new(),
            state: HubState::Active,
            connector: Connector::None,
        };
        store.put_hub(scope, hub, Precondition::Any).await?;
    }
    let authority = CertificateAuthority {
        name: "factory".parse()?,
        der: factory.certificate_der.clone(),
        verified: true,
        verification_code: None,
        created_at: now,
        updated_at: now,
    };
    store.put_authority(scope, authority, Precondition::Any).await?;
    let policy = |plugin: &str, settings: &str| -> Result<PolicyBinding, Box<dyn std::error::Error + Send + Sync>> {
        Ok(PolicyBinding { plugin: plugin.parse()?, revision: None, settings: JsonText::parse(settings, 1024, 8)? })
    };
    let allocation = Allocation {
        selection: policy("weighted", "{}")?,
        fallback: None,
        grouping: vec![policy("table", r#"{"rules":[{"group":["{fact.site}"]}]}"#)?],
    };
    let terms = Terms::with_policies(allocation, now);
    let attestation = GroupAttestation::X509Authorities { primary: "factory".parse()?, secondary: None };
    store.put_group(scope, Group { id: "devices".parse()?, attestation, terms }, Precondition::Any).await?;
    let rows: Result<Vec<_>, landfall_domain::names::NameError> = devices
        .iter()
        .enumerate()
        .map(|(number, id)| {
            Ok(ManufacturingRecord {
                registration_id: id.parse()?,
                manufacturer: "acme".parse()?,
                state: RecordState::Active,
                evidence: Evidence::default(),
                facts: BTreeMap::from([("site".to_owned(), format!("site-{}", number % 7))]),
                imported_at: now,
                updated_at: now,
                claim: None,
            })
        })
        .collect();
    let batch = ImportBatch {
        scope: scope.clone(),
        manufacturer: "acme".parse()?,
        quota: None,
        rows: rows?,
        all_or_nothing: true,
        dry_run: false,
        drop_evidence: false,
    };
    store.import_batch(batch).await?;
    store.close().await?;
    Ok(())
}
