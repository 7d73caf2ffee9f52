use landfall_domain::clock::Timestamp;
use landfall_domain::decision::call::{
    Attestation, Call, CallReport, Candidate, Choice, Device, EnrollmentKind, HubHandle, Label, Outcome, Placement,
    Reason, Usage,
};
use landfall_domain::decision::failure::{Breakage, CallFailure};
use landfall_domain::decision::log::{Log, LogLevel, LogLine, LogSource};
use landfall_domain::decision::transcript::Transcript;
use landfall_domain::decision::{Answer, Decision, Entry, EntryKind, Factors, PolicyCall, Step, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, TrackingId};
use serde_json::json;

use super::*;

#[test]
fn a_refusal_is_told_with_its_cause() {
    let kind = EntryKind::Refused {
        cause: "no-record".into(),
        detail: "nobody imported pump-7".into(),
        shown: Vec::new(),
        enrollment: None,
    };
    for entry in both_spellings(&entry(kind)) {
        let story = of(&entry);
        assert!(story.starts_with("pump-7 was refused: no-record\nnobody imported pump-7\n"), "{story}");
        assert!(story.contains("192.0.2.9") && story.contains("1970-01-01T00:00:01"), "{story}");
    }
}

#[test]
fn an_assignment_is_told_with_everything_that_led_to_it() {
    let selected = Answer::Selected(Outcome::Assign(Choice {
        hub: HubHandle(1),
        alternates: vec![HubHandle(0)],
        device_id: None,
        reasons: vec![Reason { code: "weight".into(), detail: "its turn".into() }],
    }));
    let placed =
        Answer::Placed(Placement { group_path: vec!["plant".into(), "line 3".into()], ..Placement::default() });
    let calls = vec![call(Step::Selection, Ok(selected)), call(Step::Grouping(0), Ok(placed))];
    let verdict = Verdict::Assigned {
        hub: "hub-us".parse().unwrap(),
        device_id: "pump-7".parse().unwrap(),
        group_path: vec!["plant".into(), "line 3".into()],
    };
    for entry in both_spellings(&decided(calls, verdict)) {
        let story = of(&entry);
        assert!(story.starts_with("pump-7 got the hub hub-us as pump-7, in the group plant / line 3\n"), "{story}");
        for wanted in [
            "1 credential  a certificate that chains up to factory",
            "2 record      imported by acme, whose evidence matches: certificate",
            "enrollment    group pumps",
            "facts         model=x2  region=us",
            "1. Choosing the hub: the policy weighted",
            "answer        hub-us, or else hub-eu",
            "because       weight: its turn",
            "was shown     hub-eu  1,200 assigned\n",
            "              hub-us  3 assigned, 2 on their way",
            "logged        warn  nearly full  hub=hub-eu",
            "took          61,000 units of fuel, 1,024 KiB of memory; 5 µs waiting, 6 µs starting, 7 µs running",
            "2. Saying where it belongs: the policy weighted",
            "answer        plant / line 3",
        ] {
            assert!(story.contains(wanted), "{wanted:?} is missing in:\n{story}");
        }
    }
}

#[test]
fn a_broken_policy_is_told_with_the_line_that_panicked() {
    let broke = Breakage::Panic { message: "no such key".into(), file: "src/lib.rs".into(), line: 7 };
    let calls = vec![call(Step::Selection, Err(CallFailure::Broke(broke)))];
    let verdict = Verdict::Postponed {
        until: Timestamp::from_millis(5_000),
        kind: "panic".into(),
        detail: "the policy broke".into(),
    };
    let entry = serde_json::to_value(decided(calls, verdict)).unwrap();
    let story = of(&with_hubs(entry));
    assert!(story.contains("no answer     the policy broke: it panicked at src/lib.rs:7: no such key"), "{story}");
    assert!(story.starts_with("pump-7 has to wait until 1970-01-01T00:00:05"), "{story}");
}

