//! `landfall decision`.

use clap::{Args, Subcommand, ValueEnum};
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::{GroupId, HubName, OperationId, RegistrationId, TrackingId};
use landfall_store::PolicyFilter;

use self::moment::Moment;
use super::{CliError, Common};
use crate::client::management::escaped;

mod moment;
mod reading;
mod story;

/// What can be done with decisions.
#[derive(Debug, Subcommand)]
pub(super) enum DecisionCommand {
    /// Tell why a device was refused, or got its hub: everything that was known and asked.
    #[command(after_help = "\
The tracking id is in the answer that the device got (trackingId, and the header x-ms-request-id), in the log, and in
`landfall registration show`. What SDKs log is the operation id (operationId, 4.…): it leads to the decision as well.
What is asked too often (429), of something that is not there (404) or in a way that is no request (400) has a story too. Of
those the last are kept, in memory (limits.device.answers_kept); strangers' refusals are kept within limits.throttle.")]
    Show {
        /// The tracking id, or the operation id.
        #[arg(value_parser = parse_id, value_name = "TRACKING-ID")]
        id: String,
    },
    /// List what was decided about devices, or why they were refused, the newest first.
    #[command(after_help = "\
Examples:
  landfall decision list --device SN-42                      why SN-42 is refused, or what it got
  landfall decision list --since 2h --verdict refused        who was refused in the last two hours
  landfall decision list --group pumps                       what became of devices that the group pumps counts for
  landfall decision list --policy ours --hub h1       who got the hub h1 when this revision of ours was asked
  landfall decision list --since 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z

A moment is written as RFC 3339 has it, or as how long ago it is: 90s, 15m, 2h, 7d. All that is said must hold.

A device whose credential is of nobody here (an unknown CA, a wrong key) is a stranger, whatever id it says: its refusals are kept
within limits.throttle, and all of them are counted in /metrics. So a list may be shorter than what happened.
landfall decision show TRACKING-ID tells all that is known of one.")]
    List(ListArgs),
}

/// What `decision list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of requests that said this registration id.
    #[arg(long, value_name = "ID")]
    device: Option<RegistrationId>,
    /// Only those for which this enrollment group counted, as far as the request came to one.
    #[arg(long, value_name = "ID", conflicts_with = "enrollment")]
    group: Option<GroupId>,
    /// Only those for which this individual enrollment counted.
    #[arg(long, value_name = "ID")]
    enrollment: Option<RegistrationId>,
    /// Only those of requests that came at this moment or later.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    since: Option<Moment>,
    /// Only those of requests that came before this moment.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    until: Option<Moment>,
    /// Only those that assigned this hub.
    #[arg(long, value_name = "NAME")]
    hub: Option<HubName>,
    /// Only those in which this policy was asked, of any revision or of one.
    #[arg(long, value_name = "NAME[@DIGEST]")]
    policy: Option<PolicyFilter>,
    /// Only those with this result.
    #[arg(long, value_enum)]
    verdict: Option<VerdictWord>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerdictWord {
    /// The device got a hub.
    Assigned,
    /// It was turned away before any policy was asked.
    Refused,
    /// A policy refused it, or no hub that it may get has room.
    Failed,
    /// It waits and asks again.
    #[value(alias = "waiting")]
    Waits,
}

impl ListArgs {
    /// The query that asks for it, with the mark before it; empty when all are asked for.
    fn query(&self, now: Timestamp) -> String {
        let policy = self.policy.as_ref().map(|PolicyFilter { plugin, revision }| match revision {
            Some(revision) => format!("{plugin}@{revision}"),
            None => plugin.to_string(),
        });
        let verdict = self.verdict.and_then(|word| Some(word.to_possible_value()?.get_name().to_owned()));
        let said = [
            ("from", self.since.map(|moment| moment.at(now).to_string())),
            ("to", self.until.map(|moment| moment.at(now).to_string())),
            ("registrationId", self.device.as_ref().map(ToString::to_string)),
            ("group", self.group.as_ref().map(ToString::to_string)),
            ("enrollment", self.enrollment.as_ref().map(ToString::to_string)),
            ("hub", self.hub.as_ref().map(ToString::to_string)),
            ("policy", policy),
            ("verdict", verdict),
        ];
        let given = said.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", escaped(&value?))));
        let query: Vec<String> = given.collect();
        if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
    }

    /// What is said when there is none.
    fn nothing(&self) -> String {
        let Self { device, group, enrollment, since, until, hub, policy, verdict, limit: _ } = self;
        let more = [group.is_some(), enrollment.is_some(), since.is_some(), until.is_some()];
        let narrowed = more.contains(&true) || hub.is_some() || policy.is_some() || verdict.is_some();
        match device {
            _ if narrowed => "No request of which all of this is true is kept.".to_owned(),
            Some(id) => format!(
                "No request of {id} is kept. What it has: landfall registration show {id}. A device that never gets an answer \
                 may not reach the server, or may not trust its certificate."
            ),
            None => "No request of any device is kept.".to_owned(),
        }
    }
}

pub(super) async fn run(common: &Common, command: DecisionCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    match command {
        DecisionCommand::Show { id } => {
            let entry = session.api.get(&format!("/decisions/{}", escaped(&id.to_string()))).await?;
            session.out.value(&entry)?;
            session.out.say(story::of(&entry))
        }
        DecisionCommand::List(args) => {
            let query = args.query(Ambient::system().now());
            let path = format!("{}{query}", session.path(&["decisions"]));
            let page = session.api.list(&path, args.limit).await?;
            let columns = [
                ("at", "/at"),
                ("registration id", "/registrationId"),
                ("result", "/result"),
                ("cause", "/cause"),
                ("why", "/detail"),
                ("tracking id", "/trackingId"),
            ];
            session.out.list(&page, &columns, &args.nothing())
        }
    }
}

fn parse_id(text: &str) -> Result<String, String> {
    let operation = text.parse::<OperationId>().ok().and_then(|operation| operation.request());
    match (operation, text.parse::<TrackingId>()) {
        (Some(_), _) | (None, Ok(_)) => Ok(text.to_owned()),
        (None, Err(error)) => Err(format!("{error}, or an operation id, 4.CODE.UUID")),
    }
}
