//! The command line: `landfall COMMAND`.
//!
//! `init`, `serve`, `config`, `demo` and `bench` work by themselves; `backup` and `store` also work without a server.
//! All other commands talk to a running server. The data folder gives its address and the token, or `--server`,
//! `--ca-file` and `--token-file` do. Output is for people; `--json` prints the API's answer. The exit code is 0 if
//! everything succeeded, 1 if something was refused or failed, and 2 if the command was not understood.

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use landfall_domain::names::IdScope;
use landfall_policy::image::worker;

use crate::client::management::{ManagementClient, Remote, ServerUrl, escaped};
use crate::config::{Config, ConfigError};
use crate::folder::DataFolder;
use crate::telemetry;

mod backup;
mod bench;
mod ca;
mod certificate;
mod changes;
mod config;
mod decision;
mod demo;
mod enrolled;
mod enrollment;
mod failure;
mod group;
mod hub;
mod init;
mod key;
mod output;
mod plugin;
mod proof;
mod registration;
mod registry;
mod scope;
mod secrets;
mod serve;
mod shared_key;
mod status;
mod store;
mod terms;
mod token;
mod ways;

pub use failure::CliError;
pub use output::Output;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs a command line. Its first word is the program's own name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match understood(words) {
        Ok(cli) => cli,
        Err(error) => {
            // For clap, help and version are "errors" too. It knows which of its texts goes to which stream.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let ended = runtime(&cli.command).map_err(CliError::Runtime).and_then(|runtime| {
        let ended = runtime.block_on(cli.run());
        // Threads that still wait for a reader of their output are abandoned.
        runtime.shutdown_timeout(FAREWELL);
        ended
    });
    telemetry::finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Parses a command line.
fn understood(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    match (cli.common.server.is_some(), typed(&matches, "server"), typed(&matches, "data")) {
        (true, true, true) => {
            let both = "--server names a server and --data a data folder of this machine; say one of them";
            return Err(command.error(clap::error::ErrorKind::ArgumentConflict, both));
        }
        // A typed option takes precedence over the environment: with a typed data folder, the server in the environment
        // must not be called.
        (true, false, true) => {
            let Common { server, ca_file, scope, token_file, .. } = &mut cli.common;
            (*server, *ca_file) = (None, None);
            *scope = scope.take().filter(|_| typed(&matches, "scope"));
            *token_file = token_file.take().filter(|_| typed(&matches, "token_file"));
        }
        _ => {}
    }
    Ok(cli)
}

/// Whether an option was typed, and not taken from the environment or from its default.
fn typed(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option) == Some(ValueSource::CommandLine)
}

/// Zero-touch provisioning for IoT devices.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "General options")]
pub struct Common {
    /// The data folder.
    #[arg(long, global = true, value_name = "DIR", env = "LANDFALL_DATA", default_value = "./landfall-data")]
    pub data: PathBuf,
    /// The management API of a server elsewhere, in place of the data folder's: https://HOST:PORT. It goes with
    /// --token-file (or a token in LANDFALL_TOKEN) and --scope.
    #[arg(long, global = true, value_name = "URL", env = "LANDFALL_SERVER")]
    pub server: Option<ServerUrl>,
    /// The CA (PEM) of the certificate of --server, such as tls/ca.pem of its data folder; by default, those that this
    /// machine trusts.
    #[arg(long, global = true, value_name = "FILE", env = "LANDFALL_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The id scope; by default the one that landfall.toml names.
    #[arg(long, global = true, value_name = "SCOPE", env = "LANDFALL_SCOPE")]
    pub scope: Option<IdScope>,
    /// A file with the token to call the server with; by default operator.token in the data folder.
    #[arg(long, global = true, value_name = "FILE", env = "LANDFALL_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not ask before what cannot be undone. Scripts, whose standard input is no terminal, are never asked.
    #[arg(long, global = true)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data folder that is ready to serve.
    Init(init::InitArgs),
    /// Serve devices and the management API.
    Serve(serve::ServeArgs),
    /// See all of it work, in a temporary folder.
    Demo,
    /// Show what runs at the server: version, id scopes, and the tasks that run by themselves.
    Status,
    /// Measure this machine.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print every limit with its value, its range and what it bounds.
    Config,
    /// The server's own certificate.
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Keys of devices, for the factory floor.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The key that seals secrets in the database.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Keep everything that a server needs to go on, in a folder of its own. The server may run.
    Backup(backup::BackupArgs),
    /// The database: whether it is whole, and how large.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Id scopes: tenants.
    #[command(subcommand)]
    Scope(scope::ScopeCommand),
    /// Tokens for operators, manufacturers, publishers and auditors.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Manufacturing records: import them, look them up, change their state.
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Certificate authorities, and the proof that their keys are at hand.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Individual enrollments: one device each.
    #[command(subcommand)]
    Enrollment(enrollment::EnrollmentCommand),
    /// Enrollment groups: many devices each.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Linked hubs: link, drain and unlink them.
    #[command(subcommand)]
    Hub(hub::HubCommand),
    /// Policy plugins: write, publish and roll them back.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// What became of devices.
    #[command(subcommand)]
    Registration(registration::RegistrationCommand),
    /// Why something was decided.
    #[command(subcommand)]
    Decision(decision::DecisionCommand),
    /// Compile a component for a server, which starts this for itself.
    #[command(hide = true, name = worker::COMMAND)]
    Compile(worker::Order),
}

