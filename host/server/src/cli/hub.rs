//! `landfall hub`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use http::header::{HeaderMap, IF_MATCH};
use landfall_domain::hub::Location;
use landfall_domain::names::HubName;
use serde_json::{Map, Value, json};

use super::changes::difference;
use super::output::text;
use super::token::without_nulls;
use super::{CliError, Common, Session};
use crate::client::management::Changed;

/// What can be done with hubs.
#[derive(Debug, Subcommand)]
pub(super) enum HubCommand {
    /// Link a hub, or change what is said here of a linked one; the rest of it stays, a drain too.
    Link(LinkArgs),
    /// Unlink a hub. Its devices keep it until they register again.
    Unlink {
        /// Its host name.
        name: HubName,
        /// Also when devices are on it or enrollment groups name it.
        #[arg(long)]
        force: bool,
    },
    /// List the linked hubs and how full they are.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Show one hub.
    Show {
        /// Its host name.
        name: HubName,
    },
    /// Give a hub no new devices; it keeps those that it has.
    Drain {
        /// Its host name.
        name: HubName,
    },
    /// Give a drained hub new devices again.
    Activate {
        /// Its host name.
        name: HubName,
    },
}

/// What `hub link` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  landfall hub link hub-eu.example.com --capacity 50000 --weight 200 --location 52.4,4.9 --label region=eu")]
pub(super) struct LinkArgs {
    /// Its host name, as devices get it.
    name: HubName,
    /// How many devices it takes. A hub that is linked already keeps its own without it.
    #[arg(long, value_name = "N")]
    capacity: Option<u64>,
    /// Its share of devices under the `weighted` policy, 1 to 1000; 1 for a new hub.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: Option<u32>,
    /// Where it stands, in degrees: latitude, comma, longitude.
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, value_parser = location)]
    location: Option<Location>,
    /// A label for policies; can be given several times. Together they take the place of those that a linked hub has.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Pair>,
}

/// A key and a value with an equals sign between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The text before the first equals sign.
    pub(super) key: String,
    pub(super) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("it must be KEY=VALUE".to_owned()),
        }
    }
}

pub(super) async fn run(common: &Common, command: HubCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        HubCommand::Link(args) => {
            let path = session.path(&["hubs", args.name.as_str()]);
            let Changed { before, answer } = session.api.change(&path, |stands| body(&args, stands)).await?;
            let drains = if answer.get("state").is_some_and(|state| state == "draining") {
                " It is draining still: landfall hub activate"
            } else {
                ""
            };
            let done = if before.is_some() { "changed" } else { "linked" };
            out.done(format!("Hub {} is {done}.{drains}{}", args.name, difference(before.as_ref(), &answer)), &answer)
        }
        HubCommand::Unlink { name, force } => {
            // The hub that was checked must be the one that is unlinked.
            let seen = if force { HeaderMap::new() } else { spare(&mut session, &name).await? };
            let answer = session.api.delete_if(&session.path(&["hubs", name.as_str()]), seen).await?;
            out.done(format!("Hub {name} is unlinked."), &answer)
        }
        HubCommand::List { limit } => {
            let page = session.api.list(&session.path(&["hubs"]), limit).await?;
            let columns = [
                ("hub", "/name"),
                ("state", "/state"),
                ("weight", "/weight"),
                ("assigned", "/assigned"),
                ("capacity", "/capacity"),
                ("location", "/location"),
                ("labels", "/labels"),
            ];
            out.list(&page, &columns, "No hub is linked; link one with: landfall hub link NAME --capacity N")
        }
        HubCommand::Show { name } => {
            let answer = session.api.get(&session.path(&["hubs", name.as_str()])).await?;
            out.details(&answer)
        }
        HubCommand::Drain { name } => set_state(common, &name, "draining").await,
        HubCommand::Activate { name } => set_state(common, &name, "active").await,
    }
}

