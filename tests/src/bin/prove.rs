//! Proves what Landfall promises, at length.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use landfall_tests::{crash, fuzz, mutations, power, timing};

/// Proves what Landfall promises, at length. Every run prints its seed, and the same seed runs the same.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    promise: Promise,
}

#[derive(Subcommand)]
enum Promise {
    /// Nothing that was acknowledged is lost when the power fails (simulated).
    Power {
        /// How many power failures.
        #[arg(long, default_value_t = 10_000)]
        points: u64,
        /// What everything is drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Let the disk lie about flushing, which must be found out.
        #[arg(long)]
        lying: bool,
        /// Histories at once.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Nothing that was acknowledged is lost when the process that owns the database is killed.
    KillChild {
        /// How often it is killed.
        #[arg(long, default_value_t = 200)]
        cycles: u64,
        /// When it is killed is drawn from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Nothing that a device was told is lost when the real server is killed under load.
    Kill {
        /// How often it is killed.
        #[arg(long, default_value_t = 200)]
        cycles: u64,
        /// When it is killed is drawn from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The server; the `landfall` beside this program when absent.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// The time of a refusal does not tell whether an id is known.
    Timing {
        /// How many requests for each kind of credential.
        #[arg(long, default_value_t = 20_000)]
        requests: usize,
        /// The order is drawn from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Whatever a request says, it gets an answer that is not the server's fault.
    Mutations {
        /// How many requests, over all kinds of credentials.
        #[arg(long, default_value_t = 1_000_000)]
        requests: u64,
        /// How they are changed is drawn from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Whatever a parser of strangers' bytes is given, it reads it or refuses it, soon.
    Fuzz {
        /// Seconds for each parser.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How the inputs are changed is drawn from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The process that `kill-child` kills: registers devices and prints what was acknowledged.
    #[command(hide = true)]
    KillVictim {
        /// Its data folder.
        folder: PathBuf,
        /// Which life of the database this is.
        cycle: u64,
    },
}

fn main() -> ExitCode {
    let held = match Arguments::parse().promise {
        Promise::Power { points, seed, lying, threads } => prove_power(&power::Plan { points, seed, lying, threads }),
        Promise::Kill { cycles, seed, binary } => prove_kill_server(cycles, seed, binary),
        Promise::KillChild { cycles, seed } => prove_kill(cycles, seed),
        Promise::Timing { requests, seed } => prove_timing(requests, seed),
        Promise::Mutations { requests, seed } => prove_mutations(requests, seed),
        Promise::Fuzz { seconds, seed } => prove_fuzz(Duration::from_secs(seconds), seed),
        Promise::KillVictim { folder, cycle } => crash::victim::run(&folder, cycle),
    };
    match held {
        Ok(()) => ExitCode::SUCCESS,
        Err(story) => {
            eprintln!("{story}");
            ExitCode::FAILURE
        }
    }
}

fn prove_power(plan: &power::Plan) -> Result<(), String> {
    if plan.lying {
        // A damaged database may make the store panic; that is caught and counted, and need not be told twice.
        std::panic::set_hook(Box::new(|_| ()));
    }
    let begun = landfall_domain::clock::Stopwatch::system();
    let report = power::run(plan);
    println!(
        "{} power failures ({} with a second one during recovery) in {} histories from seed {}, {:.1} s",
        report.points,
        report.second,
        report.histories,
        plan.seed,
        begun.elapsed().as_secs_f64(),
    );
    println!(
        "{} writes acknowledged; of the transactions under way {} are there and {} are not; {} violations",
        report.acknowledged,
        report.arrived,
        report.vanished,
        report.violations.len(),
    );
    for violation in report.violations.iter().take(MOST_PRINTED) {
        println!("  {violation}");
    }
    match (plan.lying, report.violations.is_empty()) {
        (false, true) | (true, false) => Ok(()),
        (false, false) => Err("acknowledged writes do not survive a power failure".to_owned()),
        (true, true) => Err("the disk lied and nobody noticed: the harness proves nothing".to_owned()),
    }
}

/// Printed and not judged: a busy machine hides differences, and makes some up.
fn prove_timing(requests: usize, seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    for figure in runtime.block_on(timing::measure(requests, seed))? {
        println!(
            "{}: {requests} requests; what is there is told from what is not with an area of {:.3} (0.5 is not at all, \
             the aim is below 0.55); medians {} and {} µs",
            figure.what,
            figure.area,
            figure.known.as_micros(),
            figure.unknown.as_micros(),
        );
    }
    Ok(())
}

fn prove_mutations(requests: u64, seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let begun = landfall_domain::clock::Stopwatch::system();
    let report = runtime.block_on(mutations::send(requests, seed))?;
    let answered: u64 = report.statuses.values().sum();
    let statuses: Vec<String> = report.statuses.iter().map(|(status, count)| format!("{count} of {status}")).collect();
    println!(
        "{answered} changed requests answered from seed {seed}, {:.1} s: {}; {} faults",
        begun.elapsed().as_secs_f64(),
        statuses.join(", "),
        report.faults.len(),
    );
    for fault in report.faults.iter().take(MOST_PRINTED) {
        println!("  {}", fault.escape_debug());
    }
    if report.faults.is_empty() { Ok(()) } else { Err("a request met a fault of the server".to_owned()) }
}

fn prove_fuzz(each: Duration, seed: u64) -> Result<(), String> {
    let reports = fuzz::run(each, seed)?;
    let mut faults = 0;
    for fuzz::Report { target, inputs, read, slowest, faults: found } in &reports {
        println!(
            "{inputs:>9} changed inputs for {target}: {read} read, the others refused, slowest {:.1} ms; {} faults",
            slowest.as_secs_f64() * 1e3,
            found.len(),
        );
        for input in found.iter().take(MOST_PRINTED) {
            println!("  {input}");
        }
        faults += found.len();
    }
    if faults == 0 { Ok(()) } else { Err(format!("{faults} inputs, from seed {seed}, met a fault of a parser")) }
}

fn prove_kill(cycles: u64, seed: u64) -> Result<(), String> {
    let begun = landfall_domain::clock::Stopwatch::system();
    let plan = crash::Plan { cycles, seed, shortest: Duration::from_millis(5), longest: Duration::from_millis(500) };
    let report = crash::run(&plan, &mut crash::victim::Child::of_this_program()?)?;
    println!(
        "{} kills from seed {seed}, {} registrations acknowledged, slowest opening {} ms, {:.1} s; {} violations",
        report.kills,
        report.acknowledged,
        report.slowest_opening.as_millis(),
        begun.elapsed().as_secs_f64(),
        report.violations.len(),
    );
    for violation in report.violations.iter().take(MOST_PRINTED) {
        println!("  {violation}");
    }
    if report.violations.is_empty() { Ok(()) } else { Err("acknowledged writes do not survive a kill".to_owned()) }
}

fn prove_kill_server(cycles: u64, seed: u64, binary: Option<PathBuf>) -> Result<(), String> {
    let beside = || std::env::current_exe().map(|program| program.with_file_name("landfall"));
    let binary = binary.map_or_else(beside, Ok).map_err(|error| error.to_string())?;
    let mut server = crash::server::RealServer::new(&binary, DEVICES)?;
    let plan = crash::Plan { cycles, seed, shortest: Duration::from_millis(5), longest: Duration::from_millis(500) };
    let begun = landfall_domain::clock::Stopwatch::system();
    let report = crash::run(&plan, &mut server)?;
    println!(
        "{} kills of {} under load from seed {seed}, {} registrations acknowledged, {:.1} s; {} violations",
        report.kills,
        binary.file_name().unwrap_or_default().display(),
        report.acknowledged,
        begun.elapsed().as_secs_f64(),
        report.violations.len(),
    );
    println!("slowest first answer after a start: {} ms", server.slowest_first_answer.as_millis());
    for violation in report.violations.iter().take(MOST_PRINTED) {
        println!("  {violation}");
    }
    if report.violations.is_empty() { Ok(()) } else { Err("what devices were told does not survive a kill".to_owned()) }
}

/// Devices that register with the real server.
const DEVICES: usize = 2_000;

/// One violation is reason enough; more help to find the cause.
const MOST_PRINTED: usize = 20;
