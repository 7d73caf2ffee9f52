//! Why a command failed: what, where, and what to do, in one paragraph.

use std::path::PathBuf;
use std::process::ExitCode;

use landfall_domain::names::NameError;
use landfall_policy::image::worker;

use super::USAGE;
use super::bench::BenchError;
use super::demo::DemoError;
use super::serve::ServeCommandError;
use crate::client::management::ManagementError;
use crate::config::ConfigError;
use crate::init::InitError;
use crate::telemetry;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CliError {
    /// The options contradict each other in a way that clap does not check.
    #[error("{0}")]
    Usage(String),
    /// A failure that was found here. The text is complete.
    #[error("{0}")]
    Failed(String),
    /// Everything has been printed already, on standard output.
    #[error("not everything was taken")]
    Told,
    /// The server refused the request, or could not be reached.
    #[error(transparent)]
    Management(#[from] ManagementError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder could not be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The server did not start, or did not stop cleanly.
    #[error(transparent)]
    Serve(#[from] ServeCommandError),
    /// The demo did not reach its end.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A measurement failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    /// A text is not JSON.
    #[error("{place} is not JSON: {source}")]
    Json {
        place: String,
        /// The place of the error and what is wrong.
        source: serde_json::Error,
    },
    /// Tests failed, and have printed why.
    #[error("tests failed")]
    Tests(u8),
    /// A component could not be compiled. The server that asked for it gets the reason.
    #[error(transparent)]
    Compile(#[from] worker::Ended),
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Output(std::io::Error),
    /// The threads of the process cannot be started.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

impl CliError {
    /// Prints the failure for people, and answers the exit code.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Told => ExitCode::FAILURE,
            Self::Tests(code) => ExitCode::from(*code),
            // The reader has closed the pipe because it has seen enough: `landfall registry list | head`.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Usage(text) => {
                telemetry::complain(&format!("landfall: {text}\n\nFor more information, try '--help'."));
                ExitCode::from(USAGE)
            }
            Self::Compile(ended) => {
                telemetry::complain(&ended.to_string());
                ExitCode::from(ended.exit_code)
            }
            other => {
                telemetry::complain(&format!("landfall: {}", super::output::cleaned_lines(&other.to_string())));
                ExitCode::FAILURE
            }
        }
    }
}
