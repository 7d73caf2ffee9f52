//! `kill -9`: a process that owns a database is killed at any moment, over and over, and everything that it had
//! acknowledged must be there.
//!
//! What was acknowledged is written down by *another* process, line by line, and flushed: the killed one cannot lose
//! it. A [`Load`] is what keeps the victim busy and hears its answers: [`victim::Child`] has a child process write
//! to a [`RedbStore`] and say over a pipe what was acknowledged; load over the network is another one.

pub mod acknowledged;
pub mod server;
pub mod victim;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use landfall_domain::clock::Stopwatch;
use landfall_domain::names::IdScope;
use landfall_domain::registration::Registration;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{Page, RegistrationFilter, RegistrationStore as _, StoreError, Upkeep as _};

use self::acknowledged::{Acknowledged, Log};
use crate::chance::Chance;

/// What keeps a victim busy until it is killed.
pub trait Load {
    /// Starts the victim on a data folder, works it, and adds every acknowledged registration to the log; kills it
    /// with `SIGKILL` after so long, and returns once no more answers can come.
    ///
    /// # Errors
    ///
    /// When the victim could not be started or killed, or ended by itself: a sentence for people.
    fn work_and_kill(&mut self, cycle: u64, folder: &Path, log: &mut Log, after: Duration) -> Result<(), String>;
}

/// How often to kill, and when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often.
    pub cycles: u64,
    /// What the moments are drawn from.
    pub seed: u64,
    /// The shortest life.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often the victim was killed.
    pub kills: u64,
    /// How many registrations had been acknowledged in the end.
    pub acknowledged: u64,
    /// The longest that opening the database took after a kill.
    pub slowest_opening: Duration,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// Kills the victim as often as planned, and checks it each time. A data folder lives through `LIVES` kills, so that
/// checking all that it holds stays quick.
///
/// # Errors
///
/// When the load or the file system failed; what did not hold is in the report.
pub fn run(plan: &Plan, load: &mut impl Load) -> Result<Report, String> {
    let mut chance = Chance::new(plan.seed);
    let mut total = Report::default();
    while total.kills < plan.cycles && total.violations.is_empty() {
        let lives = LIVES.min(plan.cycles - total.kills);
        run_folder(plan, lives, load, &mut chance, &mut total)?;
    }
    Ok(total)
}

fn run_folder(
    plan: &Plan,
    lives: u64,
    load: &mut impl Load,
    chance: &mut Chance,
    total: &mut Report,
) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (folder, log_path) = (place.path().join("data"), place.path().join("acknowledged"));
    std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
    let mut log = Log::create(&log_path).map_err(|e| e.to_string())?;
    let shortest = plan.shortest.as_micros().try_into().unwrap_or(0);
    let longest = plan.longest.as_micros().try_into().unwrap_or(u64::MAX);
    let mut acknowledged = 0;
    for life in 0..lives {
        load.work_and_kill(life, &folder, &mut log, Duration::from_micros(chance.between(shortest, longest)))?;
        log.flush().map_err(|e| e.to_string())?;
        let report = verify(&folder, &log_path)?;
        total.kills += 1;
        acknowledged = report.acknowledged;
        total.slowest_opening = total.slowest_opening.max(report.slowest_opening);
        let found = report.violations.into_iter().map(|violation| format!("kill {}: {violation}", total.kills));
        total.violations.extend(found);
        if !total.violations.is_empty() {
            break;
        }
    }
    total.acknowledged += acknowledged;
    Ok(())
}

/// Opens a killed process's database and compares it with what was acknowledged.
///
/// For each registration the last acknowledged state must stand, or a later one: one that was on its way to the disk
/// when the process died. All counts must be those of what is there.
///
/// # Errors
///
/// When the log cannot be read. A database that cannot be opened or read is a violation.
pub fn verify(data_folder: &Path, acknowledged_log: &Path) -> Result<Report, String> {
    let log = acknowledged::read(acknowledged_log)?;
    let mut report = Report { acknowledged: log.len().try_into().unwrap_or(u64::MAX), ..Report::default() };
    let database = data_folder.join("landfall.redb");
    // A process that was killed at once may not have made one.
    if log.is_empty() && !database.exists() {
        return Ok(report);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    let begun = Stopwatch::system();
    // It may have been killed before it had made the database.
    let settings = StoreSettings { create: true, ..StoreSettings::default() };
    let store = match RedbStore::open(&database, settings) {
        Ok(store) => store,
        Err(error) => {
            report.violations.push(error.to_string());
            return Ok(report);
        }
    };
    report.slowest_opening = begun.elapsed();
    let checked = runtime.block_on(async {
        let findings = store.check().await?;
        report.violations.extend(findings.iter().map(ToString::to_string));
        compare(&store, &log, &mut report.violations).await?;
        store.close().await
    });
    if let Err(error) = checked {
        report.violations.push(error.to_string());
    }
    Ok(report)
}

async fn compare(store: &RedbStore, log: &[Acknowledged], violations: &mut Vec<String>) -> Result<(), StoreError> {
    let mut last: BTreeMap<(&IdScope, &str), &Acknowledged> = BTreeMap::new();
    for line in log {
        let known = last.entry((&line.scope, line.registration_id.key())).or_insert(line);
        if line.generation > known.generation {
            *known = line;
        }
    }
    let mut stored: BTreeMap<(IdScope, String), Registration> = BTreeMap::new();
    let scopes: std::collections::BTreeSet<&IdScope> = log.iter().map(|line| &line.scope).collect();
    for scope in scopes {
        let mut page = Page { after: None, limit: 1_000 };
        loop {
            let listing = store.registrations(scope, page.clone(), RegistrationFilter::default()).await?;
            for registration in listing.items {
                stored.insert((scope.clone(), registration.registration_id.key().to_owned()), registration);
            }
            match listing.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
    }
    for ((scope, id), line) in last {
        match stored.get(&(scope.clone(), id.to_owned())) {
            None => violations.push(format!("the acknowledged registration of {id} is lost")),
            Some(stands) if stands.generation < line.generation => {
                violations.push(format!("{id} fell back from state {} to {}", line.generation, stands.generation));
            }
            Some(stands) if stands.generation == line.generation && !line.is(stands) => {
                violations.push(format!("{id} is not as it was acknowledged"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// How many kills a data folder lives through.
const LIVES: u64 = 20;