impl Command {
    /// Whether the command works on the files of a data folder. With `--server` it would work on another installation
    /// than the named one.
    fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Config
            | Self::Certificate(_)
            | Self::Secrets(_)
            | Self::Backup(_)
            | Self::Store(_)
            | Self::Token(token::TokenCommand::Recover { .. }) => true,
            Self::Init(_)
            | Self::Demo
            | Self::Status
            | Self::Bench(_)
            | Self::Key(_)
            | Self::Scope(_)
            | Self::Token(_)
            | Self::Registry(_)
            | Self::Ca(_)
            | Self::Enrollment(_)
            | Self::Group(_)
            | Self::Hub(_)
            | Self::Plugin(_)
            | Self::Registration(_)
            | Self::Decision(_)
            | Self::Compile(_) => false,
        }
    }
}

impl Cli {
    async fn run(self) -> Result<(), CliError> {
        let Self { common, command } = self;
        if common.server.is_some() && command.is_of_this_machine() {
            let text = "this command works on a data folder of this machine, and --server (or LANDFALL_SERVER in the \
                        environment) names a server elsewhere: name the folder with --data";
            return Err(CliError::Usage(text.to_owned()));
        }
        match command {
            Command::Init(args) => init::run(&common, args).await,
            Command::Serve(args) => Ok(serve::run(&common, args).await?),
            Command::Demo => Ok(demo::run().await?),
            Command::Status => status::run(&common).await,
            Command::Bench(bench) => Ok(bench.run(common.json).await?),
            Command::Config => config::run(&common),
            Command::Certificate(command) => certificate::run(&common, &command),
            Command::Key(command) => key::run(&common, &command),
            Command::Secrets(command) => secrets::run(&common, &command).await,
            Command::Backup(args) => backup::run(&common, args).await,
            Command::Store(command) => store::run(&common, command).await,
            Command::Scope(command) => scope::run(&common, command).await,
            Command::Token(command) => token::run(&common, command).await,
            Command::Registry(command) => registry::run(&common, command).await,
            Command::Ca(command) => ca::run(&common, command).await,
            Command::Enrollment(command) => enrollment::run(&common, command).await,
            Command::Group(command) => group::run(&common, command).await,
            Command::Hub(command) => hub::run(&common, command).await,
            Command::Plugin(command) => plugin::run(&common, command).await,
            Command::Registration(command) => registration::run(&common, command).await,
            Command::Decision(command) => decision::run(&common, command).await,
            Command::Compile(order) => Ok(worker::compile(&order)?),
        }
    }
}

impl Common {
    /// The data folder.
    pub fn folder(&self) -> DataFolder {
        DataFolder::at(&self.data)
    }

    /// Reads the configuration in the data folder.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not valid.
    pub fn config(&self) -> Result<Config, CliError> {
        Ok(Config::load(&self.folder().config())?)
    }

