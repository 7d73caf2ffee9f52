//! Things to write.

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::hub::{Connector, Hub, HubState};
use landfall_domain::json::JsonText;
use landfall_domain::names::{Digest, IdScope, TrackingId};
use landfall_domain::registration::{Assignment, Outcome, Registration, Substatus};
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};

/// The hubs of the harnesses.
pub const HUBS: [&str; 3] = ["a.example", "b.example", "c.example"];

/// The id scope of everything here.
pub fn scope() -> IdScope {
    name("0ne00000001")
}

/// A name that is known to be one.
#[allow(clippy::panic, reason = "a harness that names things badly is broken")]
pub fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no name"))
}

/// A linked hub.
pub fn hub(text: &str, capacity: u64) -> Hub {
    Hub {
        name: name(text),
        weight: 1,
        capacity,
        location: None,
        labels: Default::default(),
        state: HubState::Active,
        connector: Connector::None,
    }
}

/// A registration on a hub, or one that failed; the number is in it everywhere, so that no two are alike.
pub fn registration(number: u64, id: &str, hub: Option<&str>, group_path: &[String]) -> Registration {
    let outcome = match hub {
        Some(hub) => Outcome::Assigned(Assignment {
            hub: name(hub),
            device_id: name(id),
            since: Timestamp::from_millis(number),
            substatus: Substatus::InitialAssignment,
            group_path: group_path.to_vec(),
            tags: JsonText::of(&serde_json::json!({ "number": number })),
            desired: JsonText::of(&serde_json::json!({})),
            payload: None,
        }),
        None => Outcome::Failed { code: 400_207, message: "refused".to_owned() },
    };
    Registration {
        registration_id: name(id),
        enrollment: EnrollmentRef::Group(name("pumps")),
        key_identity: Some(Digest::of(&number.to_be_bytes())),
        operation: name(&format!("4.{number}")),
        decision: tracking_id(number),
        outcome,
        initial_hub: None,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(number),
        earlier: Vec::new(),
        issued: None,
        chip: None,
        generation: 1,
    }
}

/// A ledger entry.
pub fn entry(number: u64, id: &str, detail: &str) -> Entry {
    Entry {
        tracking_id: tracking_id(number),
        at: Timestamp::from_millis(number),
        scope: Some(scope()),
        registration_id: id.to_owned(),
        source: "192.0.2.1".to_owned(),
        kind: EntryKind::Refused {
            cause: "test".to_owned(),
            detail: detail.to_owned(),
            shown: Vec::new(),
            enrollment: None,
        },
    }
}

/// A manufacturing record.
pub fn record(id: &str, model: &str) -> ManufacturingRecord {
    ManufacturingRecord {
        registration_id: name(id),
        manufacturer: name("acme"),
        state: RecordState::Active,
        evidence: Evidence::default(),
        facts: [("model".to_owned(), model.to_owned())].into(),
        imported_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
        claim: None,
    }
}

fn tracking_id(number: u64) -> TrackingId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    TrackingId::new(Timestamp::from_millis(number), random)
}
