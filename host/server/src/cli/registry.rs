//! `landfall registry`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use landfall_domain::names::{ManufacturerId, RegistrationId};
use serde_json::{Value, json};

use super::output::text;
use super::{CliError, Common};
use crate::client::FileUpload;
use crate::client::management::{ManagementError, escaped};

/// What can be done with manufacturing records.
#[derive(Debug, Subcommand)]
pub(super) enum RegistryCommand {
    /// Import records from a file of JSON Lines or CSV.
    Import(ImportArgs),
    /// Show the record of one device.
    Show {
        /// The registration id.
        id: RegistrationId,
    },
    /// List the manufacturing records.
    List(ListArgs),
    /// Change the state of a record.
    State {
        /// The registration id.
        id: RegistrationId,
        /// The new state.
        state: StateName,
    },
}

/// What `registry import` takes.
#[derive(Debug, Args)]
#[command(after_help = r#"A line of JSON:
  {"registrationId": "pump-7", "certificateSha256": "...", "facts": {"model": "x2"}}

Examples:
  landfall registry import records.jsonl --token-file acme.token
  landfall registry import records.csv --manufacturer acme --all-or-nothing
  landfall registry import records.csv --manufacturer acme --dry-run
  gunzip -c records.jsonl.gz | landfall registry import - --format jsonl --token-file acme.token

A CSV file names its columns in line 1: registrationId, certificateSha256, publicKeySha256, certificateIssuer,
certificateSerial, endorsementKeySha256, endorsementCertificate, tokenIssuer, tokenSubject. Any other column is a fact of
that name. Commas, semicolons, tabs or vertical bars separate fields; the file is UTF-8. docs/operating/import.md says more.

Importing a file twice changes nothing. It ends with 1 when a row was refused."#)]
pub(super) struct ImportArgs {
    /// The file; - is standard input.
    file: PathBuf,
    /// What the file is; by default as its name ends.
    #[arg(long)]
    format: Option<Format>,
    /// Whose records they are; a manufacturer's own token says it already.
    #[arg(long, value_name = "M")]
    manufacturer: Option<ManufacturerId>,
    /// Import nothing when any row is refused, or when the server or its machine stops in the middle: all rows are one
    /// transaction. Nobody else writes during it, so that the file has at most limits.management.import_whole_rows rows.
    #[arg(long)]
    all_or_nothing: bool,
    /// Say what would be imported, and import nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take evidence away from records whose rows leave it out. Without this it stays: a file without certificateSha256 does
    /// not let in any other certificate.
    #[arg(long)]
    drop_evidence: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values (or by ; | or tabs), the first line naming the columns.
    Csv,
}

/// What `registry list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those in this state.
    #[arg(long)]
    state: Option<StateName>,
    /// Only those of this manufacturer.
    #[arg(long, value_name = "M")]
    manufacturer: Option<ManufacturerId>,
    /// Only those whose registration id begins so.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StateName {
    /// Its device may be provisioned.
    Active,
    /// Its device is refused while somebody looks into it.
    Quarantined,
    /// Its device is never provisioned again.
    Retired,
}

impl StateName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }
}

pub(super) async fn run(common: &Common, command: RegistryCommand) -> Result<(), CliError> {
    match command {
        RegistryCommand::Import(args) => import(common, args).await,
        RegistryCommand::List(args) => list(common, &args).await,
        RegistryCommand::Show { id } => {
            let mut session = common.session()?;
            let answer = session.api.get(&session.path(&["records", id.as_str()])).await?;
            session.out.details(&answer)
        }
        RegistryCommand::State { id, state } => {
            if state == StateName::Retired {
                common.sure(&format!("{id} is retired for ever: no command makes it active again."))?;
            }
            let mut session = common.session()?;
            let path = session.path(&["records", id.as_str(), "state"]);
            let answer = session.api.put(&path, &json!({ "state": state.as_str() })).await?;
            session.out.done(format!("{id} is {}.", state.as_str()), &answer)
        }
    }
}

