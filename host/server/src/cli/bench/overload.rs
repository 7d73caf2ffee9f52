//! `landfall bench overload`: honest devices during an attack, on this machine alone.
//!
//! A server listens on a loopback address of its own. A process beside it attacks it and registers honest devices, from
//! the attacker's network and from another one. Everything is bounded: the connections, the time, and the addresses,
//! which are always in 127.0.0.0/8.

use std::path::Path;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_domain::names::IdScope;
use serde::{Deserialize, Serialize};

use super::registration::{fill, make_devices, percentile};
use super::{BenchError, attack};
use crate::cli::output::say;
use crate::config::Server as Addresses;
use crate::folder::DataFolder;
use crate::init;
use crate::server::Server;

/// What is measured.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The attacks; all of them when absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    attacks: Vec<attack::Kind>,
    /// Seconds of each attack.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The attacker's connections.
    #[arg(long, default_value_t = 1_250, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    connections: u16,
    /// The networks (/24) that it has.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    networks: u8,
    /// Honest devices that come each second, to each of the two networks.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=200))]
    rate: u64,
}

/// What honest devices experienced during one attack.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fared {
    attack: String,
    /// The number of the attacker's attempts.
    attempts: u64,
    elsewhere: Honest,
    same_network: Honest,
}

/// The honest devices of one network.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Honest {
    devices: u64,
    failed: u64,
    first_failure: Option<String>,
    p50_us: u64,
    p99_us: u64,
}

impl Honest {
    fn of(mut seen: attack::Seen) -> Self {
        seen.latencies_us.sort_unstable();
        Self {
            devices: seen.good.saturating_add(seen.bad),
            failed: seen.bad,
            first_failure: seen.first_bad,
            p50_us: percentile(&seen.latencies_us, 50),
            p99_us: percentile(&seen.latencies_us, 99),
        }
    }
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
    // The floods try passwords too.
    config.passwords.enabled = true;
    let factory = Authority::root("Bench Factory CA", ambient.now(), 30)?;
    // The attacker's own authority, with the same name: what it signs names the factory's key.
    let forger = Authority::root("Bench Factory CA", ambient.now(), 30)?;
    let devices = make_devices(&factory, &ambient, DEVICES)?;
    let server = Server::start(&folder, config, ambient.clone()).await?;
    fill(&server, &scope, &factory, &devices, HUBS, 0).await?;
    let known =
        |(id, made): (String, landfall_attestation::x509::make::Issued)| (id, made.certificate_der, made.key_der);
    let devices: Vec<_> = devices.into_iter().map(known).collect();
    let forged = known(("bench-000000".to_owned(), forger.device("bench-000000", ambient.now(), 30)?));

    let all: Vec<attack::Kind> = attack::Kind::all();
    let attacks = if options.attacks.is_empty() { all } else { options.attacks.clone() };
    let mut fared = Vec::new();
    for kind in attacks {
        let plan = attack::Plan {
            kind,
            address: server.device_addr,
            ca: folder.ca_certificate(),
            scope: scope.clone(),
            devices: devices.clone(),
            forged: forged.clone(),
            seconds: options.seconds,
            connections: options.connections,
            networks: options.networks,
            rate: options.rate,
        };
        let attack::Report { attempts, elsewhere, same_network } = beside(place.path(), &plan).await?;
        let (elsewhere, same_network) = (Honest::of(elsewhere), Honest::of(same_network));
        fared.push(Fared { attack: kind.to_string(), attempts, elsewhere, same_network });
    }
    server.stop().await?;
    if json {
        say!("{}", serde_json::to_string_pretty(&fared)?);
    } else {
        print(&fared, &options);
    }
    Ok(())
}

/// Runs one attack, in a process of its own.
async fn beside(place: &Path, plan: &attack::Plan) -> Result<attack::Report, BenchError> {
    let file = place.join("attack.json");
    std::fs::write(&file, serde_json::to_vec(plan)?)?;
    let child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["bench", "attack"])
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(BenchError::Load(output.status.to_string()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn print(fared: &[Fared], options: &Options) {
    say!(
        "{} connections of an attacker with {} networks, {} s each; beside it {} honest devices a second, each on a new \
         connection, from one of its networks and from another\n",
        options.connections,
        options.networks,
        options.seconds,
        options.rate
    );
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "ATTACK",
        "ATTEMPTS",
        "ELSEWHERE: P50",
        "P99",
        "FAILED",
        "SAME NETWORK: P50",
        "P99",
        "FAILED",
    ]);
    let millis = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    let failed = |honest: &Honest| format!("{} of {}", honest.failed, honest.devices);
    for row in fared {
        table.add_row([
            row.attack.clone(),
            row.attempts.to_string(),
            millis(row.elsewhere.p50_us),
            millis(row.elsewhere.p99_us),
            failed(&row.elsewhere),
            millis(row.same_network.p50_us),
            millis(row.same_network.p99_us),
            failed(&row.same_network),
        ]);
    }
    say!("{table}");
    for row in fared {
        for (whose, honest) in [("elsewhere", &row.elsewhere), ("in its network", &row.same_network)] {
            if let Some(failure) = &honest.first_failure {
                say!("\n{}, {whose}, the first failure: {failure}", row.attack);
            }
        }
    }
}

/// The number of honest devices. They register again when all of them have registered.
const DEVICES: usize = 500;
const HUBS: usize = 8;
