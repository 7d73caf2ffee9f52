//! Changes of how a group's devices prove themselves, from the options of the command line.

use std::path::PathBuf;

use clap::Args;
use landfall_domain::names::{CaName, DirectoryName};
use serde_json::{Map, Value, json};

use super::credential::{AccountName, bundle, claim};
use crate::cli::CliError;
use crate::cli::ca::pem;
use crate::cli::shared_key::SharedKeyChangeArgs;
use crate::cli::ways::{AUTHORITIES, DIRECTORY, Edits, INTERMEDIATES, MAKERS, TOKEN};

/// Changes of one way to prove oneself, or another one.
#[derive(Debug, Args)]
#[command(next_help_heading = "How devices prove themselves")]
pub(super) struct CredentialChangeArgs {
    /// The uploaded authority that its devices' certificates chain up to.
    #[arg(long, value_name = "NAME")]
    ca: Option<CaName>,
    /// The authority's successor.
    #[arg(long, value_name = "NAME", conflicts_with = "no_secondary_ca")]
    secondary_ca: Option<CaName>,
    /// The authority has no successor any more.
    #[arg(long)]
    no_secondary_ca: bool,
    /// An intermediate that its devices' certificates chain up to, PEM.
    #[arg(long, value_name = "FILE")]
    intermediate: Option<PathBuf>,
    /// The intermediate's successor.
    #[arg(long, value_name = "FILE", conflicts_with = "no_secondary_intermediate")]
    secondary_intermediate: Option<PathBuf>,
    /// The intermediate has no successor any more.
    #[arg(long)]
    no_secondary_intermediate: bool,
    #[command(flatten)]
    shared_key: SharedKeyChangeArgs,
    /// A file with the makers' certificates that are trusted, PEM, in place of the present ones.
    #[arg(long, value_name = "FILE")]
    tpm_maker: Option<PathBuf>,
    /// A file with certificates that lead up to the makers', PEM, in place of the present ones.
    #[arg(long, value_name = "FILE", conflicts_with = "no_tpm_intermediates")]
    tpm_intermediates: Option<PathBuf>,
    /// No certificates lead up to the makers'.
    #[arg(long)]
    no_tpm_intermediates: bool,
    /// The directory whose accounts its devices are, by its name in the server's landfall.toml.
    #[arg(long, value_name = "NAME")]
    directory: Option<DirectoryName>,
    /// A security group of which an account must be in one. All that are given replace the present ones.
    #[arg(long = "directory-group", value_name = "NAME", conflicts_with = "any_account")]
    directory_groups: Vec<String>,
    /// Any account of the kind will do, whatever groups it is in.
    #[arg(long)]
    any_account: bool,
    /// What kind of account.
    #[arg(long, value_name = "KIND")]
    accounts: Option<AccountName>,
    /// The identity provider whose tokens are taken: its https:// address, as its tokens write it.
    #[arg(long, value_name = "URL")]
    token_issuer: Option<String>,
    /// An audience that tokens may be for. All that are given replace the present ones.
    #[arg(long = "token-audience", value_name = "NAME")]
    token_audiences: Vec<String>,
    /// The claim that is the registration id.
    #[arg(long, value_name = "CLAIM")]
    token_id_claim: Option<String>,
    /// A claim that must have this value: JSON, or a text. All that are given replace the present ones.
    #[arg(long = "token-claim", value_name = "CLAIM=VALUE", value_parser = claim, conflicts_with = "no_token_claims")]
    token_claims: Vec<(String, Value)>,
    /// No claim must have a certain value.
    #[arg(long)]
    no_token_claims: bool,
    /// An algorithm with which tokens may be signed. All that are given replace the present ones.
    #[arg(long = "token-algorithm", value_name = "NAME", conflicts_with = "no_token_algorithms")]
    token_algorithms: Vec<String>,
    /// Tokens may be signed with all the algorithms of key pairs.
    #[arg(long)]
    no_token_algorithms: bool,
    /// The kind of token it must be (typ), such as at+jwt.
    #[arg(long, value_name = "TYP", conflicts_with = "no_token_type")]
    token_type: Option<String>,
    /// Any kind of token will do.
    #[arg(long)]
    no_token_type: bool,
    /// For how many minutes tokens may be good.
    #[arg(long, value_name = "MINUTES", conflicts_with = "no_token_max_minutes")]
    token_max_minutes: Option<u64>,
    /// Tokens may be good for any time.
    #[arg(long)]
    no_token_max_minutes: bool,
    /// The certificate authority that the provider is called with, PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "no_token_ca")]
    token_ca: Option<PathBuf>,
    /// The provider is called with the authorities of the server's platform.
    #[arg(long)]
    no_token_ca: bool,
}

