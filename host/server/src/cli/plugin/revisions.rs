//! `landfall plugin revisions` and `landfall plugin rollback`.

use std::str::FromStr;

use clap::Args;
use landfall_domain::names::{Digest, PluginName};
use serde_json::json;

use super::super::output::text;
use super::super::{CliError, Session};

/// Which revisions to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct RevisionsArgs {
    /// The plugin's name.
    name: PluginName,
    /// How many at most.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// Where to go back to.
#[derive(Debug, Args)]
#[command(after_help = "\
The revision is tried with every enrollment that follows the name first; if it does not fit one of them, nothing changes.
The live revision and the one before it are in memory, so that going back takes no longer than the next decision.
Going back twice comes out where it began: what is left behind is then the one before.")]
pub(in crate::cli) struct RollbackArgs {
    /// The plugin's name.
    name: PluginName,
    /// The revision, by the digest that `landfall plugin revisions` shows, or by how that begins (8 digits or more); without
    /// it, the one before.
    #[arg(long, value_name = "DIGEST")]
    to: Option<Wanted>,
}

/// A revision as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// By its whole digest.
    Digest(Digest),
    /// By the beginning of its digest, in lower case.
    Beginning(String),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        let short = text.len() < LEAST_DIGITS || text.len() >= DIGITS;
        if short || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!(
                "a digest is {DIGITS} hexadecimal digits, of which the first {LEAST_DIGITS} or more will do"
            ));
        }
        Ok(Self::Beginning(text.to_ascii_lowercase()))
    }
}

impl Wanted {
    /// The one of these digests that is meant.
    fn among(self, digests: &[String], name: &PluginName) -> Result<String, CliError> {
        let beginning = match self {
            Self::Digest(digest) => return Ok(digest.to_string()),
            Self::Beginning(beginning) => beginning,
        };
        let fit: Vec<&str> =
            digests.iter().map(String::as_str).filter(|digest| digest.starts_with(&beginning)).collect();
        match fit.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(CliError::Failed(format!(
                "no revision of {name} begins with {beginning}; `landfall plugin revisions {name}` lists them"
            ))),
            several => Err(CliError::Failed(format!(
                "{} revisions of {name} begin with {beginning}; give more digits of the one that is meant: {}",
                several.len(),
                several.join(", ")
            ))),
        }
    }
}

pub(super) async fn list(session: &mut Session, args: RevisionsArgs) -> Result<(), CliError> {
    let path = session.path(&["plugins", args.name.as_str(), "revisions"]);
    let page = session.api.list(&path, args.limit).await?;
    let columns = [
        ("revision", "/digest"),
        ("version", "/version"),
        ("live", "/live"),
        ("loaded", "/loaded"),
        ("breaker", "/breaker/state"),
        ("published", "/publishedAt"),
        ("by", "/publishedBy"),
        ("live since", "/liveSince"),
        ("live by", "/liveBy"),
    ];
    session.out.list(&page, &columns, "It has no revision.")
}

pub(super) async fn rollback(session: &mut Session, args: RollbackArgs) -> Result<(), CliError> {
    let path = session.path(&["plugins", args.name.as_str(), "rollback"]);
    let body = match args.to {
        Some(Wanted::Digest(revision)) => json!({ "revision": revision }),
        Some(beginning) => {
            let all =
                session.api.list(&session.path(&["plugins", args.name.as_str(), "revisions"]), MOST_REVISIONS).await?;
            let digests: Vec<String> = all.items.iter().map(|revision| text(revision.get("digest"))).collect();
            json!({ "revision": beginning.among(&digests, &args.name)? })
        }
        None => json!({}),
    };
    let answer = session.api.post(&path, &body).await?;
    let (version, digest) = (text(answer.pointer("/description/version")), text(answer.get("digest")));
    session.out.done(format!("Plugin {} is back at {version}, revision {digest}.", args.name), &answer)
}

/// The number of digits of a digest.
const DIGITS: usize = 64;
/// The fewest digits that are accepted. Fewer would often match several revisions.
const LEAST_DIGITS: usize = 8;
/// More revisions than are kept of a plugin.
const MOST_REVISIONS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_can_be_named_by_how_it_begins() {
        let [one, other] = ["abcdef01", "abcdef02"].map(|begin| format!("{begin}{}", "0".repeat(56)));
        let (all, name): (_, PluginName) = ([one.clone(), other.clone()], "ours".parse().unwrap());
        let among = |text: &str| text.parse::<Wanted>().unwrap().among(&all, &name).map_err(|error| error.to_string());
        assert_eq!(among(&one), Ok(one.clone()));
        assert_eq!(among("ABCDEF01"), Ok(one));
        let told = among("abcdef03").unwrap_err();
        assert!(told.contains("no revision of ours begins with abcdef03"), "{told}");
        let twins = [other.clone(), other.replace("020", "02f")];
        let told = "abcdef02".parse::<Wanted>().unwrap().among(&twins, &name).unwrap_err().to_string();
        assert!(twins.iter().all(|twin| told.contains(twin.as_str())), "{told}");
        for bad in ["abcdef0", "abcdefgh", "", &"a".repeat(65)] {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