#[test]
fn a_refused_device_is_told_with_what_it_showed() {
    let shown = vec![label("subject", "CN=pump-7"), label("certificates", "1")];
    let kind = EntryKind::Refused { cause: "not-enrolled".into(), detail: "no group".into(), shown, enrollment: None };
    for entry in both_spellings(&entry(kind)) {
        let story = of(&entry);
        assert!(story.contains("What the device showed\n  subject       CN=pump-7\n  certificates  1\n"), "{story}");
    }
}

#[test]
fn what_is_no_registration_is_told_with_what_was_wrong() {
    let answered = |id: &str| {
        let kind = EntryKind::Answered {
            status: 400,
            detail: "The api-version is missing from the query".into(),
            asked: "PUT /0ne/registrations/pump-7/register".into(),
        };
        of(&serde_json::to_value(Entry { registration_id: id.to_owned(), ..entry(kind) }).unwrap())
    };
    let story = answered("pump-7");
    assert!(story.starts_with("pump-7 was answered 400: The api-version is missing from the query\n"), "{story}");
    assert!(story.contains("\n  asked         PUT /0ne/registrations/pump-7/register\n"), "{story}");
    assert!(answered("").starts_with("A request was answered 400: "), "{story}");
}

#[test]
fn what_a_service_was_asked_reads_as_a_request_and_its_answer() {
    let mut asks =
        call(Step::Selection, Ok(Answer::Selected(Outcome::Reject(Reason { code: "no".into(), detail: "no".into() }))));
    asks.report.transcript = serde_json::from_value(json!([{
        "question": { "http": { "number": 1, "method": "POST", "url": "https://fn.example/a?code=hunter2",
            "headers": [["content-type", "application/json"]], "body": { "text": "{\"linkedHubs\":[]}" } } },
        "answer": { "http": { "response": { "status": 400, "headers": [["server", "x"]], "body": { "text": "no" } } } },
    }]))
    .unwrap();
    let verdict = Verdict::Rejected { code: "no".into(), detail: "no".into() };
    let story = of(&with_hubs(serde_json::to_value(decided(vec![asks], verdict)).unwrap()));
    let wanted = "  asked         POST https://fn.example/a?****: status 400\n  sent          {\"linkedHubs\":[]}\n  was answered  no\n";
    assert!(story.contains(wanted), "{story}");
    assert!(!story.contains("hunter2") && !story.contains("server"), "{story}");
}

#[test]
fn a_symmetric_key_is_called_no_public_key_and_nothing_stands_under_no_heading() {
    let mut entry = decided(vec![], Verdict::NoRoom { detail: "no hub".into() });
    let EntryKind::Decided(decision) = &mut entry.kind else { unreachable!() };
    decision.device.attestation = Attestation::SymmetricKey;
    decision.device.facts.clear();
    let story = of(&with_hubs(serde_json::to_value(entry).unwrap()));
    assert!(story.contains("  bound to      SHA-256 ") && !story.contains("public key"), "{story}");
    assert!(!story.contains("What the policies were told of it"), "{story}");
}

#[test]
fn an_entry_of_an_unknown_shape_is_still_told() {
    let entry = json!({ "registrationId": "a\u{1b}b", "trackingId": "t", "kind": { "later": 1 } });
    assert!(of(&entry).starts_with("a b\n"));
    assert_eq!(of(&json!(null)).trim(), "The request");
}

