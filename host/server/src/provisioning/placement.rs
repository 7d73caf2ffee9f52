//! Makes the registration from a decision.

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::call::Placement;
use landfall_domain::enrollment::ReprovisionPolicy;
use landfall_domain::json::JsonText;
use landfall_domain::names::{DeviceId, HubName};
use landfall_domain::registration::{Assignment, Outcome, Registration, Substatus};
use serde_json::{Map, Value, json};

use super::refusal::RegisterError;
use super::registration_job::RegistrationJob;

/// The registration that the commit writes.
pub(super) fn registration(work: &RegistrationJob, outcome: Outcome) -> Registration {
    let before = work.admitted.before.as_ref();
    let hub = match &outcome {
        Outcome::Assigned(assignment) => Some(assignment.hub.clone()),
        Outcome::Failed { .. } => None,
    };
    Registration {
        registration_id: work.name().clone(),
        enrollment: work.admitted.factors.enrollment.clone(),
        key_identity: Some(work.admitted.factors.key_identity),
        operation: work.operation.clone(),
        decision: work.request.tracking_id,
        outcome,
        initial_hub: before.and_then(|before| before.initial_hub.clone()).or(hub),
        created_at: before.map_or(work.now(), |before| before.created_at),
        updated_at: work.now(),
        generation: before.map_or(1, |before| before.generation + 1),
        earlier: Vec::new(),
        issued: work.issued().cloned().or_else(|| before.and_then(|before| before.issued.clone())),
        chip: before
            .filter(|before| before.key_identity == Some(work.admitted.factors.key_identity))
            .and_then(|b| b.chip),
    }
}

/// A device's place on a hub: the enrollment's initial twin, overlaid with what the grouping policies answered.
pub(super) fn assignment(
    work: &RegistrationJob,
    hub: &HubName,
    device_id: Option<DeviceId>,
    placed: Option<Placement>,
) -> Result<Assignment, RegisterError> {
    let (before, terms) = (work.admitted.before.as_ref(), &work.admitted.terms);
    let from = before.and_then(Registration::assignment);
    let kept = from.filter(|from| keeps_its_data(from, hub, terms.reprovision));
    let (mut tags, mut desired) = match kept {
        Some(kept) => (members(&kept.tags), members(&kept.desired)),
        None => (terms.initial_twin.tags.clone(), terms.initial_twin.desired.clone()),
    };
    let mut payload = None;
    let mut group_path = Vec::new();
    if let Some(placed) = placed {
        let silent = is_silent(&placed);
        if kept.is_none() {
            for label in &placed.tags {
                tags.insert(label.key.clone(), parsed(&label.value));
            }
            if let Some(Value::Object(members)) = placed.desired.as_deref().map(parsed) {
                overlay(&mut desired, members);
            }
        }
        group_path = placed.group_path;
        payload = Some(match placed.reply {
            Some(reply) => JsonText::of(&parsed(&reply)),
            // Hubs are not told of devices, so this answer is the only way in which the device gets its first
            // configuration.
            None => JsonText::of(&json!({ "group": group_path, "tags": tags, "desired": desired })),
        });
        // A device that is never to be moved also keeps its last answer, if the policies say nothing new: it must not
        // lose that because a custom allocation function is down, or refuses today.
        if let Some(kept) = from.filter(|from| silent && from.hub == *hub && !terms.reprovision.update_hub_assignment) {
            group_path.clone_from(&kept.group_path);
            payload.clone_from(&kept.payload);
        }
    }
    let own_id = work.admitted.device_id.clone().or(device_id);
    let device_id = match own_id {
        Some(id) => id,
        None => work.name().as_str().parse().map_err(RegisterError::Name)?,
    };
    Ok(Assignment {
        hub: hub.clone(),
        device_id,
        since: since(before, hub, work.now()),
        substatus: substatus(before, hub, terms.reprovision),
        group_path,
        tags: JsonText::of(&Value::Object(tags)),
        desired: JsonText::of(&Value::Object(desired)),
        payload,
    })
}

/// Whether a device's twin stays as it was: the device stays on its hub, or moves with its data. An initial twin is for
/// a device that is new to its hub, or whose data is reset.
fn keeps_its_data(from: &Assignment, hub: &HubName, policy: ReprovisionPolicy) -> bool {
    from.hub == *hub || policy.migrate_device_data
}

