//! `landfall registration`.

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Common};
use crate::names::RegistrationId;

/// What can be done with registrations.
#[derive(Debug, Subcommand)]
pub(super) enum RegistrationCommand {
    /// Show what became of a device.
    Show {
        /// The registration id.
        id: RegistrationId,
    },
    /// List registrations.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
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

/// Runs it.
pub(super) async fn run(common: &Common, command: RegistrationCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        RegistrationCommand::Show { id } => {
            let answer = session.api.get(&session.path(&["registrations", id.as_str()])).await?;
            out.details(&answer)
        }
        RegistrationCommand::List { limit } => {
            let page = session.api.list(&session.path(&["registrations"]), limit).await?;
            let columns = [
                ("registration id", "/registrationId"),
                ("status", "/status"),
                ("hub", "/assignedHub"),
                ("device id", "/deviceId"),
                ("group", "/groupPath"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "No device has registered.")
        }
        RegistrationCommand::Delete { id } => {
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
