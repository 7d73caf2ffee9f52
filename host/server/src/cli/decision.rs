//! `landfall decision`.

use clap::Subcommand;
use landfall_domain::names::{OperationId, TrackingId};

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

fn parse_id(text: &str) -> Result<String, String> {
    let operation = text.parse::<OperationId>().ok().and_then(|operation| operation.request());
    match (operation, text.parse::<TrackingId>()) {
        (Some(_), _) | (None, Ok(_)) => Ok(text.to_owned()),
        (None, Err(error)) => Err(format!("{error}, or an operation id, 4.CODE.UUID")),
    }
}
