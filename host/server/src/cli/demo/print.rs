//! Prints the results of the demo.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use landfall_domain::decision::call::{Outcome, Reason};
use landfall_domain::decision::{Answer, Entry, EntryKind, Verdict};
use serde_json::Value;

use super::DemoError;
use super::device::Told;
use crate::cli::output::say;

/// A device that got its place.
pub(super) struct Row {
    device: String,
    factors: String,
    hub: String,
    group: String,
    why: String,
    took: Duration,
}

impl Row {
    /// Made from the device's answer and the ledger's entry.
    pub(super) fn of(told: &Told, entry: &Value) -> Result<Self, DemoError> {
        let decision = match parse(entry)?.kind {
            EntryKind::Decided(decision) => decision,
            EntryKind::Refused { detail, .. } | EntryKind::Answered { detail, .. } => {
                return Err(DemoError::Unexpected(format!("{} was refused: {detail}", told.device)));
            }
        };
        let Verdict::Assigned { hub, group_path, .. } = &decision.verdict else {
            return Err(DemoError::Unexpected(format!("{} got no hub: {:?}", told.device, decision.verdict)));
        };
        let manufacturer = decision.factors.manufacturer.as_ref().map_or("none", |name| name.as_str());
        let evidence = decision.factors.evidence.join(", ");
        let why: Vec<String> =
            decision.calls.iter().filter_map(|call| call.report.result.as_ref().ok()).map(why).collect();
        Ok(Self {
            device: told.device.clone(),
            factors: format!("X.509 + {manufacturer}'s record ({evidence} matches)"),
            hub: hub.as_str().split('.').next().unwrap_or_default().to_owned(),
            group: group_path.join("/"),
            why: why.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "),
            took: told.took,
        })
    }
}

/// A device that was refused.
pub(super) struct Refusal {
    what: &'static str,
    device: String,
    told: String,
    known: String,
    tracking_id: String,
}

impl Refusal {
    /// Made from the device's answer and the ledger's entry.
    pub(super) fn of(what: &'static str, told: &Told, entry: &Value) -> Result<Self, DemoError> {
        let known = match parse(entry)?.kind {
            EntryKind::Refused { detail, .. } | EntryKind::Answered { detail, .. } => detail,
            EntryKind::Decided(decision) => match decision.verdict {
                Verdict::NoRoom { detail } => detail,
                other => {
                    return Err(DemoError::Unexpected(format!("{} should have been refused: {other:?}", told.device)));
                }
            },
        };
        let state = told.body.get("registrationState").unwrap_or(&told.body);
        let (code, message) = (state.get("errorCode"), state.get("message").or_else(|| state.get("errorMessage")));
        let code = code.and_then(Value::as_u64).unwrap_or_default();
        let message = message.and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            what,
            device: told.device.clone(),
            told: format!("{} {code} {message}", told.status),
            known,
            tracking_id: told.tracking_id.clone(),
        })
    }
}

/// Prints the first line.
pub(super) fn title() {
    say!("Landfall: twelve devices come to the one address they know. Real sockets, real policies, nothing set up.\n");
}

/// Prints a step of the set-up.
pub(super) fn step(name: &str, what: &str) {
    say!("  {name:<9}{what}");
}

/// Prints the devices that were admitted.
pub(super) fn registered(rows: &[Row]) {
    let mut table = table(["DEVICE", "TWO FACTORS", "HUB", "GROUP", "WHY", "TIME"]);
    for row in rows {
        let took = format!("{:.1} ms", row.took.as_secs_f64() * 1000.0);
        table.add_row([&row.device, &row.factors, &row.hub, &row.group, &row.why, &took].map(Cell::new));
    }
    say!("\n{} devices registered at once, each over its own mutual TLS 1.3 connection:\n", rows.len());
    say!("{table}");
}

/// Prints the devices that were refused.
pub(super) fn refused(refusals: &[Refusal]) {
    say!("\nFour that must not come in. The wire tells a stranger nothing; the ledger tells the operator all:\n");
    for refusal in refusals {
        say!("  {}, {}", refusal.device, refusal.what);
        say!("    the device was told  {}", refusal.told);
        say!("    the operator reads   {}", refusal.known);
        say!("    under tracking id    {}", refusal.tracking_id);
    }
}

/// Prints which commands to try next.
pub(super) fn last(took: Duration) {
    say!(
        "\nDone in {:.1} s. Next, a server of your own:\n\
         \n  landfall init --data ./landfall-data --hostname localhost\
         \n  landfall serve --data ./landfall-data\
         \n\nand in another terminal:\n\
         \n  landfall hub link eu-1.hubs.example --weight 3 --capacity 1000\
         \n  landfall --help",
        took.as_secs_f64()
    );
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn parse(entry: &Value) -> Result<Entry, DemoError> {
    serde_json::from_value(entry.clone()).map_err(|_| DemoError::unexpected("a ledger entry", entry))
}

fn why(answer: &Answer) -> String {
    let reasons: &[Reason] = match answer {
        Answer::Selected(Outcome::Assign(choice)) => &choice.reasons,
        Answer::Selected(Outcome::Defer(deferral)) => std::slice::from_ref(&deferral.reason),
        Answer::Selected(Outcome::Reject(reason) | Outcome::Abstain(reason)) => std::slice::from_ref(reason),
        Answer::Placed(placement) => &placement.reasons,
    };
    reasons.iter().map(|reason| reason.detail.as_str()).collect::<Vec<_>>().join(", ")
}
