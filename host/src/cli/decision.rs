//! `landfall decision`.

use clap::Subcommand;

use super::{CliError, Common};
use crate::client::management::escaped;
use crate::names::TrackingId;

mod reading;
mod story;

/// What can be done with decisions.
#[derive(Debug, Subcommand)]
pub(super) enum DecisionCommand {
    /// Tell why a device was refused, or got its hub: everything that was known and asked.
    #[command(after_help = "\
The tracking id is in the answer that the device got (trackingId, and the header x-ms-request-id), in the log, and in
`landfall registration show`.")]
    Show {
        /// The tracking id.
        #[arg(value_parser = parse_tracking_id, value_name = "TRACKING-ID")]
        id: TrackingId,
    },
}

/// Runs it.
pub(super) async fn run(common: &Common, command: DecisionCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    match command {
        DecisionCommand::Show { id } => {
            let entry = session.api.get(&format!("/decisions/{}", escaped(&id.to_string()))).await?;
            session.out.value(&entry)?;
            session.out.say(story::of(&entry))
        }
    }
}

fn parse_tracking_id(text: &str) -> Result<TrackingId, String> {
    text.parse().map_err(|error: crate::names::NameError| error.to_string())
}
