//! `landfall decision`.

use clap::{Args, Subcommand};
use landfall_domain::names::{GroupId, OperationId, RegistrationId, TrackingId};

use super::{CliError, Common};
use crate::client::management::escaped;

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
    /// List requests that led to no registration, the newest first: why a device is refused, held up or turned down.
    #[command(after_help = "\
Examples:
  landfall decision list --device SN-42      why SN-42 is refused
  landfall decision list --group pumps       what became of devices that the group pumps counts for
  landfall decision list --limit 20          the newest of all

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
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
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
            let said = [
                ("registrationId", args.device.as_ref().map(RegistrationId::as_str)),
                ("group", args.group.as_ref().map(GroupId::as_str)),
                ("enrollment", args.enrollment.as_ref().map(RegistrationId::as_str)),
            ];
            let given = said.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", escaped(value?))));
            let query: Vec<String> = given.collect();
            let mark = if query.is_empty() { "" } else { "?" };
            let path = format!("{}{mark}{}", session.path(&["decisions"]), query.join("&"));
            let page = session.api.list(&path, args.limit).await?;
            let columns = [
                ("at", "/at"),
                ("registration id", "/registrationId"),
                ("result", "/result"),
                ("cause", "/cause"),
                ("why", "/detail"),
                ("tracking id", "/trackingId"),
            ];
            let nothing = match &args.device {
                Some(id) => format!(
                    "No request of {id} that was refused or held up is kept. What it has: landfall registration show {id}. A \
                     device that never gets an answer may not reach the server, or may not trust its certificate."
                ),
                None => "No request that was refused or held up is kept.".to_owned(),
            };
            session.out.list(&page, &columns, &nothing)
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