/// Writes the hub back with another state.
async fn set_state(common: &Common, name: &HubName, state: &str) -> Result<(), CliError> {
    let mut session = common.session()?;
    let path = session.path(&["hubs", name.as_str()]);
    let change = |stands: Option<&Value>| -> Result<Value, CliError> {
        let Some(Value::Object(hub)) = stands else {
            return Err(CliError::Failed(format!("{name} is not linked; `landfall hub list` says which hubs are")));
        };
        // The answer can be sent back as it is.
        let mut hub = hub.clone();
        hub.insert("state".to_owned(), state.into());
        Ok(hub.into())
    };
    let Changed { answer, .. } = session.api.change(&path, change).await?;
    let assigned = text(answer.get("assigned"));
    session.out.done(format!("Hub {name} is {state}; {assigned} devices are on it."), &answer)
}

/// Refuses to unlink a hub that is still needed.
///
/// Answers the version of the hub that was checked, as a precondition.
async fn spare(session: &mut Session, name: &HubName) -> Result<HeaderMap, CliError> {
    let (hub, tag) = session.api.get_tagged(&session.path(&["hubs", name.as_str()])).await?;
    let assigned = hub.get("assigned").and_then(Value::as_u64).unwrap_or(0);
    let groups = session.api.list(&session.path(&["enrollment-groups"]), 10_000).await?;
    let names_it = |group: &&Value| {
        let hubs = group.get("hubs").and_then(Value::as_array);
        hubs.is_some_and(|hubs| hubs.iter().any(|hub| *hub == name.as_str()))
    };
    let naming: Vec<String> = groups.items.iter().filter(names_it).map(|group| text(group.get("id"))).collect();
    let mut why = Vec::new();
    if assigned > 0 {
        why.push(format!(
            "{assigned} devices are on it and wait, when they register again, until another hub takes them"
        ));
    }
    if !naming.is_empty() {
        why.push(format!("these groups name it: {}", naming.join(", ")));
    }
    if why.is_empty() {
        return Ok(tag.map(|tag| (IF_MATCH, tag)).into_iter().collect());
    }
    Err(CliError::Failed(format!(
        "hub {name} is not unlinked: {}. `landfall hub drain {name}` keeps new devices away and lets these stay; --force \
         unlinks it all the same",
        why.join("; ")
    )))
}

/// The options of the command line, on top of the hub's present state.
fn body(args: &LinkArgs, stands: Option<&Value>) -> Result<Value, CliError> {
    let member = |key: &str| stands.and_then(|hub| hub.get(key)).cloned().unwrap_or_default();
    let LinkArgs { weight, capacity, location, labels, .. } = args;
    if capacity.is_none() && stands.is_none() {
        return Err(CliError::Usage(format!(
            "{} is not linked yet: say how many devices it takes, --capacity N",
            args.name
        )));
    }
    let mut given: Map<String, Value> = Map::new();
    for Pair { key, value } in labels {
        if given.insert(key.clone(), value.clone().into()).is_some() {
            return Err(CliError::Usage(format!("the label {key} is given twice")));
        }
    }
    Ok(without_nulls(json!({
        "weight": weight.map_or_else(|| member("weight"), Value::from),
        "capacity": capacity.map_or_else(|| member("capacity"), Value::from),
        "location": location.map_or_else(|| member("location"), |location| json!(location)),
        "labels": if given.is_empty() { member("labels") } else { given.into() },
        "state": member("state"),
        "connector": member("connector"),
    })))
}

fn location(text: &str) -> Result<Location, String> {
    let parts = text.split_once(',').and_then(|(lat, lon)| Some((number(lat)?, number(lon)?)));
    match parts {
        Some((latitude, longitude)) if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) => {
            Ok(Location { latitude, longitude })
        }
        _ => Err("it must be two numbers such as 52.4,4.9: latitude -90 to 90, longitude -180 to 180".to_owned()),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_earth_is_read_and_no_other() {
        assert_eq!(location("-33.9, 151.2").unwrap(), Location { latitude: -33.9, longitude: 151.2 });
        for bad in ["", "1", "91,0", "0,181", "NaN,0", "a,b", "1,2,3"] {
            assert!(location(bad).is_err(), "{bad} was taken");
        }
    }
}