    /// The output for results.
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }

    /// Asks the person at a terminal to confirm something that cannot be undone.
    ///
    /// # Errors
    ///
    /// If the answer is not yes.
    fn sure(&self, what: &str) -> Result<(), CliError> {
        if self.yes || !std::io::stdin().is_terminal() {
            return Ok(());
        }
        let mut err = std::io::stderr().lock();
        let asked = write!(err, "{} Go on? [y/N] ", output::cleaned_lines(what)).and_then(|()| err.flush());
        asked.map_err(CliError::Output)?;
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|source| CliError::Read { path: "standard input".into(), source })?;
        if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
            return Ok(());
        }
        Err(CliError::Failed("nothing was changed".to_owned()))
    }

    /// Everything that a command needs to talk to the running server about an id scope.
    fn session(&self) -> Result<Session, CliError> {
        if self.server.is_some() {
            let without = "--server goes with --scope SCOPE, or LANDFALL_SCOPE in the environment; `landfall scope list` shows those that the token may see";
            let scope = self.scope.clone().ok_or_else(|| CliError::Usage(without.to_owned()))?;
            return Ok(Session { api: self.api()?, scope, out: self.output() });
        }
        let config = self.config()?;
        let scope = self.scope.clone().unwrap_or_else(|| config.server.scope.clone());
        let api = ManagementClient::of_folder(self.folder(), &config, self.token_file.as_deref())?;
        Ok(Session { api, scope, out: self.output() })
    }

    /// A client of the running server, for what belongs to no id scope.
    fn api(&self) -> Result<ManagementClient, CliError> {
        let Some(server) = self.server.clone() else {
            return Ok(ManagementClient::of_folder(self.folder(), &self.config()?, self.token_file.as_deref())?);
        };
        let (ca_file, token_file) = (self.ca_file.clone(), self.token_file.clone());
        // The token is not an option: everybody on the machine can read the words of a command.
        let token = std::env::var("LANDFALL_TOKEN").ok().filter(|token| !token.is_empty());
        Ok(ManagementClient::of_server(Remote { server, ca_file, token_file, token })?)
    }
}

/// A command's connection with the server, for one id scope.
struct Session {
    api: ManagementClient,
    scope: IdScope,
    out: Output,
}

impl Session {
    /// The path of something within the scope. Every part is escaped.
    fn path(&self, parts: &[&str]) -> String {
        let mut path = format!("/scopes/{}", escaped(self.scope.as_str()));
        for part in parts {
            path.push('/');
            path.push_str(&escaped(part));
        }
        path
    }
}

/// The configuration for serving a data folder in this process. Components are compiled in child processes of this
/// program.
fn config_to_serve(folder: &DataFolder) -> Result<Config, ConfigError> {
    let mut config = Config::load(&folder.config())?;
    config.compiler = worker::this_program();
    Ok(config)
}

/// Commands that serve use all cores. The others make a few calls, one after the other, on one thread.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let serves = matches!(command, Command::Serve(_) | Command::Demo | Command::Bench(_));
    let mut builder = if serves {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build()
}

/// How long the end of a command waits for its threads.
const FAREWELL: Duration = Duration::from_secs(5);

/// The exit code for a command that was not understood.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  landfall demo                                          see it work
  landfall init --data ./dps --hostname dps.example.com  make a data folder
  landfall serve --data ./dps                            serve it
  landfall registry import records.jsonl --data ./dps    import manufacturing records
  landfall decision show TRACKING-ID --data ./dps        why a device was refused, or got its hub

LANDFALL_DATA in the environment does the same as --data. Without a data folder, as in CI: --server, --ca-file, --scope
and --token-file, or LANDFALL_SERVER, LANDFALL_CA_FILE, LANDFALL_SCOPE and LANDFALL_TOKEN_FILE (LANDFALL_TOKEN holds the
token itself). A --data that is typed counts more than LANDFALL_SERVER.
It ends with 0 when all went well, 1 when something was refused or failed, 2 when the command was not understood;
serve also with 74 when its disk took no more.";

#[cfg(test)]
mod tests;
