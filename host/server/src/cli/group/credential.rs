//! How a group's devices prove themselves, from the options of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use landfall_attestation::x509::pem::{certificates_from, text_of};
use landfall_domain::names::{CaName, DirectoryName};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::cli::CliError;
use crate::cli::ca::pem;
use crate::cli::shared_key::SharedKeyArgs;
use crate::cli::token::without_nulls;

/// Exactly one of these options must be given.
pub(super) const WAYS: [&str; 7] =
    ["ca", "intermediate", "symmetric_key", "tpm_maker", "directory", "token_issuer", "file"];

/// One way to prove oneself, of several.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// The uploaded authority that its devices' certificates chain up to.
    #[arg(long, value_name = "NAME")]
    ca: Option<CaName>,
    /// The authority's successor.
    #[arg(long, value_name = "NAME", requires = "ca")]
    secondary_ca: Option<CaName>,
    /// An intermediate that its devices' certificates chain up to, PEM. Its own issuer must be an uploaded authority.
    #[arg(long, value_name = "FILE")]
    intermediate: Option<PathBuf>,
    /// The intermediate's successor.
    #[arg(long, value_name = "FILE", requires = "intermediate")]
    secondary_intermediate: Option<PathBuf>,
    #[command(flatten)]
    shared_key: SharedKeyArgs,
    /// Its devices prove themselves by TPMs of these makers: a file with their certificates that are trusted, PEM. The
    /// manufacturing record of a device names its endorsement key.
    #[arg(long, value_name = "FILE")]
    tpm_maker: Option<PathBuf>,
    /// Certificates that lead up to the makers', PEM.
    #[arg(long, value_name = "FILE", requires = "tpm_maker")]
    tpm_intermediates: Option<PathBuf>,
    /// Its devices are accounts of this directory, by its name in the server's landfall.toml. They come with Kerberos tickets.
    #[arg(long, value_name = "NAME")]
    directory: Option<DirectoryName>,
    /// A security group of the directory of which an account must be in one; can be given several times.
    #[arg(long = "directory-group", value_name = "NAME", requires = "directory")]
    directory_groups: Vec<String>,
    /// Any account of the kind will do, whatever groups it is in. Every user of a domain may make computers, as domains come.
    #[arg(long, requires = "directory", conflicts_with = "directory_groups")]
    any_account: bool,
    /// What kind of account.
    #[arg(long, value_name = "KIND", requires = "directory", default_value = "computers")]
    accounts: AccountName,
    /// Its devices prove themselves by tokens of this identity provider (OpenID Connect): its https:// address, as its tokens
    /// write it.
    #[arg(long, value_name = "URL", requires = "token_audiences")]
    token_issuer: Option<String>,
    /// An audience for tokens; can be given several times, and a token must be for one of them.
    #[arg(long = "token-audience", value_name = "NAME", requires = "token_issuer")]
    token_audiences: Vec<String>,
    /// The claim that is the registration id: sub, if nothing else is said.
    #[arg(long, value_name = "CLAIM", requires = "token_issuer")]
    token_id_claim: Option<String>,
    /// A claim that must have this value: JSON, or a text; can be given several times.
    #[arg(long = "token-claim", value_name = "CLAIM=VALUE", requires = "token_issuer", value_parser = claim)]
    token_claims: Vec<(String, Value)>,
    /// An algorithm with which tokens may be signed; can be given several times. Without it, all those of key pairs.
    #[arg(long = "token-algorithm", value_name = "NAME", requires = "token_issuer")]
    token_algorithms: Vec<String>,
    /// The kind of token it must be (typ), such as at+jwt.
    #[arg(long, value_name = "TYP", requires = "token_issuer")]
    token_type: Option<String>,
    /// For how many minutes tokens may be good.
    #[arg(long, value_name = "MINUTES", requires = "token_issuer")]
    token_max_minutes: Option<u64>,
    /// The certificate authority that the provider is called with, PEM; the platform's, if nothing is said.
    #[arg(long, value_name = "FILE", requires = "token_issuer")]
    token_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AccountName {
    /// Computers, whose names end with $; the registration id is without it.
    Computers,
    /// Accounts of people, and accounts that services run as.
    Users,
}

impl AccountName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Computers => "computers",
            Self::Users => "users",
        }
    }
}

impl CredentialArgs {
    /// The member of a group's body for this mechanism, and its value.
    pub(super) fn member(&self) -> Result<(&'static str, Value), CliError> {
        if let Some(keys) = self.shared_key.body()? {
            return Ok(("symmetricKey", keys));
        }
        if let Some(issuer) = &self.token_issuer {
            return Ok(("token", self.token(issuer)?));
        }
        if let Some(directory) = &self.directory {
            let accounts = self.accounts.as_str();
            let (groups, any) = (&self.directory_groups, self.any_account);
            let body = json!({ "name": directory, "accounts": accounts, "groups": groups, "anyAccount": any });
            return Ok(("directory", body));
        }
        if let Some(roots) = &self.tpm_maker {
            let intermediates = self.tpm_intermediates.as_deref().map(bundle).transpose()?;
            return Ok(("tpm", without_nulls(json!({ "roots": bundle(roots)?, "intermediates": intermediates }))));
        }
        Ok(("x509", self.x509()?))
    }

    fn x509(&self) -> Result<Value, CliError> {
        Ok(match &self.intermediate {
            Some(primary) => {
                let secondary = self.secondary_intermediate.as_deref().map(pem).transpose()?;
                let intermediates = without_nulls(json!({ "primary": pem(primary)?, "secondary": secondary }));
                json!({ "intermediates": intermediates })
            }
            None => {
                let authorities = without_nulls(json!({ "primary": self.ca, "secondary": self.secondary_ca }));
                json!({ "authorities": authorities })
            }
        })
    }

    fn token(&self, issuer: &str) -> Result<Value, CliError> {
        let required: Map<_, _> = self.token_claims.iter().cloned().collect();
        Ok(without_nulls(json!({
            "issuer": issuer,
            "audiences": self.token_audiences,
            "registrationIdClaim": self.token_id_claim,
            "requiredClaims": required,
            "algorithms": self.token_algorithms,
            "tokenType": self.token_type,
            "maxLifetimeMinutes": self.token_max_minutes,
            "caCertificate": self.token_ca.as_deref().map(pem).transpose()?,
        })))
    }
}

/// Parses `CLAIM=VALUE`. A value that is not JSON is a text.
pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("it is CLAIM=VALUE")?;
    let value = match landfall_domain::json::value(value) {
        Ok(value) => value,
        // JSON that cannot be stored exactly would become a different value if it was taken as a text.
        Err(error) if serde_json::from_str::<IgnoredAny>(value).is_ok() => return Err(error.to_string()),
        Err(_) => value.into(),
    };
    Ok((name.to_owned(), value))
}

/// The certificates in a file, each as PEM.
pub(super) fn bundle(path: &Path) -> Result<Vec<String>, CliError> {
    let text = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let certificates = certificates_from(text);
    let certificates = certificates.map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    Ok(certificates.iter().map(|der| text_of(der)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_json_that_can_be_kept_or_a_text() {
        for (text, value) in [("a=1", json!(1)), ("a=x", json!("x")), ("a=[\"x\"]", json!(["x"])), ("a=", json!(""))] {
            assert_eq!(claim(text), Ok(("a".to_owned(), value)));
        }
        for text in ["a=12345678901234567890123", "a=1e999", r#"a={"b":1,"b":2}"#, r#"a="\ud800""#, "=1", "a"] {
            assert!(claim(text).is_err(), "{text}");
        }
    }
}
