//! `landfall bench registration`: the cost of a full registration, beyond the handshake that every service needs.
//!
//! Two servers run in turns, in one run, on the same accept loop with the same limits:
//!
//! - **baseline**: the chain is verified within the handshake against one root, and every request gets a constant;
//! - **full**: two factors, a policy in a fresh instance, a durable commit, the answer.
//!
//! Both get a new connection for each request, from a load generator that is a process of its own on the same machine.
//! The important figure is the ratio of the two rates: the machine slows both of them equally. The CPU time of the
//! threads shows where the rest is spent.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use clap::Args;
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::{Ambient, SystemClock};
use landfall_domain::enrollment::{Allocation, CertificateAuthority, Group, GroupAttestation, PolicyBinding, Terms};
use landfall_domain::hub::{Connector, Hub, HubState};
use landfall_domain::json::JsonText;
use landfall_domain::names::{Digest, IdScope};
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};
use landfall_store::{ImportBatch, Precondition, Store};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::BenchError;
use super::cpu::{CpuTime, count};
use super::load::{Plan, Seen};
use crate::cli::output::say;
use crate::config::{Config, Server as Addresses, ThrottleLimits};
use crate::folder::DataFolder;
use crate::init;
use crate::listener::{Http, Listener};
use crate::server::Server;
use crate::tls::current::Current;
use crate::tls::{self, Identity};

/// What is measured.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Seconds of load in each turn.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Turns of each server.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Connections at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Devices with certificates of their own; they register again when all have.
    #[arg(long, default_value_t = 4000)]
    devices: usize,
    /// Hubs that the policy chooses among.
    #[arg(long, default_value_t = 64)]
    hubs: usize,
    /// Further manufacturing records in the store.
    #[arg(long, default_value_t = 1000)]
    records: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// The rate of full registrations, divided by the baseline's.
    ratio: f64,
    /// The server's CPU time of a full registration, divided by the baseline's.
    cpu_ratio: f64,
    baseline: Figures,
    full: Figures,
}

/// The figures of one server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    per_second: f64,
    requests: u64,
    errors: u64,
    first_error: Option<String>,
    p50_us: u64,
    p99_us: u64,
    /// The microseconds of the server's CPU time for each request.
    server_cpu_us: f64,
    /// The same by the purpose of the threads.
    server_cpu_us_by: BTreeMap<&'static str, f64>,
}

/// Measures, and prints the result.
pub(super) async fn run(options: Options, json: bool) -> Result<(), BenchError> {
    let ambient = Ambient::system();
    let place = tempfile::tempdir()?;
    let folder = DataFolder::at(place.path().join("landfall-data"));
    let scope: IdScope = "0neBENCH".parse()?;
    let any_port = ([127, 0, 0, 1], 0).into();
    let addresses = Addresses {
        hostname: "localhost".to_owned(),
        scope: scope.clone(),
        device_listen: any_port,
        management_listen: any_port,
    };
    init::init(folder.root(), &addresses, &ambient).await?;
    let mut config = crate::cli::config_to_serve(&folder)?;
    config.limits.throttle = ThrottleLimits::unlimited();
    let factory = Authority::root("Bench Factory CA", ambient.now(), 30)?;
    let devices = make_devices(&factory, &ambient, options.devices)?;
    let server = Server::start(&folder, config.clone(), ambient.clone()).await?;
    fill(&server, &scope, &factory, &devices, options.hubs, options.records).await?;
    let (baseline_addr, stop) = serve_baseline(&folder, &factory, &config).await?;

    let devices: Vec<_> = devices.into_iter().map(|(id, made)| (id, made.certificate_der, made.key_der)).collect();
    let (mut baseline, mut full) = (Vec::new(), Vec::new());
    for turn in 0..options.turns.max(1) {
        for (address, measured) in [(baseline_addr, &mut baseline), (server.device_addr, &mut full)] {
            let plan = Plan {
                address,
                ca: folder.ca_certificate(),
                scope: scope.clone(),
                devices: devices.clone(),
                first: turn * options.devices / options.turns.max(1),
                connections: options.connections,
                seconds: options.seconds,
            };
            measured.push(under_load(place.path(), &plan).await?);
        }
    }
    stop.send_replace(true);
    server.stop().await?;

    let (baseline, full) = (Figures::of(baseline), Figures::of(full));
    let report = Report {
        ratio: full.per_second / baseline.per_second,
        cpu_ratio: full.server_cpu_us / baseline.server_cpu_us,
        baseline,
        full,
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, &options);
    }
    Ok(())
}

