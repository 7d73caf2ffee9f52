//! `landfall bench`: measures this machine, and compares with something else on the same machine in the same run.

use std::path::PathBuf;

use clap::Subcommand;

mod attack;
mod attestation;
mod beside;
mod cpu;
mod decision;
mod handshake;
mod load;
mod overload;
mod registration;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Full registrations, against handshakes on the same listener that verify the chain and answer a constant.
    Registration(registration::Options),
    /// Policy calls: CPU time, fuel and scaling with 8, 64 and 512 hubs.
    Decision(decision::Options),
    /// What tokens, TPMs and certificates cost to verify.
    Attestation(attestation::Options),
    /// Honest devices while somebody attacks: slow bytes, silent sockets, floods of each kind of bad credential.
    Overload(overload::Options),
    /// The attacker of `overload`.
    #[command(hide = true)]
    Attack {
        /// The file with the plan.
        plan: PathBuf,
    },
    /// The load generator of `registration`.
    #[command(hide = true)]
    Load {
        /// The file with the plan.
        plan: PathBuf,
    },
}

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file could not be used, or a process could not be started.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A plan or a report cannot be parsed.
    #[error("a plan or a report cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The load generator.
    #[error("the load generator failed: {0}")]
    Load(String),
    #[error(transparent)]
    Client(#[from] crate::client::ClientError),
    /// A client's certificate.
    #[error(transparent)]
    ClientTls(#[from] crate::client::tls::ClientTlsError),
    /// A data folder.
    #[error(transparent)]
    Init(#[from] crate::init::InitError),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    Serve(#[from] crate::server::ServeError),
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] landfall_attestation::x509::make::MakeError),
    #[error(transparent)]
    Store(#[from] landfall_store::StoreError),
    /// A generated name is not valid.
    #[error(transparent)]
    Name(#[from] landfall_domain::names::NameError),
    /// The policy host cannot start.
    #[error(transparent)]
    Policy(#[from] landfall_policy::StartError),
    /// The policy that is measured cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] landfall_policy::LoadError),
    /// The policy that is measured does not accept its settings.
    #[error(transparent)]
    Configure(#[from] landfall_policy::ConfigureError),
    /// A handshake in memory failed.
    #[error(transparent)]
    Handshake(#[from] rustls::Error),
    /// The measured operation does not do what it should.
    #[error("what was to be measured failed: {0}")]
    Failed(String),
    /// A decision failed.
    #[error(transparent)]
    Decision(#[from] landfall_domain::decision::failure::CallFailure),
}

impl Bench {
    /// Measures, and prints the result.
    pub(super) async fn run(self, json: bool) -> Result<(), BenchError> {
        match self {
            Self::Registration(options) => registration::run(options, json).await,
            Self::Decision(options) => tokio::task::block_in_place(|| decision::run(&options, json)),
            Self::Attestation(options) => attestation::run(&options, json),
            Self::Overload(options) => overload::run(options, json).await,
            Self::Attack { plan } => attack::run(&plan).await,
            Self::Load { plan } => load::run(&plan).await,
        }
    }
}
