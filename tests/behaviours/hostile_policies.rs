//! Whatever a policy does, it ends in one clear failure of its own, the host goes on, and the next good call is clean.
//!
//! Deadlines here are long, so that the slowest machine ends a call by its fuel and not by its time; only the test of the
//! deadline itself has a short one, and then no end of fuel.

use std::sync::Arc;

use landfall_domain::decision::call::{
    Attestation, Call, CallReport, Candidates, Device, EnrollmentKind, Fault, Hub, HubHandle, Label, Outcome,
    PlaceInput, Placement, SelectInput,
};
use landfall_domain::decision::failure::{Breakage, CallFailure};
use landfall_domain::decision::verdict::Rule;
use landfall_policy::image::{ClassifyError, CompileError};
use landfall_policy::{
    Budget, Budgets, Catalogue, ConfigureError, GroupCounts, Image, InitBudget, LinkError, LiveCatalogue, LoadError,
    Payers, PolicyHost, PolicySettings, RecordedCatalogue, merge,
};
use landfall_tests::guests::component;

#[test]
fn a_policy_that_never_answers_is_out_of_fuel() {
    ends(&Zoo::new(), "loops-forever", |failure| matches!(failure, Breakage::OutOfFuel { fuel: 50_000_000 }));
}

#[test]
fn a_policy_that_never_answers_is_ended_by_its_deadline_when_fuel_does_not() {
    let call = Budget { fuel: u64::MAX / 2, deadline_ms: 25, ..Budget::default() };
    let zoo = Zoo::within(Budgets { call, ..budgets() });
    ends(&zoo, "loops-forever", |failure| matches!(failure, Breakage::Timeout { deadline_ms: 25 }));
}

#[test]
fn a_policy_that_takes_memory_without_end_is_told_its_limit() {
    ends(
        &Zoo::new(),
        "allocates-forever",
        |failure| matches!(failure, Breakage::Memory { wanted, limit: 16_777_216, .. } if *wanted > 16_777_216),
    );
}

#[test]
fn a_policy_that_recurses_without_end_overflows_its_own_stack() {
    ends(&Zoo::new(), "recurses", |failure| matches!(failure, Breakage::StackOverflow));
}

#[test]
fn a_panic_reaches_the_author_with_message_file_and_line() {
    ends(&Zoo::new(), "panics", |failure| {
        matches!(failure, Breakage::Panic { message, file, line }
            if message == "no hub for device-1: the table is empty" && file.ends_with("panics.rs") && *line > 0)
    });
}

#[test]
fn a_trap_is_a_trap() {
    ends(
        &Zoo::new(),
        "traps",
        |failure| matches!(failure, Breakage::Trap { cause, .. } if cause.contains("unreachable")),
    );
}

#[test]
fn answers_that_break_a_rule_name_the_rule() {
    let zoo = Zoo::new();
    for (guest, rule) in [
        ("names-unknown-hub", Rule::HubShown),
        ("names-unknown-alternate", Rule::Alternates),
        ("duplicate-alternates", Rule::Alternates),
        ("bad-device-id", Rule::DeviceId),
        ("defers-for-ever", Rule::RetryAfter),
        ("bad-path", Rule::GroupPath),
        ("deep-json", Rule::Desired),
        ("invalid-json", Rule::Json),
    ] {
        ends(&zoo, guest, |failure| matches!(failure, Breakage::InvalidVerdict(broken) if broken.rule == rule));
    }
}

#[test]
fn an_answer_that_is_too_large_is_not_taken_over() {
    // Room and fuel enough to make it, so that it is the answer that is refused.
    let zoo = Zoo::within(Budgets {
        call: Budget { fuel: 10_000_000_000, memory_bytes: 64 << 20, ..budgets().call },
        ..budgets()
    });
    ends(&zoo, "huge-output", |failure| matches!(failure, Breakage::Output { .. }));
    ends(&zoo, "bad-reason", |failure| matches!(failure, Breakage::Output { .. }));
}

#[test]
fn a_policy_that_asks_the_host_without_end_is_stopped() {
    ends(&Zoo::new(), "floods-catalog", |failure| matches!(failure, Breakage::HostCalls { .. }));
}

#[test]
fn a_flood_of_log_lines_is_cut_off_and_counted() {
    let zoo = Zoo::within(Budgets { call: Budget { host_calls: 100_000, ..budgets().call }, ..budgets() });
    let report = zoo.select("floods-log");
    assert!(matches!(report.result, Ok(Outcome::Assign(_))), "{:?}", report.result);
    assert_eq!(report.log.lines.len(), 64);
    assert_eq!(report.log.dropped, 10_010 - 64);
    let report = zoo.select("prints");
    assert!(matches!(report.result, Ok(Outcome::Assign(_))), "{:?}", report.result);
    let kept: usize = report.log.lines.iter().map(|line| line.message.len()).sum();
    assert!(kept <= 8 << 10 && report.log.dropped > 0, "{kept} bytes kept, {} lines dropped", report.log.dropped);
}