/// One turn: the load generator runs, and this process, which is the server, measures its own CPU time.
async fn under_load(place: &Path, plan: &Plan) -> Result<(Seen, CpuTime, CpuTime), BenchError> {
    let file = place.join("plan.json");
    std::fs::write(&file, serde_json::to_vec(plan)?)?;
    let child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["bench", "load"])
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let before = CpuTime::now()?;
    let output = child.wait_with_output().await?;
    let after = CpuTime::now()?;
    if !output.status.success() {
        return Err(BenchError::Load(output.status.to_string()));
    }
    Ok((serde_json::from_slice(&output.stdout)?, before, after))
}

impl Figures {
    fn of(turns: Vec<(Seen, CpuTime, CpuTime)>) -> Self {
        let mut latencies: Vec<u64> = turns.iter().flat_map(|(seen, ..)| seen.latencies_us.iter().copied()).collect();
        latencies.sort_unstable();
        let good: u64 = turns.iter().map(|(seen, ..)| seen.good).sum();
        let mut by = BTreeMap::<_, f64>::new();
        for (seen, before, after) in &turns {
            for (purpose, micros) in after.since(before, 1) {
                *by.entry(purpose).or_default() += micros / count(good.max(1));
            }
            let _ = seen;
        }
        Self {
            per_second: count(good) / turns.iter().map(|(seen, ..)| seen.seconds).sum::<f64>(),
            requests: good,
            errors: turns.iter().map(|(seen, ..)| seen.bad).sum(),
            first_error: turns.iter().find_map(|(seen, ..)| seen.first_bad.clone()),
            p50_us: percentile(&latencies, 50),
            p99_us: percentile(&latencies, 99),
            server_cpu_us: by.values().sum(),
            server_cpu_us_by: by,
        }
    }
}

pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

pub(super) fn make_devices(
    factory: &Authority,
    ambient: &Ambient,
    count: usize,
) -> Result<Vec<(String, Issued)>, BenchError> {
    let now = ambient.now();
    let made = (0..count).map(|number| {
        let id = format!("bench-{number:06}");
        let issued = factory.device(&id, now, 30)?;
        Ok((id, issued))
    });
    made.collect()
}

