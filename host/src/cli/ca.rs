//! `landfall ca`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;

use super::output::text;
use super::{CliError, Common};
use crate::names::CaName;

/// What can be done with certificate authorities.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Only an authority whose key is proven to be at hand admits devices:
  landfall ca upload factory root.pem
  landfall ca code factory                  prints a code
  (sign a certificate whose common name is that code with the authority's key)
  landfall ca verify factory proof.pem")]
pub(super) enum CaCommand {
    /// Upload an authority's certificate.
    Upload {
        /// The name to give it.
        name: CaName,
        /// Its certificate, PEM.
        file: PathBuf,
    },
    /// Make a verification code.
    Code {
        /// Its name.
        name: CaName,
    },
    /// Prove possession of its key by a certificate whose common name is the code.
    Verify {
        /// Its name.
        name: CaName,
        /// The certificate, PEM.
        file: PathBuf,
    },
    /// Bring its revocation list, or take it away. Devices whose certificates are on it are refused.
    Crl {
        /// Its name.
        name: CaName,
        /// The list, PEM or DER.
        #[arg(required_unless_present = "remove", conflicts_with = "remove")]
        file: Option<PathBuf>,
        /// Take the list away: nothing is revoked then.
        #[arg(long)]
        remove: bool,
    },
    /// Show an authority.
    Show {
        /// Its name.
        name: CaName,
    },
    /// List authorities.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete an authority that no group uses.
    Delete {
        /// Its name.
        name: CaName,
    },
}

/// Runs it.
pub(super) async fn run(common: &Common, command: CaCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        CaCommand::Upload { name, file } => {
            let body = json!({ "certificate": pem(&file)? });
            let answer = session.api.put(&session.path(&["authorities", name.as_str()]), &body).await?;
            let next = format!("It admits no devices before its key is proven: landfall ca code {name}");
            out.done(format!("Authority {name} is uploaded. {next}"), &answer)
        }
        CaCommand::Code { name } => {
            let path = session.path(&["authorities", name.as_str(), "verification-code"]);
            let answer = session.api.post(&path, &json!({})).await?;
            let code = text(answer.get("verificationCode"));
            let next = format!(
                "Sign a certificate with this common name by the authority's key, then: landfall ca verify {name} FILE"
            );
            out.done(format!("{code}\n\n{next}"), &answer)
        }
        CaCommand::Verify { name, file } => {
            let body = json!({ "certificate": pem(&file)? });
            let answer = session.api.post(&session.path(&["authorities", name.as_str(), "verify"]), &body).await?;
            out.done(format!("Authority {name} is proven."), &answer)
        }
        CaCommand::Crl { name, file, remove } => {
            let path = session.path(&["authorities", name.as_str(), "crl"]);
            let Some(file) = file.filter(|_| !remove) else {
                let answer = session.api.delete(&path).await?;
                return out.done(format!("Nothing of {name} is revoked any more."), &answer);
            };
            let bytes = std::fs::read(&file).map_err(|source| CliError::Read { path: file.clone(), source })?;
            let list = match String::from_utf8(bytes) {
                Ok(pem) => pem,
                Err(der) => STANDARD.encode(der.as_bytes()),
            };
            let answer = session.api.put(&path, &json!({ "crl": list })).await?;
            let (revoked, next) = (text(answer.pointer("/crl/revoked")), text(answer.pointer("/crl/nextUpdate")));
            out.done(format!("{revoked} certificates of {name} are revoked. The next list is due at {next}."), &answer)
        }
        CaCommand::Show { name } => {
            let answer = session.api.get(&session.path(&["authorities", name.as_str()])).await?;
            out.details(&answer)
        }
        CaCommand::List { limit } => {
            let page = session.api.list(&session.path(&["authorities"]), limit).await?;
            let columns = [
                ("name", "/name"),
                ("proven", "/verified"),
                ("subject", "/subject"),
                ("ends", "/notAfter"),
                ("sha-256", "/sha256"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "No authority is there; upload one with: landfall ca upload NAME FILE")
        }
        CaCommand::Delete { name } => {
            let answer = session.api.delete(&session.path(&["authorities", name.as_str()])).await?;
            out.done(format!("Authority {name} is deleted."), &answer)
        }
    }
}

/// A file with a certificate in it. Whether it is one that can be used, the server says.
pub(super) fn pem(file: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    if text.contains("PRIVATE KEY") {
        // Somebody took the wrong file; it must not go over the network, not even to the server.
        let what = format!("{} holds a private key; give a file with the certificate alone", file.display());
        return Err(CliError::Failed(what));
    }
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    }
    let how = format!("openssl x509 -inform der -in {} -out certificate.pem", file.display());
    Err(CliError::Failed(format!(
        "{} holds no certificate in PEM form; DER is turned into it by: {how}",
        file.display()
    )))
}