#[test]
fn a_fault_is_the_policys_own_word_and_no_breakage() {
    let report = Zoo::new().select("faults");
    let Err(CallFailure::Fault(Fault::BadInput(text))) = report.result else { panic!("{:?}", report.result) };
    assert_eq!(text, "the manufacturing record has no fact `region`");
}

#[test]
fn no_defer_and_no_opinion_are_answers() {
    let zoo = Zoo::new();
    assert!(matches!(zoo.select("rejects").result, Ok(Outcome::Reject(_))));
    assert!(matches!(zoo.select("abstains").result, Ok(Outcome::Abstain(_))));
    assert!(matches!(zoo.select("defers").result, Ok(Outcome::Defer(deferral)) if deferral.retry_after_ms == 7_000));
}

#[test]
fn no_call_leaves_anything_to_the_next() {
    let zoo = Zoo::new();
    let image = zoo.image("counts-calls");
    for _ in 0..100 {
        let report = image.select_hub(&input(), catalogue());
        let Ok(Outcome::Assign(choice)) = report.result else { panic!("{:?}", report.result) };
        assert_eq!(choice.reasons.first().map(|reason| reason.detail.as_str()), Some("1"));
    }
}

#[test]
fn time_and_chance_are_those_of_the_call() {
    let zoo = Zoo::new();
    let image = zoo.image("reads-clock-and-random");
    let first = image.select_hub(&input(), catalogue());
    let Ok(Outcome::Assign(choice)) = &first.result else { panic!("{:?}", first.result) };
    let said = |code: &str| choice.reasons.iter().find(|reason| reason.code == code).map(|r| r.detail.as_str());
    assert_eq!((said("now"), said("elapsed")), (Some("1767225600000"), Some("0")));

    // Again, and in a process of its own that compiles anew: the same bytes.
    let anew = Zoo::new();
    for image in [image, anew.image("reads-clock-and-random")] {
        let again = image.select_hub(&input(), catalogue());
        assert_eq!((&again.result, again.usage.fuel), (&first.result, first.usage.fuel));
    }
}

#[test]
fn there_is_nothing_around_a_policy() {
    let report = Zoo::new().select("reads-surroundings");
    let Ok(Outcome::Assign(choice)) = report.result else { panic!("{:?}", report.result) };
    let said: Vec<_> = choice.reasons.iter().map(|reason| (&*reason.code, &*reason.detail)).collect();
    assert_eq!(said, [("variables", "0"), ("arguments", "0"), ("passwords", "none"), ("folder", "none")]);
}

#[test]
fn what_is_not_granted_is_refused_when_it_is_loaded() {
    let zoo = Zoo::new();
    for (guest, import) in [("opens-socket", "wasi:sockets/tcp@"), ("unknown-import", "vault:keys/safe@1.0.0")] {
        let Err(LoadError::Classify(ClassifyError::NotGranted { imports })) = zoo.host.load(component(guest)) else {
            panic!("{guest} was not refused for its imports");
        };
        assert!(imports.iter().any(|name| name.starts_with(import)), "{imports:?}");
    }
}

#[test]
fn a_component_of_another_contract_is_refused_by_version_function_or_export() {
    let zoo = Zoo::new();
    let refusal = |guest| zoo.host.load(component(guest)).expect_err(guest);
    let version = refusal("other-version");
    assert!(matches!(&version, LoadError::Classify(ClassifyError::Version { found }) if found == "0.9.0"), "{version}");
    let export = refusal("missing-export");
    assert!(matches!(export, LoadError::Classify(ClassifyError::NoWorld { .. })), "{export}");
    for (guest, difference) in [("hub-without-location", "6 fields"), ("outcome-with-escalate", "5 cases")] {
        let error = refusal(guest);
        let LoadError::Link(LinkError::Export { function, detail, .. }) = &error else { panic!("{guest}: {error}") };
        assert_eq!(function, "hub-selection/select-hub");
        assert!(detail.contains(difference), "{detail}");
    }
}

#[test]
fn a_damaged_component_is_refused_at_every_cut() {
    let zoo = Zoo::new();
    let whole = component("takes-first");
    for end in (0..whole.len()).step_by(whole.len() / 40) {
        let error = zoo.host.load(&whole[..end]).expect_err("a part of a component");
        let clear = matches!(error, LoadError::Classify(_) | LoadError::Compile(CompileError::Refused { .. }));
        assert!(clear, "cut at {end}: {error}");
    }
    zoo.still_decides();
}

#[test]
fn a_plugin_that_breaks_on_its_settings_is_not_configured() {
    let zoo = Zoo::new();
    let refusal = |guest| {
        let revision = zoo.host.load(component(guest)).expect(guest);
        zoo.host.configure(&revision, "{}").expect_err(guest)
    };
    let ConfigureError::Broke { failure, .. } = refusal("loops-in-configure") else { panic!() };
    assert_eq!(failure, CallFailure::Broke(Breakage::OutOfFuel { fuel: budgets().init.fuel }));
    let ConfigureError::Broke { failure, .. } = refusal("panics-in-configure") else { panic!() };
    assert!(failure.to_string().contains("the settings were too much for me"), "{failure}");
    let ConfigureError::Refused { problems } = refusal("refuses-settings") else { panic!() };
    let pointers: Vec<_> = problems.iter().map(|problem| &*problem.pointer).collect();
    assert_eq!(pointers, ["/rules/3/hub", "/rules/3/a~1b"]);
    zoo.still_decides();
}