/// Whether the grouping policies answered nothing at all.
fn is_silent(placed: &Placement) -> bool {
    placed.group_path.is_empty() && placed.tags.is_empty() && placed.desired.is_none() && placed.reply.is_none()
}

/// The members of a stored JSON object.
fn members(kept: &JsonText) -> Map<String, Value> {
    match parsed(kept.as_str()) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Parses JSON that the verdict gate has already checked.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Merges members into others, object by object (RFC 7396 without removal).
fn overlay(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// How a device comes to its hub, given where it was before (dps-protocol: section "re-provisioning").
fn substatus(before: Option<&Registration>, hub: &HubName, policy: ReprovisionPolicy) -> Substatus {
    let Some(registration) = before else {
        return Substatus::InitialAssignment;
    };
    match registration.assignment() {
        None => Substatus::InitialAssignment,
        Some(assignment) if assignment.hub == *hub => assignment.substatus,
        Some(_) if registration.initial_hub.as_ref() == Some(hub) => Substatus::ReprovisionedToInitialAssignment,
        Some(_) if policy.migrate_device_data => Substatus::DeviceDataMigrated,
        Some(_) => Substatus::DeviceDataReset,
    }
}

/// Since when the device has been on the hub.
fn since(before: Option<&Registration>, hub: &HubName, now: Timestamp) -> Timestamp {
    match before.and_then(Registration::assignment) {
        Some(assignment) if assignment.hub == *hub => assignment.since,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use landfall_domain::enrollment::EnrollmentRef;
    use landfall_domain::json::JsonText;
    use landfall_domain::names::TrackingId;
    use landfall_domain::registration::{Assignment, Outcome};

    use super::*;

    fn on(hub: &str, initial: &str) -> Registration {
        let now = Timestamp::from_millis(5);
        let object = JsonText::parse("{}", 9, 1).unwrap();
        Registration {
            registration_id: "d".parse().unwrap(),
            enrollment: EnrollmentRef::Group("g".parse().unwrap()),
            key_identity: None,
            operation: "4.a.b".parse().unwrap(),
            decision: TrackingId::new(now, [0; 10]),
            outcome: Outcome::Assigned(Assignment {
                hub: hub.parse().unwrap(),
                device_id: "d".parse().unwrap(),
                since: now,
                substatus: Substatus::InitialAssignment,
                group_path: vec![],
                tags: object.clone(),
                desired: object,
                payload: None,
            }),
            initial_hub: Some(initial.parse().unwrap()),
            created_at: now,
            updated_at: now,
            generation: 1,
            earlier: Vec::new(),
            issued: None,
            chip: None,
        }
    }

    #[test]
    fn a_move_is_told_by_where_it_goes_and_what_moves_with_it() {
        let (migrate, reset) =
            (ReprovisionPolicy::default(), ReprovisionPolicy { migrate_device_data: false, ..Default::default() });
        let to = |before: Option<&Registration>, hub: &str, policy| substatus(before, &hub.parse().unwrap(), policy);
        assert_eq!(to(None, "a.example", migrate), Substatus::InitialAssignment);
        assert_eq!(to(Some(&on("a.example", "a.example")), "a.example", migrate), Substatus::InitialAssignment);
        assert_eq!(to(Some(&on("a.example", "a.example")), "b.example", migrate), Substatus::DeviceDataMigrated);
        assert_eq!(to(Some(&on("a.example", "a.example")), "b.example", reset), Substatus::DeviceDataReset);
        assert_eq!(
            to(Some(&on("b.example", "a.example")), "a.example", reset),
            Substatus::ReprovisionedToInitialAssignment
        );
    }

    #[test]
    fn a_device_that_stays_keeps_its_date() {
        let now = Timestamp::from_millis(9);
        assert_eq!(since(Some(&on("a.example", "a.example")), &"a.example".parse().unwrap(), now).as_millis(), 5);
        assert_eq!(since(Some(&on("a.example", "a.example")), &"b.example".parse().unwrap(), now).as_millis(), 9);
    }
}
