//! `landfall plugin`: commands of authors on files, and commands of publishers on a server.

use clap::Subcommand;

mod bench;
mod check;
mod files;
mod fuzz;
mod inspect;
mod new;
mod profile;
mod published;
mod revisions;
mod rules;
mod run;
mod sign;
mod test;
mod test_runner;

use super::{CliError, Common};

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    #[command(flatten)]
    Author(AuthorCommand),
    #[command(flatten)]
    Published(published::PublishedCommand),
}

/// What can be done with a component, without any server.
#[derive(Debug, Subcommand)]
pub(super) enum AuthorCommand {
    New(new::New),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Run(run::Run),
    Test(test::Test),
    TestRunner(test_runner::TestRunner),
    Bench(bench::Bench),
    Profile(profile::Profile),
    Fuzz(fuzz::Fuzz),
    Key(sign::Key),
    Sign(sign::Sign),
    Verify(sign::Verify),
}

pub(super) async fn run(common: &Common, command: PluginCommand) -> Result<(), CliError> {
    match command {
        PluginCommand::Author(command) => command.run(common),
        PluginCommand::Published(command) => command.run(common).await,
    }
}

impl AuthorCommand {
    fn run(self, common: &Common) -> Result<(), CliError> {
        let out = common.output();
        match self {
            Self::New(new) => new.run(out),
            Self::Check(check) => check.run(out),
            Self::Inspect(inspect) => inspect.run(out),
            Self::Run(run) => run.run(out),
            Self::Test(test) => test.run(out),
            Self::TestRunner(runner) => runner.run(),
            Self::Bench(bench) => bench.run(out),
            Self::Profile(profile) => profile.run(out),
            Self::Fuzz(fuzz) => fuzz.run(out),
            Self::Key(key) => key.run(out),
            Self::Sign(sign) => sign.run(out),
            Self::Verify(verify) => verify.run(out),
        }
    }
}