#[test]
fn two_grouping_plugins_that_disagree_are_a_conflict() {
    let zoo = Zoo::new();
    let placement = |guest| zoo.place(guest).result.expect(guest);
    let answers = [("eu", placement("places-in-eu")), ("us", placement("places-in-us"))];
    let conflict = merge(&answers).unwrap_err().to_string();
    assert!(conflict.contains("\"eu\"") && conflict.contains("\"us\"") && conflict.contains("/region"), "{conflict}");
}

#[test]
fn a_call_that_broke_can_be_run_again_from_its_record() {
    let zoo = Zoo::new();
    let image = zoo.image("floods-catalog");
    let first = image.select_hub(&input(), catalogue());
    let recorded = Arc::new(RecordedCatalogue::new(first.transcript.clone()));
    let again = image.select_hub(&input(), recorded);
    assert_eq!((again.result, again.transcript), (first.result, first.transcript));
}

/// Runs a guest that must break as `expected` says, and then a good one.
fn ends(zoo: &Zoo, guest: &str, expected: impl Fn(&Breakage) -> bool) {
    let failure = if zoo.image(guest).revision().card().worlds.selects() {
        zoo.select(guest).result.map(|_| ()).unwrap_err()
    } else {
        zoo.place(guest).result.map(|_| ()).unwrap_err()
    };
    assert!(matches!(&failure, CallFailure::Broke(breakage) if expected(breakage)), "{guest}: {failure}");
    zoo.still_decides();
}

struct Zoo {
    host: PolicyHost,
    runtime: tokio::runtime::Runtime,
    _home: tempfile::TempDir,
}

impl Zoo {
    fn new() -> Self {
        Self::within(budgets())
    }

    fn within(budgets: Budgets) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = PolicySettings { workers: 1, budgets, ..PolicySettings::new(home.path().join("compiled")) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        Self { host: PolicyHost::start(settings).unwrap(), runtime, _home: home }
    }

    fn image(&self, guest: &str) -> Arc<Image> {
        let revision = self.host.load(component(guest)).expect(guest);
        self.host.configure(&revision, "{}").expect(guest)
    }

    fn select(&self, guest: &str) -> CallReport<Outcome> {
        let image = self.image(guest);
        let ran = self.host.run(payers(), move |_| image.select_hub(&input(), catalogue()));
        self.runtime.block_on(ran).expect("a worker")
    }

    fn place(&self, guest: &str) -> CallReport<Placement> {
        let image = self.image(guest);
        let SelectInput { call, device, candidates } = input();
        let (hub, candidate) = candidates.get(HubHandle(0)).expect("three hubs");
        let input = PlaceInput { call, device, hub: hub.clone(), candidate: *candidate };
        let ran = self.host.run(payers(), move |_| image.place(&input, catalogue()));
        self.runtime.block_on(ran).expect("a worker")
    }

    /// The one worker lives, and what ran on it before has left nothing behind.
    fn still_decides(&self) {
        let report = self.select("takes-first");
        assert!(matches!(report.result, Ok(Outcome::Assign(_))), "{:?}", report.result);
        assert_eq!((report.log.lines.len(), report.log.dropped), (0, 0));
    }
}

fn budgets() -> Budgets {
    let call = Budget { deadline_ms: 60_000, ..Budget::default() };
    Budgets { call, init: InitBudget { fuel: 200_000_000, deadline_ms: 600_000 } }
}

fn input() -> SelectInput {
    let hub = |number: u32| Hub {
        name: format!("hub-{number}.example.net").into(),
        weight: 1,
        capacity: 1_000,
        location: None,
        labels: [Label { key: "region".into(), value: "eu".into() }].into(),
    };
    SelectInput {
        call: Call { decision_id: "d".into(), now: 1_767_225_600_000, seed: 7, catalog_revision: 1, attempt: 0 },
        device: Arc::new(Device {
            registration_id: "device-1".into(),
            attestation: Attestation::X509,
            enrollment: EnrollmentKind::Group,
            enrollment_id: "group".into(),
            facts: Vec::new(),
            claims: Vec::new(),
            tags: Vec::new(),
            payload: None,
            prior: None,
        }),
        candidates: Candidates::all((0..3).map(|number| (hub(number), 10))),
    }
}

fn catalogue() -> Arc<dyn Catalogue> {
    struct Counts;
    impl GroupCounts for Counts {
        fn group_count(&self, path: &[String]) -> Result<u64, String> {
            Ok(u64::try_from(path.len()).unwrap_or_default())
        }
    }
    Arc::new(LiveCatalogue::new(input().candidates, Arc::new(Counts)))
}

/// Who pays matters to nobody here: there is one caller.
fn payers() -> Payers {
    Payers::new("s".parse().expect("an id scope"), [])
}