async fn import(common: &Common, args: ImportArgs) -> Result<(), CliError> {
    let ImportArgs { file, format, manufacturer, all_or_nothing, dry_run, drop_evidence } = args;
    let piped = file == Path::new("-");
    let content_type = match format.or_else(|| format_of(&file)) {
        Some(Format::Jsonl) => "application/x-ndjson",
        Some(Format::Csv) => "text/csv",
        None if piped => {
            let text = "say what standard input is: --format jsonl or --format csv";
            return Err(CliError::Usage(text.to_owned()));
        }
        None if is_spreadsheet(&file) => {
            let text =
                format!("{} is a spreadsheet; save the sheet as CSV, with the character set UTF-8", file.display());
            return Err(CliError::Usage(text));
        }
        None => {
            let text = format!("{} ends neither in .jsonl nor in .csv; add --format jsonl or csv", file.display());
            return Err(CliError::Usage(text));
        }
    };
    let mut session = common.session()?;
    let out = session.out;
    // The server is told the size beforehand, so input from a pipe is stored until it ends.
    let kept = if piped { Some(standard_input()?) } else { None };
    let path = kept.as_ref().map_or(file.as_path(), |kept| kept.path());
    let upload = FileUpload::open(path).await.map_err(|source| CliError::Read { path: file.clone(), source })?;
    let bar = progress_bar(upload.left(), out.is_json());
    let upload = upload.telling({
        let bar = bar.clone();
        move |bytes| bar.inc(bytes)
    });
    let whose = manufacturer.map(|m| format!("&manufacturer={}", escaped(m.as_str()))).unwrap_or_default();
    let records = session.path(&["records"]);
    let how = format!("allOrNothing={all_or_nothing}&dryRun={dry_run}&dropEvidence={drop_evidence}");
    let path = format!("{records}?{how}{whose}");
    let answer = session.api.upload(Method::POST, &path, content_type, upload).await;
    bar.finish_and_clear();
    let answer = answer.map_err(|error| match error {
        ManagementError::Client(_) => CliError::Failed(format!("{error}\n{}", after_a_break(all_or_nothing, dry_run))),
        other => other.into(),
    })?;
    out.value(&answer)?;
    if dry_run {
        out.say("A dry run: nothing was imported.")?;
    }
    out.say(summary(&answer, all_or_nothing && !dry_run))?;
    let stopped = answer.get("stopped").and_then(Value::as_str);
    if let Some(why) = stopped {
        out.say(format!("The import stopped: {why}"))?;
    }
    let refused = answer.get("refused").and_then(Value::as_u64).unwrap_or_default() > 0;
    if refused || stopped.is_some() { Err(CliError::Told) } else { Ok(()) }
}

async fn list(common: &Common, args: &ListArgs) -> Result<(), CliError> {
    let mut session = common.session()?;
    let filters = [
        ("state", args.state.map(StateName::as_str)),
        ("manufacturer", args.manufacturer.as_ref().map(ManufacturerId::as_str)),
        ("prefix", args.prefix.as_deref()),
    ];
    let given = filters.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", escaped(value?))));
    let query: Vec<String> = given.collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let path = format!("{}{mark}{}", session.path(&["records"]), query.join("&"));
    let page = session.api.list(&path, args.limit).await?;
    let columns = [
        ("registration id", "/registrationId"),
        ("manufacturer", "/manufacturer"),
        ("state", "/state"),
        ("claimed by", "/claimedBy/manufacturer"),
        ("facts", "/facts"),
        ("updated", "/updatedAt"),
    ];
    session.out.list(&page, &columns, "No record is there; import some with: landfall registry import FILE")
}

/// Stores standard input in a file that nobody else can read, and that is deleted when it is dropped.
fn standard_input() -> Result<tempfile::NamedTempFile, CliError> {
    let failed = |source| CliError::Read { path: "standard input".into(), source };
    let mut kept = tempfile::NamedTempFile::new().map_err(failed)?;
    std::io::copy(&mut std::io::stdin().lock(), &mut kept).map_err(failed)?;
    Ok(kept)
}

/// What is known about an import whose answer did not arrive.
fn after_a_break(all_or_nothing: bool, dry_run: bool) -> &'static str {
    match (dry_run, all_or_nothing) {
        (true, _) => "Nothing was imported: it was a dry run.",
        (false, true) => {
            "All rows of the file were imported, or none. Run the same command again: rows that are there already change \
             nothing."
        }
        (false, false) => {
            "Rows that were written before stay. Run the same command again: rows that are there already change nothing."
        }
    }
}

/// What an import did, and the rows that it refused.
fn summary(answer: &Value, all_or_nothing: bool) -> String {
    let count = |key: &str| text(answer.get(key));
    let written = answer.get("written").and_then(Value::as_bool).unwrap_or(false);
    let (unchanged, refused) = (count("unchanged"), count("refused"));
    let mut lines = vec![if written {
        format!("{} added, {} updated, {unchanged} unchanged, {refused} refused", count("added"), count("updated"))
    } else {
        let (added, updated) = (count("wouldBeAdded"), count("wouldBeUpdated"));
        format!(
            "0 written: {refused} refused, {added} would be added, {updated} would be updated, {unchanged} unchanged"
        )
    }];
    let errors = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(
        errors.iter().map(|error| format!("  line {}: {}", text(error.get("line")), text(error.get("reason")))),
    );
    let left = answer.get("errorsNotListed").and_then(Value::as_u64).unwrap_or_default();
    if left > 0 {
        lines.push(format!("  and {left} more that are not listed"));
    }
    let of_others = answer.get("ofOthers").and_then(Value::as_u64).unwrap_or_default();
    if of_others > 0 {
        let told = if written { "; the operator is told, and decides whose they are" } else { "" };
        lines.push(format!("{of_others} of them name devices that another manufacturer has{told}"));
    }
    lines.extend(left_out(answer, written));
    if all_or_nothing && !written {
        lines.push("Nothing was imported, because of --all-or-nothing.".to_owned());
    }
    lines.join("\n")
}

