//! The whole path from bytes to a decision, with the shipped policies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use landfall_domain::decision::call::{
    Attestation, Candidates, Device, EnrollmentKind, Hub, HubHandle, Label, Location, Prior,
};

use super::*;

#[test]
fn a_policy_is_loaded_configured_and_decides() {
    let fixture = Fixture::new();
    let revision = fixture.host.load(shipped::WEIGHTED).unwrap();
    assert_eq!(revision.description().name, "weighted");
    assert_eq!(revision.card().tier, Tier::Pure);
    assert!(revision.card().worlds.selects());
    let image = fixture.host.configure(&revision, "{}").unwrap();
    assert_eq!(image.configured(), &Configured::Baked);

    let input = input(8, 1);
    let report = image.select_hub(&input, Arc::new(host_view::EmptyCatalogue));
    assert!(matches!(report.result, Ok(Outcome::Assign(_))), "{report:?}");
    assert!(report.usage.fuel > 0 && report.usage.peak_memory_bytes > 0);
}

#[test]
fn the_same_bytes_are_loaded_once() {
    let fixture = Fixture::new();
    let one = fixture.host.load(shipped::WEIGHTED).unwrap();
    let two = fixture.host.load(shipped::WEIGHTED).unwrap();
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn a_decision_run_again_gives_the_same_bytes() {
    let fixture = Fixture::new();
    let compiled = fixture.image(shipped::WEIGHTED, "{}");
    let decide = |image: &Image, seed| {
        let report = image.select_hub(&input(64, seed), counting());
        let stored = (report.result.unwrap(), report.usage.fuel, report.transcript, report.log);
        serde_json::to_vec(&stored).unwrap()
    };
    let first: Vec<_> = (0..32).map(|seed| decide(&compiled, seed)).collect();
    // In slots of the pool that other decisions used before, on several threads at once.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (seed, first) in (0..32).zip(&first) {
                    assert_eq!(&decide(&compiled, seed), first);
                }
            });
        }
    });
    // In a process that takes the compiled code from the cache.
    let cached = Fixture::again(&fixture);
    let from_cache = cached.image(shipped::WEIGHTED, "{}");
    for (seed, first) in (0..32).zip(&first) {
        assert_eq!(&decide(&from_cache, seed), first);
    }
    // In a process that compiles again.
    let anew = Fixture::new();
    let compiled_anew = anew.image(shipped::WEIGHTED, "{}");
    for (seed, first) in (0..32).zip(&first) {
        assert_eq!(&decide(&compiled_anew, seed), first);
    }
}

#[test]
fn settings_that_a_plugin_refuses_carry_json_pointers() {
    let fixture = Fixture::new();
    let revision = fixture.host.load(shipped::FIXED).unwrap();
    let Err(ConfigureError::Refused { problems }) = fixture.host.configure(&revision, r#"{"hub": 7}"#) else {
        panic!("these settings are wrong");
    };
    assert!(problems.iter().any(|problem| problem.pointer.starts_with("/hub")), "{problems:?}");
    assert!(matches!(fixture.host.configure(&revision, "{"), Err(ConfigureError::NotJson(_))));
}

#[test]
fn what_is_not_exported_is_not_called() {
    let fixture = Fixture::new();
    let image = fixture.image(shipped::WEIGHTED, "{}");
    let SelectInput { call, device, candidates } = input(1, 1);
    let (hub, candidate) = candidates.get(HubHandle(0)).unwrap();
    let report = image.place(&PlaceInput { call, device, hub: hub.clone(), candidate: *candidate }, counting());
    assert!(matches!(report.result, Err(CallFailure::Host(HostFailure::NotExported { .. }))));
}

#[test]
fn the_executor_answers_as_the_callers_own_thread_does() {
    let fixture = Fixture::new();
    let image = fixture.image(shipped::WEIGHTED, "{}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        for seed in 0..64 {
            let there = Arc::clone(&image);
            let answered =
                fixture.host.run(nobody(), move |_| there.select_hub(&input(8, seed), counting())).await.unwrap();
            assert_eq!(answered.result, image.select_hub(&input(8, seed), counting()).result);
        }
        fixture.host.close();
        assert_eq!(fixture.host.run(nobody(), |_| ()).await, Err(HostFailure::ShuttingDown));
    });
}

