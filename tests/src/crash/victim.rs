//! A victim that is nothing but the store: it registers devices as fast as it can.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::{Ambient, Clock as _, SystemClock};
use landfall_domain::decision::Entry;
use landfall_domain::names::TrackingId;
use landfall_domain::registration::Registration;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{
    AdmissionBasis, CommitOutcome, HubStore as _, Precondition, RegistrationCommit, RegistrationStore as _,
};
use tokio::task::JoinSet;

use super::Load;
use super::acknowledged::{Acknowledged, Log};
use crate::power::things;

/// A child process of this program that runs [`run`].
#[derive(Debug)]
pub struct Child {
    program: PathBuf,
}

impl Child {
    /// The program that runs now.
    ///
    /// # Errors
    ///
    /// When its file cannot be found.
    pub fn of_this_program() -> Result<Self, String> {
        std::env::current_exe().map(|program| Self { program }).map_err(|e| e.to_string())
    }
}

impl Load for Child {
    fn work_and_kill(&mut self, cycle: u64, folder: &Path, log: &mut Log, after: Duration) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut child = Command::new(&self.program)
            .arg("kill-victim")
            .arg(folder)
            .arg(cycle.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(text)?;
        let output = child.stdout.take().ok_or("the victim has no output")?;
        let deadline = SystemClock.instant() + after;
        let (killed, heard) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                std::thread::sleep(deadline.saturating_duration_since(SystemClock.instant()));
                // SIGKILL on Unix.
                child.kill()?;
                child.wait()
            });
            let heard = listen(BufReader::new(output), log);
            (killer.join(), heard)
        });
        heard.map_err(text)?;
        let status = killed.map_err(|_| "the killer panicked")?.map_err(text)?;
        match status.code() {
            // Ended by a signal.
            None => Ok(()),
            Some(code) => Err(format!("the victim ended by itself with code {code}")),
        }
    }
}

/// Writes down every whole line; the last one may be cut off.
fn listen(mut output: impl BufRead, log: &mut Log) -> std::io::Result<()> {
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some(acknowledged) = line.strip_suffix('\n').and_then(Acknowledged::from_line) {
            log.add(&acknowledged)?;
        }
        line.clear();
    }
    Ok(())
}

/// Registers devices until it is killed: new ones and, in turn, those of before.
///
/// # Errors
///
/// When the store does not do as it must.
pub fn run(folder: &Path, cycle: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let settings = StoreSettings { create: true, ..StoreSettings::default() };
        let store = RedbStore::open(&folder.join("landfall.redb"), settings);
        let store = Arc::new(store.map_err(|e| e.to_string())?);
        for name in things::HUBS {
            let hub = things::hub(name, u64::MAX);
            store.put_hub(&things::scope(), hub, Precondition::Any).await.map_err(|e| e.to_string())?;
        }
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(register(Arc::clone(&store), cycle, task));
        }
        match tasks.join_next().await {
            Some(Ok(Err(story))) => Err(story),
            _ => Err("a task ended".to_owned()),
        }
    })
}

async fn register(store: Arc<RedbStore>, cycle: u64, task: u64) -> Result<(), String> {
    let ambient = Ambient::system();
    for number in 0_u64.. {
        // Every third is a device of an earlier life, if there was one.
        let life = if number % 3 == 2 { cycle.saturating_sub(1) } else { cycle };
        let id = format!("device-{life}-{task}-{number}");
        let before = store.registration(&things::scope(), &things::name(&id)).await.map_err(|e| e.to_string())?;
        let written = commit(&store, &ambient, &id, number, before).await?;
        let mut line = Acknowledged::of(&things::scope(), &written).to_line();
        line.push('\n');
        std::io::stdout().lock().write_all(line.as_bytes()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

async fn commit(
    store: &RedbStore,
    ambient: &Ambient,
    id: &str,
    number: u64,
    before: Option<Registration>,
) -> Result<Registration, String> {
    let decision = TrackingId::new(ambient.now(), ambient.random());
    let hubs = things::HUBS;
    let hub = hubs.get(usize::try_from(number).unwrap_or(0) % hubs.len()).copied();
    let entry = Entry { tracking_id: decision, ..things::entry(number, id, "registered") };
    let expected = before.as_ref().map(Registration::version);
    let registration = Registration { decision, ..things::registration(number, id, hub, &["site".to_owned()]) };
    let commit = RegistrationCommit {
        scope: things::scope(),
        registration,
        expected,
        record: None,
        basis: AdmissionBasis::default(),
        answered: None,
        entry,
        contents: Vec::new(),
    };
    match store.commit_registration(commit).await.map_err(|e| e.to_string())? {
        CommitOutcome::Committed(written) => Ok(*written),
        other => Err(format!("{id} was not taken: {other:?}")),
    }
}

/// Registrations at once.
const TASKS: u64 = 16;