/// What happened, or would happen, to evidence that the rows leave out.
fn left_out(answer: &Value, written: bool) -> Option<String> {
    let left_out = answer.get("evidenceLeftOut")?;
    let rows = left_out.get("rows").and_then(Value::as_u64).unwrap_or_default();
    let members = left_out.get("members").and_then(Value::as_object).into_iter().flatten();
    let members: Vec<String> = members.map(|(member, count)| format!("{member} of {count}")).collect();
    let (members, dropped) = (members.join(", "), left_out.get("dropped").and_then(Value::as_bool).unwrap_or_default());
    let what = format!("{rows} rows leave out evidence that their records have ({members})");
    Some(match (dropped, written) {
        (true, true) => format!("{what}: the records have it no more, as --drop-evidence says"),
        (true, false) => format!("{what}: the records would lose it, as --drop-evidence says"),
        (false, _) => format!("{what}: it stays there; --drop-evidence takes it away"),
    })
}

fn format_of(file: &Path) -> Option<Format> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "csv" | "tsv" => Some(Format::Csv),
        _ => None,
    }
}

fn is_spreadsheet(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["xlsx", "xlsm", "xls", "ods", "numbers"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The bar is drawn on standard error, and only if that is a terminal.
fn progress_bar(bytes: u64, hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_name_ends_in() {
        assert_eq!(format_of(Path::new("a/b.JSONL")), Some(Format::Jsonl));
        assert_eq!(format_of(Path::new("b.csv")), Some(Format::Csv));
        assert_eq!(format_of(Path::new("csv")), None);
        assert_eq!(format_of(Path::new("b.json")), None);
    }

    #[test]
    fn a_broken_connection_says_of_each_import_what_may_be_there() {
        assert!(after_a_break(true, false).contains("or none"));
        assert!(after_a_break(false, false).contains("Rows that were written before stay"));
        assert!(after_a_break(true, true).starts_with("Nothing was imported"));
    }

    #[test]
    fn rows_of_others_are_decided_by_an_operator_only_where_they_were_kept() {
        let mut answer = json!({ "refused": 1, "ofOthers": 1, "written": true });
        assert!(summary(&answer, false).contains("the operator is told"));
        answer["written"] = false.into();
        assert!(summary(&answer, false).ends_with("1 of them name devices that another manufacturer has"));
    }

    #[test]
    fn evidence_that_rows_leave_out_is_told() {
        let mut answer = json!({
            "updated": 3, "written": true,
            "evidenceLeftOut": { "dropped": false, "rows": 3, "members": { "certificateSha256": 3, "tokenIssuer": 1 } },
        });
        let told = summary(&answer, false);
        let what = "3 rows leave out evidence that their records have (certificateSha256 of 3, tokenIssuer of 1): ";
        assert!(told.ends_with(&format!("{what}it stays there; --drop-evidence takes it away")), "{told}");
        answer["evidenceLeftOut"]["dropped"] = true.into();
        assert!(summary(&answer, false).contains("the records have it no more"));
        answer["written"] = false.into();
        assert!(summary(&answer, false).contains("the records would lose it"));
    }

    #[test]
    fn refused_rows_are_told_with_their_lines() {
        let answer = json!({
            "added": 2, "updated": 0, "unchanged": 1, "refused": 3,
            "written": true, "errors": [{ "line": 4, "reason": "not JSON" }], "errorsNotListed": 2,
        });
        let wanted = "2 added, 0 updated, 1 unchanged, 3 refused\n  line 4: not JSON\n  and 2 more that are not listed";
        assert_eq!(summary(&answer, false), wanted);
        assert_eq!(summary(&answer, true), wanted);
        let not_written = json!({
            "added": 0, "updated": 0, "wouldBeAdded": 2, "wouldBeUpdated": 0, "unchanged": 1, "refused": 3,
            "written": false, "errors": [],
        });
        let judged = "0 written: 3 refused, 2 would be added, 0 would be updated, 1 unchanged";
        assert_eq!(summary(&not_written, false), judged);
        let summary = summary(&not_written, true);
        assert_eq!(summary, format!("{judged}\nNothing was imported, because of --all-or-nothing."));
    }
}