impl CredentialChangeArgs {
    /// The changes that the options ask for.
    pub(super) fn edits(&self) -> Result<Edits, CliError> {
        let mut edits = Edits::default();
        let name = |name: &Option<CaName>| name.as_ref().map(|name| json!(name));
        let certificate = |file: &Option<PathBuf>| file.as_deref().map(pem).transpose().map(|pem| pem.map(Value::from));
        let certificates =
            |file: &Option<PathBuf>| file.as_deref().map(bundle).transpose().map(|all| all.map(Value::from));
        edits.begin(&AUTHORITIES, "primary", name(&self.ca));
        edits.set(&AUTHORITIES, "secondary", name(&self.secondary_ca));
        edits.remove(&AUTHORITIES, "secondary", self.no_secondary_ca);
        edits.begin(&INTERMEDIATES, "primary", certificate(&self.intermediate)?);
        edits.set(&INTERMEDIATES, "secondary", certificate(&self.secondary_intermediate)?);
        edits.remove(&INTERMEDIATES, "secondary", self.no_secondary_intermediate);
        self.shared_key.edit(&mut edits)?;
        edits.begin(&MAKERS, "roots", certificates(&self.tpm_maker)?);
        edits.set(&MAKERS, "intermediates", certificates(&self.tpm_intermediates)?);
        edits.remove(&MAKERS, "intermediates", self.no_tpm_intermediates);
        self.directory(&mut edits);
        self.token(&mut edits, certificate(&self.token_ca)?);
        Ok(edits)
    }

    fn directory(&self, edits: &mut Edits) {
        edits.begin(&DIRECTORY, "name", self.directory.as_ref().map(|name| json!(name)));
        edits.set(&DIRECTORY, "groups", several(&self.directory_groups));
        // A list of groups and any account exclude each other.
        edits.remove(&DIRECTORY, "anyAccount", !self.directory_groups.is_empty());
        edits.set(&DIRECTORY, "anyAccount", self.any_account.then(|| true.into()));
        edits.remove(&DIRECTORY, "groups", self.any_account);
        edits.set(&DIRECTORY, "accounts", self.accounts.map(|kind| kind.as_str().into()));
    }

    fn token(&self, edits: &mut Edits, ca: Option<Value>) {
        let claims: Map<_, _> = self.token_claims.iter().cloned().collect();
        edits.begin(&TOKEN, "issuer", self.token_issuer.as_ref().map(|issuer| json!(issuer)));
        edits.set(&TOKEN, "audiences", several(&self.token_audiences));
        edits.set(&TOKEN, "registrationIdClaim", self.token_id_claim.as_ref().map(|claim| json!(claim)));
        edits.set(&TOKEN, "requiredClaims", (!claims.is_empty()).then(|| claims.into()));
        edits.set(&TOKEN, "algorithms", several(&self.token_algorithms));
        edits.set(&TOKEN, "tokenType", self.token_type.as_ref().map(|kind| json!(kind)));
        edits.set(&TOKEN, "maxLifetimeMinutes", self.token_max_minutes.map(Value::from));
        edits.set(&TOKEN, "caCertificate", ca);
        for (member, goes) in [
            ("requiredClaims", self.no_token_claims),
            ("algorithms", self.no_token_algorithms),
            ("tokenType", self.no_token_type),
            ("maxLifetimeMinutes", self.no_token_max_minutes),
            ("caCertificate", self.no_token_ca),
        ] {
            edits.remove(&TOKEN, member, goes);
        }
    }
}

/// A list, if the option was given at least once.
fn several(all: &[String]) -> Option<Value> {
    (!all.is_empty()).then(|| json!(all))
}
