//! The log: text for people on a terminal, JSON for programs that collect it. It always goes to standard error, so that
//! standard output holds only what a command prints.
//!
//! Nobody waits for the log. A thread of its own writes the lines (`lines`). If a line cannot be written, because the
//! reader has stalled or is gone or the disk is full, it is counted and lost, and everything else goes on.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

mod elsewhere;
mod lines;

use landfall_domain::did_you_mean::{did_you_mean, nearest};

use elsewhere::Elsewhere;
use lines::Lines;

/// The log's settings in the environment are not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogSettingError {
    #[error(
        "LANDFALL_LOG={text:?} in the environment: {part:?} is no filter; write a level (error, warn, info, debug, trace, off), or a \
         level for a part: info,landfall::service=debug"
    )]
    Filter {
        /// The whole setting.
        text: String,
        /// The part that is not valid.
        part: String,
    },
    #[error("LANDFALL_LOG_FORMAT={0:?} in the environment: write text or json")]
    Format(String),
}

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Starts logging. `LANDFALL_LOG` chooses what is logged, in the syntax of `tracing`'s filters, such as
/// `info,landfall::service=debug`; without it, `default` does. `LANDFALL_LOG_FORMAT` chooses `text` or `json`; without
/// it, a terminal gets text. A second start in one process changes nothing.
///
/// # Errors
///
/// If one of the two is not valid.
pub fn start(default: &str) -> Result<(), LogSettingError> {
    let said =
        |name| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty());
    let wanted = said("LANDFALL_LOG").unwrap_or_else(|| default.to_owned());
    let mut filter = filter(&wanted)?;
    let unknown: Vec<_> = unknown_parts(&wanted).collect();
    // A filter that names only unknown parts lets nothing through. This warning must be logged all the same.
    if let (false, Ok(of_this)) = (unknown.is_empty(), concat!(module_path!(), "=error").parse::<Directive>()) {
        filter = filter.add_directive(of_this);
    }
    let terminal = std::io::stderr().is_terminal();
    let format = format(said("LANDFALL_LOG_FORMAT").as_deref(), terminal)?;
    let Some(lines) = Lines::of_this_process() else { return Ok(()) };
    let layer = fmt::layer().with_ansi(terminal).with_writer(lines).log_internal_errors(false).with_target(false);
    let registry = Registry::default().with(filter).with(Elsewhere::default());
    let started = match format {
        Format::Text => registry.with(layer).try_init(),
        Format::Json => registry.with(layer.json()).try_init(),
    };
    // A program that embeds Landfall may have a subscriber already, and keeps it.
    if started.is_ok() {
        tell_of_panics();
        for (part, meant) in unknown {
            tracing::error!("LANDFALL_LOG names {part}, which is no part of this program and logs nothing: {meant}");
        }
    }
    Ok(())
}

/// Parses a filter, and checks every part of it. `tracing` accepts a word that is not a level as the name of a target,
/// and logs everything of that target. So a typing mistake such as `loud` would log nothing of Landfall, without an
/// error.
fn filter(text: &str) -> Result<EnvFilter, LogSettingError> {
    let wrong = |part: &str| LogSettingError::Filter { text: text.to_owned(), part: part.to_owned() };
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in parts.iter().copied() {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        let bare_module = !part.contains('=') && (part.contains("::") || part.contains('['));
        if !bare_module && (level.is_empty() || level.parse::<LevelFilter>().is_err()) {
            return Err(wrong(part));
        }
        part.parse::<Directive>().map_err(|_| wrong(part))?;
    }
    let targets: Vec<_> = parts.into_iter().map(target_of).collect();
    targets.join(",").parse().map_err(|_| wrong(text))
}

/// A directive with the target as the log knows it: a crate of ours is written `landfall::store`, and its target is
/// `landfall_store`.
fn target_of(directive: &str) -> Cow<'_, str> {
    let rest = directive.strip_prefix("landfall::").unwrap_or_default();
    match CRATES.iter().find(|name| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next() == Some(**name)) {
        Some(_) => Cow::Owned(format!("landfall_{rest}")),
        None => Cow::Borrowed(directive),
    }
}

/// The targets in a filter that this program does not have, each with what was probably meant.
fn unknown_parts(filter: &str) -> impl Iterator<Item = (&str, String)> {
    filter.split(',').filter_map(|directive| {
        let target = directive.trim().split(['=', '[']).next().unwrap_or_default();
        if target.parse::<LevelFilter>().is_ok() {
            return None;
        }
        match target.split_once("::") {
            // A target matches every module path that begins with it.
            Some(("landfall", below)) => {
                let part = below.split("::").next().unwrap_or_default();
                let parts: Vec<&str> = CRATES.iter().chain(PARTS).copied().collect();
                let known = parts.iter().any(|known| *known == part || (part == below && known.starts_with(part)));
                (!known).then(|| (target, format!("{} (after landfall::)", did_you_mean(part, &parts))))
            }
            other => {
                let name = other.map_or(target, |(name, _)| name);
                let near = nearest(name, [NAME]).filter(|_| name != NAME);
                near.map(|meant| (target, format!("did you mean `{meant}`?")))
            }
        }
    })
}

