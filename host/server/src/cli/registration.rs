//! `landfall registration`.

use clap::{Args, Subcommand, ValueEnum};
use landfall_domain::names::{GroupId, HubName, RegistrationId};
use serde_json::json;

use super::{CliError, Common};
use crate::client::management::escaped;

/// What can be done with registrations.
#[derive(Debug, Subcommand)]
pub(super) enum RegistrationCommand {
    /// Show what became of a device.
    Show {
        /// The registration id.
        id: RegistrationId,
    },
    /// List the registrations of devices.
    #[command(after_help = "\
Examples:
  landfall registration list --hub hub-eu.example.com
  landfall registration list --group pumps --state failed
  landfall registration list --state waiting                why devices are held up, in the order of their ids")]
    List(ListArgs),
    /// Delete a registration: the device gives its place back, and can register as if it were new.
    Delete {
        /// The registration id.
        id: RegistrationId,
    },
    /// Let a device come back with another key, once. Its hub stays.
    Release {
        /// The registration id.
        id: RegistrationId,
    },
}

/// What `registration list` takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those on this hub.
    #[arg(long, value_name = "NAME")]
    hub: Option<HubName>,
    /// Only those that this enrollment group admitted. The column of that name is where the policy placed the device.
    #[arg(long, value_name = "ID")]
    group: Option<GroupId>,
    /// Only those in this state.
    #[arg(long)]
    state: Option<StateName>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StateName {
    /// They have a hub.
    Assigned,
    /// Their policy turned them down, or no hub had room for them.
    Failed,
    /// Their policy could not decide yet, or asked for time; they are tried again when they poll. Those that have asked since
    /// the server was started are known.
    Waiting,
}

impl ListArgs {
    /// The query for this state.
    fn query(&self) -> String {
        let state = match self.state {
            Some(StateName::Assigned) => Some("assigned".to_owned()),
            Some(StateName::Failed) => Some("failed".to_owned()),
            // They have no registration; another list has them.
            Some(StateName::Waiting) | None => None,
        };
        let said = [
            ("hub", self.hub.as_ref().map(ToString::to_string)),
            ("group", self.group.as_ref().map(ToString::to_string)),
            ("state", state),
        ];
        let parts: Vec<String> = said
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", escaped(&value))))
            .collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

pub(super) async fn run(common: &Common, command: RegistrationCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        RegistrationCommand::Show { id } => {
            let answer = session.api.get(&session.path(&["registrations", id.as_str()])).await?;
            out.details(&answer)
        }
        RegistrationCommand::List(ListArgs { state: Some(StateName::Waiting), hub, group, limit }) => {
            if hub.is_some() || group.is_some() {
                let text = "devices that wait are not listed by hub or group yet: leave out --hub and --group";
                return Err(CliError::Usage(text.to_owned()));
            }
            let page = session.api.list(&session.path(&["waiting"]), limit).await?;
            let columns = [
                ("registration id", "/registrationId"),
                ("since", "/since"),
                ("reason", "/reason"),
                ("detail", "/detail"),
                ("next try after", "/retryAt"),
                ("decision", "/decision"),
            ];
            out.list(&page, &columns, "No device has begun to wait since the server was started.")
        }
        RegistrationCommand::List(args) => {
            let query = args.query();
            let path = format!("{}{query}", session.path(&["registrations"]));
            let page = session.api.list(&path, args.limit).await?;
            let columns = [
                ("registration id", "/registrationId"),
                ("status", "/status"),
                ("hub", "/assignedHub"),
                ("device id", "/deviceId"),
                ("group", "/groupPath"),
                ("updated", "/updatedAt"),
            ];
            let nothing =
                if query.is_empty() { "No device has registered." } else { "No registration is as asked for." };
            out.list(&page, &columns, nothing)
        }
        RegistrationCommand::Delete { id } => {
            common.sure(&format!("{id} loses its hub, and the key that it is bound to is forgotten."))?;
            let answer = session.api.delete(&session.path(&["registrations", id.as_str()])).await?;
            out.done(format!("The registration of {id} is deleted."), &answer)
        }
        RegistrationCommand::Release { id } => {
            let path = session.path(&["registrations", id.as_str(), "release"]);
            let answer = session.api.post(&path, &json!({})).await?;
            out.done(format!("{id} may come back with another key, once."), &answer)
        }
    }
}