fn nobody() -> Payers {
    Payers::new("s".parse().unwrap(), [])
}

#[test]
fn a_budget_that_is_too_small_ends_the_call_and_names_the_limit() {
    let fixture = Fixture::new();
    let revision = fixture.host.load(shipped::WEIGHTED).unwrap();
    let call = Budget { fuel: 1_000, ..Budget::default() };
    let budgets = Budgets { call, ..Budgets::default() };
    let image = fixture.host.configure_within(&revision, "{}", budgets).unwrap();
    let report = image.select_hub(&input(64, 1), counting());
    assert_eq!(report.result, Err(CallFailure::Broke(Breakage::OutOfFuel { fuel: 1_000 })));
}

#[test]
fn what_goes_into_a_record_comes_out_of_it() {
    let fixture = Fixture::new();
    let image = fixture.image(shipped::WEIGHTED, "{}");
    let input = input(8, 3);
    let report = image.select_hub(&input, counting());
    let compact = rmp_serde::to_vec(&(&input, &report)).unwrap();
    let (input_again, report_again): (SelectInput, CallReport<Outcome>) = rmp_serde::from_slice(&compact).unwrap();
    assert_eq!((input_again, report_again), (input, report));
}

#[test]
fn the_benchmark_measures_what_it_is_told_to() {
    let fixture = Fixture::new();
    let image = fixture.image(shipped::WEIGHTED, "{}");
    let plan = bench::BenchPlan { hubs: vec![1, 8], threads: vec![1, 2], span: Duration::from_millis(20) };
    let report = bench::measure(&image, &plan).unwrap();
    let measured: Vec<_> = report.rows.iter().map(|row| (row.hubs, row.threads)).collect();
    assert_eq!(measured, [(1, 1), (1, 2), (8, 1), (8, 2)]);
    assert!(report.rows.iter().all(|row| row.decisions > 0 && row.fuel > 0.0 && row.scaling.is_some()));
}

struct Fixture {
    home: Arc<tempfile::TempDir>,
    host: PolicyHost,
}

impl Fixture {
    fn new() -> Self {
        Self::at(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn again(other: &Self) -> Self {
        Self::at(Arc::clone(&other.home))
    }

    fn at(home: Arc<tempfile::TempDir>) -> Self {
        let settings = PolicySettings { workers: 2, ..PolicySettings::new(home.path().join("compiled")) };
        Self { host: PolicyHost::start(settings).unwrap(), home }
    }

    fn image(&self, component: &'static [u8], settings: &str) -> Arc<Image> {
        let revision = self.host.load(component).unwrap();
        self.host.configure(&revision, settings).unwrap()
    }
}

fn input(hubs: u32, seed: u64) -> SelectInput {
    let hub = |number| Hub {
        name: format!("hub-{number}.example.net").into(),
        weight: 1 + number % 5,
        capacity: 1_000,
        location: Some(Location { latitude: 48.1, longitude: 11.6 }),
        labels: [Label { key: "region".into(), value: "eu".into() }].into(),
    };
    SelectInput {
        call: Call {
            decision_id: format!("decision-{seed}"),
            now: 1_767_225_600_000,
            seed,
            catalog_revision: 1,
            attempt: 0,
        },
        device: Arc::new(Device {
            registration_id: format!("device-{seed}"),
            attestation: Attestation::X509,
            enrollment: EnrollmentKind::Group,
            enrollment_id: "group".into(),
            facts: vec![Label { key: "model".into(), value: "px".into() }],
            claims: Vec::new(),
            tags: Vec::new(),
            payload: Some(r#"{"a":1}"#.into()),
            prior: Some(Prior { hub: "old".into(), group_path: vec!["a".into()], since: 5 }),
        }),
        candidates: Candidates::all((0..hubs).map(|number| (hub(number), 10))),
    }
}

/// Counts that differ each time they are asked for.
fn counting() -> Arc<dyn Catalogue> {
    struct Counts(AtomicU64);
    impl GroupCounts for Counts {
        fn group_count(&self, _: &[String]) -> Result<u64, String> {
            Ok(self.0.fetch_add(1, Ordering::SeqCst))
        }
    }
    Arc::new(LiveCatalogue::new(Candidates::all([]), Arc::new(Counts(AtomicU64::new(0)))))
}