fn call(step: Step, result: Result<Answer, CallFailure>) -> PolicyCall {
    let line = LogLine {
        source: LogSource::Log,
        level: LogLevel::Warn,
        message: "nearly full".into(),
        fields: vec![label("hub", "hub-eu")],
    };
    PolicyCall {
        step,
        plugin: "weighted".parse().unwrap(),
        revision: Digest::of(b"component"),
        settings: Digest::of(b"{}"),
        call: Call { decision_id: "d".into(), now: 1_000, seed: 9, catalog_revision: 1, attempt: 0 },
        candidates: [Candidate { hub: 0, assigned: 1_200, pending: 0 }, Candidate { hub: 1, assigned: 3, pending: 2 }]
            .into(),
        report: CallReport {
            result,
            usage: Usage { fuel: 61_000, peak_memory_bytes: 1 << 20, queue_us: 5, instantiate_us: 6, guest_us: 7 },
            transcript: Transcript::default(),
            log: Log { lines: vec![line], dropped: 0 },
        },
        budget: None,
        instead: None,
    }
}

fn decided(calls: Vec<PolicyCall>, verdict: Verdict) -> Entry {
    let device = Device {
        registration_id: "pump-7".into(),
        attestation: Attestation::X509,
        enrollment: EnrollmentKind::Group,
        enrollment_id: "pumps".into(),
        facts: vec![label("model", "x2"), label("region", "us")],
        claims: vec![],
        tags: vec![],
        payload: None,
        prior: None,
    };
    let factors = Factors {
        enrollment: EnrollmentRef::Group("pumps".parse().unwrap()),
        credential: "a certificate that chains up to factory".into(),
        key_identity: Digest::of(b"key"),
        manufacturer: Some("acme".parse().unwrap()),
        evidence: vec!["certificate".into()],
    };
    let (hubs, engine) = (Digest::of(b"hubs"), Digest::of(b"engine"));
    entry(EntryKind::Decided(Box::new(Decision { factors, device, hubs, engine, calls, issued: None, verdict })))
}

fn entry(kind: EntryKind) -> Entry {
    let at = Timestamp::from_millis(1_000);
    Entry {
        tracking_id: TrackingId::new(at, [0; 10]),
        at,
        scope: Some("0neABC".parse().unwrap()),
        registration_id: "pump-7".into(),
        source: "192.0.2.9".into(),
        kind,
    }
}

/// The entry as the record is stored, and with the names of the API.
fn both_spellings(entry: &Entry) -> [Value; 2] {
    let kept = with_hubs(serde_json::to_value(entry).unwrap());
    [kept.clone(), camel(kept)]
}

/// Puts the list of hubs in the place of the digest by which a decision names it.
fn with_hubs(mut entry: Value) -> Value {
    entry["hubs"] = json!([{ "name": "hub-eu" }, { "name": "hub-us" }]);
    entry
}

fn camel(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(key, value)| (camel_name(&key), camel(value))).collect(),
        Value::Array(items) => items.into_iter().map(camel).collect(),
        plain => plain,
    }
}

fn camel_name(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(&part[..1].to_uppercase());
        out.push_str(&part[1..]);
    }
    out
}

fn label(key: &str, value: &str) -> Label {
    Label { key: key.into(), value: value.into() }
}

#[test]
fn what_a_policy_asked_is_told_with_names() {
    let told = |question: Value, answer: Value| {
        asked(Some(&question), Some(&answer), |handle| format!("hub-{handle}.example"))
    };
    let labels = json!({ "labels": [{ "key": "region", "value": "eu" }] });
    assert_eq!(told(json!({ "hub-labels": 0 }), labels), "the labels of hub-0.example: region=eu");
    assert_eq!(
        told(json!({ "group-count": ["acme", "oslo"] }), json!({ "count": 3 })),
        "how many devices are in acme / oslo: 3"
    );
    let request = json!({ "http": { "number": 1, "method": "POST", "url": "https://fn.example/a", "headers": [], "body": { "text": "" } } });
    let response = json!({ "http": { "response": { "status": 503, "headers": [], "body": { "text": "" } } } });
    assert_eq!(told(request.clone(), response), "POST https://fn.example/a: status 503");
    let failed = json!({ "http": { "failed": { "failure": "connect", "detail": "refused" } } });
    assert_eq!(told(request, failed), "POST https://fn.example/a: no answer (connect): refused");
}