fn format(said: Option<&str>, terminal: bool) -> Result<Format, LogSettingError> {
    match said {
        None if terminal => Ok(Format::Text),
        None => Ok(Format::Json),
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(LogSettingError::Format(other.to_owned())),
    }
}

/// Waits until the present lines have been written, but only for a short time: the process must end whether its log is
/// read or not.
pub fn finish() {
    if let Some(lines) = Lines::started() {
        lines.wait(FAREWELL);
    }
}

/// Prints why a command failed on standard error, for people; the exit code tells programs. A process that logs waits
/// for a reader of this text no longer than for a reader of its log.
pub fn complain(text: &str) {
    match Lines::started() {
        Some(lines) => {
            lines.take(format!("{text}\n").as_bytes());
            lines.wait(FAREWELL);
        }
        None => drop(writeln!(std::io::stderr().lock(), "{text}")),
    }
}

/// The number of lines that could not be written since the process began.
pub fn lost() -> u64 {
    Lines::started().map_or(0, |lines| lines.lost())
}

/// Writes panics to the log, so that a panicking thread does not wait for a reader of standard error.
fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, thread = std::thread::current().name(), "a panic: {message}");
    }));
}

/// The name of this program in targets.
const NAME: &str = "landfall";

/// Its parts that are crates of their own.
const CRATES: &[&str] = &["attestation", "domain", "net", "policy", "store"];

/// Its parts that are modules of this crate.
const PARTS: &[&str] = &[
    "admin_api",
    "catalogue",
    "certificate_issuing",
    "cli",
    "client",
    "config",
    "conflict",
    "counters",
    "device_api",
    "directory",
    "folder",
    "identity_providers",
    "init",
    "listener",
    "metrics",
    "network",
    "outbound",
    "provisioning",
    "record_import",
    "reseal",
    "sealing_key",
    "server",
    "service",
    "shares",
    "tasks",
    "telemetry",
    "tls",
    "troubles",
    "turns",
];

/// How long the end of a process waits for its log.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_nobody_understands_is_told_with_its_part() {
        for good in ["info", "WARN", "off", "info,landfall::service=debug", " info , rustls=debug", "landfall::store"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for (text, part) in [
            ("loud", "loud"),
            ("info,landfall=loud", "landfall=loud"),
            ("info,debgu", "debgu"),
            ("nonsense=", "nonsense="),
        ] {
            let told = filter(text).unwrap_err();
            assert_eq!(told, LogSettingError::Filter { text: text.to_owned(), part: part.to_owned() });
        }
    }

    #[test]
    fn every_part_of_the_program_is_known() {
        let library = include_str!("lib.rs");
        let modules = library.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
        let modules: Vec<&str> = modules.filter_map(|module| module.strip_suffix(';')).collect();
        assert_eq!(modules, PARTS);
    }

    #[test]
    fn a_crate_is_named_like_any_other_part() {
        for (named, target) in [
            ("landfall::policy=debug", "landfall_policy=debug"),
            ("landfall::store::redb[span]=trace", "landfall_store::redb[span]=trace"),
            ("landfall::policy", "landfall_policy"),
            ("landfall::policyx=debug", "landfall::policyx=debug"),
            ("landfall::service=debug", "landfall::service=debug"),
            ("info", "info"),
        ] {
            assert_eq!(target_of(named), target);
        }
    }

    #[test]
    fn a_part_that_is_not_there_is_told_with_the_one_that_was_meant() {
        for known in [
            "info",
            "landfall",
            "landfall=debug",
            "info,landfall::service::revocation_refresh=debug",
            "rustls=debug",
            "landfall::serv",
        ] {
            assert_eq!(unknown_parts(known).count(), 0, "{known}");
        }
        for (filter, part, meant) in [
            ("landfall::servcie=debug", "landfall::servcie", "did you mean `service`?"),
            ("info, landfall::nosuchmodule=debug", "landfall::nosuchmodule", "known are: attestation, "),
            ("landfal=debug", "landfal", "did you mean `landfall`?"),
            ("landfal::service=debug", "landfal::service", "did you mean `landfall`?"),
            ("landfall::stor::redb[span]=debug", "landfall::stor::redb", "did you mean `store`?"),
        ] {
            let told: Vec<_> = unknown_parts(filter).collect();
            assert!(matches!(&told[..], [(named, hint)] if *named == part && hint.starts_with(meant)), "{told:?}");
        }
    }

    #[test]
    fn a_terminal_gets_text_and_everybody_else_json_unless_the_operator_says() {
        let formats = [(None, true), (None, false), (Some("text"), false), (Some("json"), true)];
        let chosen = formats.map(|(said, terminal)| format(said, terminal).unwrap());
        assert_eq!(chosen, [Format::Text, Format::Json, Format::Text, Format::Json]);
        assert_eq!(format(Some("xml"), true), Err(LogSettingError::Format("xml".to_owned())));
    }
}
