//! `landfall certificate`: the server's own certificate. It works on the data folder, whether or not a server runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use landfall_attestation::x509::make::{Authority, expires_at};
use landfall_domain::clock::{Ambient, Timestamp};
use serde_json::json;

use super::{CliError, Common};
use crate::config::Config;
use crate::folder::DataFolder;
use crate::init::{SERVER_DAYS, server_names};
use crate::tls::current::Current;
use crate::tls::{Untimely, renewal};

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub(super) enum CertificateCommand {
    /// Say until when it is good, and for which host name.
    Show,
    /// Make a new key and a new certificate of the same CA, so that devices trust it as they are.
    Renew(RenewArgs),
}

/// What `certificate renew` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
A server that runs takes it when it is told so: kill -HUP its process, or restart it. Connections that are open stay.
A certificate of another CA is never replaced. To use one, put it into tls/server.pem (with its chain) and tls/server.key,
its CA's certificate into tls/ca.pem (the command line trusts that one), and send the same signal.")]
pub(super) struct RenewArgs {
    /// How many days it is good.
    #[arg(long, value_name = "N", default_value_t = SERVER_DAYS, value_parser = clap::value_parser!(i64).range(1..=3653))]
    days: i64,
}

pub(super) fn run(common: &Common, command: &CertificateCommand) -> Result<(), CliError> {
    let (folder, config, now) = (common.folder(), common.config()?, Ambient::system().now());
    match command {
        CertificateCommand::Show => show(common, &folder, &config, now, "is good"),
        CertificateCommand::Renew(args) => {
            renew(&folder, &config, now, args.days)?;
            show(common, &folder, &config, now, "was renewed: send the server SIGHUP, or restart it; it is good")
        }
    }
}

fn renew(folder: &DataFolder, config: &Config, now: Timestamp, days: i64) -> Result<(), CliError> {
    let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| CliError::Read { path, source });
    if !folder.ca_key().exists() {
        return Err(CliError::Failed(format!(
            "{} is not there, so that nothing can be signed with the CA that devices trust; bring a certificate of your \
             own CA: its chain into {}, its key into {}",
            folder.ca_key().display(),
            folder.server_certificate().display(),
            folder.server_key().display(),
        )));
    }
    let authority = Authority::load(&read(folder.ca_certificate())?, &read(folder.ca_key())?).map_err(failed)?;
    ours(folder, &authority)?;
    let left = authority.expires_at().since(now).as_secs() / 86_400;
    if authority.expires_at() <= now || days > i64::try_from(left).unwrap_or(i64::MAX) {
        return Err(CliError::Failed(format!(
            "the CA's own certificate ({}) ends {}, before a certificate of {days} days would; choose fewer --days, or \
             bring a certificate of another CA that devices trust",
            folder.ca_certificate().display(),
            authority.expires_at(),
        )));
    }
    let issued = authority.server(&server_names(&config.server.hostname), now, days).map_err(failed)?;
    renewal::replace(folder, &issued.key_pem, &issued.certificate_pem)
        .map_err(|source| CliError::Write { path: folder.server_certificate(), source })
}

/// Checks that Landfall issued the present certificate. A certificate of another CA may be what devices trust, and is
/// not replaced.
fn ours(folder: &DataFolder, authority: &Authority) -> Result<(), CliError> {
    let (pem, key) = (folder.ca_certificate(), folder.ca_key());
    if !authority.has_its_key() {
        return Err(CliError::Failed(format!(
            "{} is not the certificate of the key in {}, so nothing was changed; whoever brings a certificate of another \
             CA renews it there, puts it into {} and {}, and sends the server SIGHUP",
            pem.display(),
            key.display(),
            folder.server_certificate().display(),
            folder.server_key().display(),
        )));
    }
    let current = folder.server_certificate();
    let shown = match renewal::load(folder) {
        Ok(identity) => identity,
        // There is nothing to lose: the error about an unusable certificate advises `renew`.
        Err(_) => return Ok(()),
    };
    match shown.chain.first() {
        Some(leaf) if !authority.has_signed(leaf) => Err(CliError::Failed(format!(
            "{} was not issued by the CA in {}, so nothing was changed; renew it where it was issued, or move it away to \
             have one made by this CA",
            current.display(),
            pem.display(),
        ))),
        _ => Ok(()),
    }
}

fn show(common: &Common, folder: &DataFolder, config: &Config, now: Timestamp, what: &str) -> Result<(), CliError> {
    let identity = renewal::load(folder).map_err(failed)?;
    let current = Current::new(identity).map_err(failed)?;
    let (hostname, expires) = (&config.server.hostname, current.expires_at());
    let days = expires.since(now).as_secs() / 86_400;
    let fits = current.is_for(hostname);
    let names = match &fits {
        Ok(()) => format!("It is for {hostname}, as landfall.toml says."),
        Err(reason) => format!("IT IS NOT FOR {hostname}, as landfall.toml says: {reason}"),
    };
    let authority = std::fs::read_to_string(folder.ca_certificate()).ok().and_then(|pem| expires_at(&pem));
    let of_authority = match authority {
        Some(end) if end <= now => format!("\nITS CA ENDED {end}: clients that look at it refuse the server."),
        Some(end) => format!("\nIts CA ({}) is good until {end}.", folder.ca_certificate().display()),
        None => String::new(),
    };
    let out = common.output();
    let until = match current.is_good_at(now, config.clock_skew()) {
        Err(Untimely::Expired(end)) => {
            format!("THE SERVER'S CERTIFICATE ENDED {end}: clients that look at it refuse the server.")
        }
        Err(Untimely::NotYet(begin)) => {
            format!("THE SERVER'S CERTIFICATE BEGINS {begin}: clients that look at it refuse the server until then.")
        }
        Ok(()) => format!("The server's certificate {what} until {expires} ({days} days)."),
    };
    out.say(format!("{until}\n{names}{of_authority}"))?;
    out.value(&json!({
        "expiresAt": expires.to_string(), "days": days, "hostname": hostname, "matches": fits.is_ok(),
        "caExpiresAt": authority.map(|end| end.to_string()),
    }))
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(error.to_string())
}