/// The same listener. It answers with a constant if the client's chain verifies to the root.
async fn serve_baseline(
    folder: &DataFolder,
    factory: &Authority,
    config: &Config,
) -> Result<(std::net::SocketAddr, watch::Sender<bool>), BenchError> {
    let identity = Identity::load(&folder.server_certificate(), &folder.server_key())?;
    let tls = tls::for_baseline(&Current::new(identity)?, factory.certificate_der.clone().into())?;
    let socket = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = socket.local_addr()?;
    let router = Router::new().fallback(|| async { r#"{"status":"assigned"}"# });
    let (stop, stopping) = watch::channel(false);
    let limits = config.limits.listener.clone();
    let http = Http::new(router);
    tokio::spawn(Listener::new(socket, tls, http, limits, std::sync::Arc::new(SystemClock)).serve(stopping));
    Ok((address, stop))
}

/// Fills the store with what operators and manufacturers would have written.
pub(super) async fn fill(
    server: &Server,
    scope: &IdScope,
    factory: &Authority,
    devices: &[(String, Issued)],
    hubs: usize,
    records: usize,
) -> Result<(), BenchError> {
    let (kept, now): (&dyn Store, _) = (&**server.service.store(), server.service.ambient().now());
    for number in 0..hubs {
        let hub = Hub {
            name: format!("hub-{number:03}.bench.example").parse()?,
            weight: 1 + u32::try_from(number % 7).unwrap_or_default(),
            capacity: 1 << 40,
            location: None,
            labels: BTreeMap::new(),
            state: HubState::Active,
            connector: Connector::None,
        };
        kept.put_hub(scope, hub, Precondition::Any).await?;
    }
    let authority = CertificateAuthority {
        name: "factory".parse()?,
        der: factory.certificate_der.clone(),
        verified: true,
        verification_code: None,
        created_at: now,
        updated_at: now,
    };
    kept.put_authority(scope, authority, Precondition::Any).await?;
    let policy = |plugin: &str, settings| -> Result<PolicyBinding, BenchError> {
        Ok(PolicyBinding { plugin: plugin.parse()?, revision: None, settings: JsonText::of(&settings) })
    };
    let placed = json!({ "rules": [{ "group": ["{fact.site}"], "desired": { "telemetry": { "seconds": 60 } } }] });
    let allocation = Allocation {
        selection: policy("weighted", json!({}))?,
        fallback: None,
        grouping: vec![policy("table", placed)?],
    };
    let terms = Terms::with_policies(allocation, now);
    let attestation = GroupAttestation::X509Authorities { primary: "factory".parse()?, secondary: None };
    kept.put_group(scope, Group { id: "bench".parse()?, attestation, terms }, Precondition::Any).await?;

    let record = |id: &str, digest: Option<Digest>| -> Result<ManufacturingRecord, BenchError> {
        Ok(ManufacturingRecord {
            registration_id: id.parse()?,
            manufacturer: "bench".parse()?,
            state: RecordState::Active,
            evidence: Evidence { certificate_sha256: digest, ..Evidence::default() },
            facts: BTreeMap::from([("site".to_owned(), "oslo".to_owned())]),
            imported_at: now,
            updated_at: now,
            claim: None,
        })
    };
    let known = devices.iter().map(|(id, made)| record(id, Some(Digest::of(&made.certificate_der))));
    let others = (0..records).map(|number| record(&format!("other-{number:08}"), None));
    let rows: Result<Vec<_>, _> = known.chain(others).collect();
    for rows in rows?.chunks(10_000) {
        let batch = ImportBatch {
            scope: scope.clone(),
            manufacturer: "bench".parse()?,
            quota: None,
            rows: rows.to_vec(),
            all_or_nothing: false,
            dry_run: false,
            drop_evidence: false,
        };
        kept.import_batch(batch).await?;
    }
    server.service.catalogue().reload().await?;
    server.service.warm_up().await;
    Ok(())
}

fn print(report: &Report, options: &Options) {
    say!(
        "{} turns of {} s each, {} connections at once, a new one for each request, {} hubs, {} devices\n",
        options.turns,
        options.seconds,
        options.connections,
        options.hubs,
        options.devices
    );
    for (name, figures) in [
        ("baseline (chain verified in the handshake, constant answer)", &report.baseline),
        ("full registration", &report.full),
    ] {
        say!("{name}");
        say!(
            "  {:.0} a second; p50 {} µs, p99 {} µs; {} errors",
            figures.per_second,
            figures.p50_us,
            figures.p99_us,
            figures.errors
        );
        if let Some(error) = &figures.first_error {
            say!("  the first error: {error}");
        }
        let by: Vec<String> =
            figures.server_cpu_us_by.iter().map(|(purpose, micros)| format!("{purpose} {micros:.0}")).collect();
        say!("  server CPU {:.0} µs a request ({})", figures.server_cpu_us, by.join(", "));
    }
    say!("\nratio of the rates {:.2}, of the server's CPU time {:.2}", report.ratio, report.cpu_ratio);
}
