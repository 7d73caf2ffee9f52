//! `landfall store`.

use clap::Subcommand;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{Findings, Unused, Upkeep};
use serde_json::{Value, json};

use super::output::text;
use super::{CliError, Common};

/// What can be done with the database.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Read all of the database and say what contradicts itself, and what nothing names. Ends with 1 when anything
    /// contradicts itself. The server may run.
    Check {
        /// Make all counts, and what keys and enrollments hold, again from what is there. The server must not run.
        #[arg(long)]
        repair: bool,
    },
    /// Remove what nothing names, and give the free room in the file back to the disk. The server must not run.
    Compact,
}

pub(super) async fn run(common: &Common, command: StoreCommand) -> Result<(), CliError> {
    let path = common.folder().database();
    let in_use = RedbStore::in_use(&path);
    let stop = |what: &str| CliError::Failed(format!("{} is in use: stop the server, then {what}", path.display()));
    match command {
        StoreCommand::Check { repair: false } if in_use => {
            let mut session = common.session()?;
            print_answer(common, &session.api.get("/store/check").await?)
        }
        StoreCommand::Check { repair: true } if in_use => Err(stop("landfall store check --repair")),
        StoreCommand::Check { repair } => {
            let store = open(common)?;
            if repair {
                store.repair().await.map_err(failed)?;
            }
            let (findings, unused) = Upkeep::check(&store).await.map_err(failed)?;
            Upkeep::close(&store).await.map_err(failed)?;
            print_answer(common, &found(&findings, unused))
        }
        StoreCommand::Compact if in_use => Err(stop("landfall store compact")),
        StoreCommand::Compact => {
            let size = || std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
            let before = size();
            let removed = open(common)?.compact().await.map_err(failed)?;
            let after = size();
            let text = format!(
                "The database has {} MiB, and had {}. {} decisions and {} contents that nothing named are gone.",
                after >> 20,
                before >> 20,
                removed.decisions,
                removed.contents
            );
            common.output().done(text, &json!({ "bytesBefore": before, "bytes": after, "removed": removed }))
        }
    }
}

/// Opens the database even if its content is inconsistent.
fn open(common: &Common) -> Result<RedbStore, CliError> {
    let path = common.folder().database();
    let settings =
        StoreSettings { take_contradictions: true, bring_up: false, ..common.config()?.offline_store_settings() };
    RedbStore::open(&path, settings).map_err(failed)
}

fn print_answer(common: &Common, answer: &Value) -> Result<(), CliError> {
    let out = common.output();
    let findings = answer.get("findings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for finding in findings.iter().take(MOST_TOLD) {
        out.say(format!("{}: {}", text(finding.get("what")), text(finding.get("detail"))))?;
    }
    let unused = |what: &str| answer.pointer(&format!("/unused/{what}")).and_then(Value::as_u64).unwrap_or_default();
    let (decisions, contents) = (unused("decisions"), unused("contents"));
    let waste = if decisions + contents > 0 {
        format!(
            " {decisions} decisions and {contents} contents ({} KiB) are named by nothing: landfall store compact \
             removes them.",
            unused("bytes") >> 10
        )
    } else {
        String::new()
    };
    let listed = u64::try_from(findings.len()).unwrap_or(u64::MAX);
    let not_listed = answer.get("findingsNotListed").and_then(Value::as_u64).unwrap_or_default();
    let text = match listed.saturating_add(not_listed) {
        0 => format!("The database contradicts itself nowhere.{waste}"),
        more => format!(
            "{more} contradictions. Restore a backup; or have counts and claims made again from what is there: landfall \
             store check --repair.{waste}"
        ),
    };
    out.done(text, answer)?;
    if findings.is_empty() { Ok(()) } else { Err(CliError::Told) }
}

fn found(findings: &Findings, unused: Unused) -> Value {
    json!({ "findings": findings.first, "findingsNotListed": findings.not_listed, "unused": unused })
}

fn failed(error: landfall_store::StoreError) -> CliError {
    CliError::Failed(error.to_string())
}

/// The number of contradictions that are printed one by one for people.
const MOST_TOLD: usize = 50;
