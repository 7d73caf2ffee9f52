//! `landfall ca`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use landfall_attestation::x509::pem;
use landfall_domain::names::CaName;
use landfall_domain::registry::SerialNumber;
use landfall_domain::secret::address;
use serde_json::{Value, json};

use super::output::text;
use super::token::without_nulls;
use super::{CliError, Common, Session};
use crate::client::management::ManagementError;

/// What can be done with certificate authorities.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Only an authority whose key is proven to be at hand admits devices:
  landfall ca upload factory root.pem
  landfall ca code factory                  prints a code
  (sign a certificate whose common name is that code with the authority's key)
  landfall ca verify factory proof.pem")]
pub(super) enum CaCommand {
    /// Upload an authority's certificate. What was revoked of this authority (its name and key) stays revoked.
    Upload {
        /// The name to give it.
        name: CaName,
        /// Its certificate, PEM.
        file: PathBuf,
        /// Put it in the place of the certificate that is there: of one with the same name and key while groups rest on it
        /// (it stays proven), or of any on which no group rests.
        #[arg(long)]
        replace: bool,
    },
    /// Make a verification code.
    Code {
        /// The authority's name.
        name: CaName,
    },
    /// Prove possession of its key by a certificate whose common name is the code.
    Verify {
        /// The authority's name.
        name: CaName,
        /// The certificate, PEM.
        file: PathBuf,
    },
    /// Bring its revocation list, say where it is fetched, or take it away. Devices whose certificates are on it are refused,
    /// pinned ones too.
    Crl(CrlArgs),
    /// Revoke certificates by their serial numbers, or the authority itself with all that it issued, on all levels and pinned
    /// certificates too. It counts at once, and until `restore`, also when the authority is renewed or deleted.
    #[command(after_help = "\
Examples:
  landfall ca revoke factory --serial 3A:0F:11
  landfall ca revoke factory --serial 1000..1FFF
  landfall ca revoke factory --all")]
    Revoke(RevokeArgs),
    /// Take a revocation back that was made with `revoke`.
    #[command(after_help = "\
Examples:
  landfall ca restore factory --serial 3A:0F:11
  landfall ca restore factory --all
  landfall ca restore --issuer ID --all      of an authority that was deleted, by its id in `landfall ca revocations`")]
    Restore(RevokeArgs),
    /// List all that is revoked, issuer by issuer, also of authorities that were deleted.
    Revocations {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show an authority.
    Show {
        /// The authority's name.
        name: CaName,
    },
    /// List the certificate authorities.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete an authority on which no group rests. What was revoked of it stays revoked.
    Delete {
        /// The authority's name.
        name: CaName,
    },
}

/// What `ca crl` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(false).args(["file", "remove", "url", "no_url", "when_stale"])))]
#[command(override_usage = "\
landfall ca crl NAME FILE
       landfall ca crl NAME --url URL [--refresh-minutes N] [--url-ca FILE] [--unchecked]
       landfall ca crl NAME --remove | --no-url | --when-stale HOW
       landfall ca crl --issuer ID ...      in place of NAME, but not with FILE")]
#[command(after_help = "\
Examples:
  landfall ca crl factory list.pem
  landfall ca crl factory --url https://pki.example.com/factory.crl --refresh-minutes 60
  landfall ca crl factory --when-stale warn
  landfall ca crl factory --remove
  landfall ca crl --issuer ID --remove      of an authority that was deleted, by its id in `landfall ca revocations`")]
pub(super) struct CrlArgs {
    #[arg(required_unless_present = "issuer")]
    name: Option<CaName>,
    /// Its id in `landfall ca revocations`, in place of a name. A list is brought to a name only.
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "file"])]
    issuer: Option<String>,
    /// The list, PEM or DER: the whole one, and none older than the one that is there.
    file: Option<PathBuf>,
    /// Take the list away: nothing is on it then.
    #[arg(long)]
    remove: bool,
    /// Have the list fetched from this https:// or http:// address, again and again. It is fetched once before the address is
    /// taken: where none can be had, nothing changes. The list is signed; over http:// somebody between could still hold a
    /// newer one back until the present one is out of date.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Take the address without fetching from it first. Where no list is there yet, the authority's devices are refused until
    /// one could be fetched, unless --when-stale warn was said.
    #[arg(long, requires = "url")]
    unchecked: bool,
    /// Minutes from one time to the next.
    #[arg(long, value_name = "N", requires = "url")]
    refresh_minutes: Option<u64>,
    /// The authority that an https:// address is trusted by, PEM; by default those of the server's platform.
    #[arg(long, value_name = "FILE", requires = "url")]
    url_ca: Option<PathBuf>,
    /// Fetch it no more. The list that is there stays.
    #[arg(long)]
    no_url: bool,
    /// What holds while the list is out of date.
    #[arg(long, value_name = "HOW")]
    when_stale: Option<WhenStaleName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhenStaleName {
    /// The authority's devices are refused.
    Refuse,
    /// The list counts on, and the log says so.
    Warn,
}

/// What `ca revoke` and `ca restore` take.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The authority's name.
    #[arg(required_unless_present = "issuer")]
    name: Option<CaName>,
    /// Its id in `landfall ca revocations`, in place of a name.
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    issuer: Option<String>,
    /// A serial number, hexadecimal, or from one to another with two dots between; can be given several times.
    #[arg(long = "serial", value_name = "HEX|HEX..HEX", required_unless_present = "all", conflicts_with = "all")]
    serials: Vec<String>,
    /// The authority itself, with all that it issued.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(common: &Common, command: CaCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        CaCommand::Upload { name, file, replace } => {
            let body = json!({ "certificate": pem(&file)? });
            let path = session.path(&["authorities", name.as_str()]);
            let path = if replace { format!("{path}?replace=true") } else { path };
            let answer = session.api.put(&path, &body).await?;
            let next = match answer.get("verified").and_then(Value::as_bool) {
                Some(true) => "It is proven.".to_owned(),
                _ => format!("It admits no devices before its key is proven: landfall ca code {name}"),
            };
            let stands = if says_something(&answer) {
                format!(" What was revoked of it stays so; see it with: landfall ca show {name}")
            } else {
                String::new()
            };
            out.done(format!("Authority {name} is uploaded. {next}{stands}"), &answer)
        }
        CaCommand::Code { name } => {
            let path = session.path(&["authorities", name.as_str(), "verification-code"]);
            let answer = session.api.post(&path, &json!({})).await?;
            let code = text(answer.get("verificationCode"));
            let next = format!(
                "Sign a certificate with this common name by the authority's key, then: landfall ca verify {name} FILE"
            );
            // The code alone goes to standard output, so that a script can use it: -subj "/CN=$(landfall ca code
            // NAME)".
            out.hint(&next);
            out.done(code, &answer)
        }
        CaCommand::Verify { name, file } => {
            let body = json!({ "certificate": pem(&file)? });
            let proven = session.api.post(&session.path(&["authorities", name.as_str(), "verify"]), &body).await;
            let answer = proven.map_err(|error| match error {
                ManagementError::Problem(problem) if problem.status == 409 => {
                    CliError::Failed(format!("{problem}: landfall ca code {name}"))
                }
                other => other.into(),
            })?;
            out.done(format!("Authority {name} is proven."), &answer)
        }
        CaCommand::Crl(args) => crl(&mut session, args).await,
        CaCommand::Revoke(args) => revoke(common, &mut session, &args, true).await,
        CaCommand::Restore(args) => revoke(common, &mut session, &args, false).await,
        CaCommand::Revocations { limit } => {
            let page = session.api.list(&session.path(&["revocations"]), limit).await?;
            let columns = [
                ("id", "/id"),
                ("issuer", "/issuer"),
                ("uploaded as", "/authorities"),
                ("revoked itself", "/revocation/revoked"),
                ("serial numbers", "/revocation/serials"),
                ("on its list", "/crl/revoked"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "Nothing is revoked; revoke with: landfall ca revoke NAME --serial HEX")
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
                ("refused because", "/revocation/refusedBecause"),
                ("sha-256", "/sha256"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "No authority is there; upload one with: landfall ca upload NAME FILE")
        }
        CaCommand::Delete { name } => {
            let answer = session.api.delete(&session.path(&["authorities", name.as_str()])).await?;
            let stays = "What was revoked of it stays so, for devices with pinned certificates and when it is uploaded again; see it with: landfall ca revocations";
            out.done(format!("Authority {name} is deleted. {stays}."), &answer)
        }
    }
}

/// Whether the API's answer about an authority shows any revocation.
fn says_something(authority: &Value) -> bool {
    let serials = authority.pointer("/revocation/serials").and_then(Value::as_array);
    authority.get("crl").is_some()
        || authority.pointer("/revocation/revoked") == Some(&Value::Bool(true))
        || serials.is_some_and(|serials| !serials.is_empty())
}

/// The paths for changes to an authority's revocations, and its display name. It is named by its name or by its id.
fn of_whom(
    session: &Session,
    name: Option<CaName>,
    issuer: Option<String>,
) -> Result<(String, String, String), CliError> {
    match (name, issuer) {
        (Some(name), _) => {
            let of = |what| session.path(&["authorities", name.as_str(), what]);
            Ok((of("revocation"), of("crl"), name.to_string()))
        }
        (None, Some(id)) => {
            let paths = (session.path(&["revocations", &id]), session.path(&["revocations", &id, "crl"]));
            Ok((paths.0, paths.1, format!("issuer {id}")))
        }
        (None, None) => Err(CliError::Usage("name the authority, or give its --issuer".to_owned())),
    }
}

async fn crl(session: &mut Session, args: CrlArgs) -> Result<(), CliError> {
    let out = session.out;
    let (revocation, path, name) = of_whom(session, args.name, args.issuer)?;
    if args.remove {
        let answer = session.api.delete(&path).await?;
        return out.done(
            format!(
                "The list of {name} is gone: nothing is on it any more. Where a list is fetched, the next one is fetched at \
                 once, and until it is there the devices are refused unless --when-stale warn was said; landfall ca show says \
                 how that goes, and --no-url ends it."
            ),
            &answer,
        );
    }
    if let Some(file) = args.file {
        let bytes = std::fs::read(&file).map_err(|source| CliError::Read { path: file.clone(), source })?;
        let list = match String::from_utf8(bytes) {
            Ok(pem) => pem,
            Err(der) => STANDARD.encode(der.as_bytes()),
        };
        let answer = session.api.put(&path, &json!({ "crl": list })).await?;
        let (revoked, next) = (text(answer.pointer("/crl/revoked")), text(answer.pointer("/crl/nextUpdate")));
        return out
            .done(format!("{revoked} certificates of {name} are revoked. The next list is due at {next}."), &answer);
    }
    let path = revocation;
    if let Some(url) = &args.url {
        let trusted_by = args.url_ca.as_deref().map(pems).transpose()?;
        let shown = address::masked(url);
        let mut said =
            json!({ "crlUrl": url, "crlRefreshMinutes": args.refresh_minutes, "crlCaCertificate": trusted_by });
        if let (true, Some(members)) = (args.unchecked, said.as_object_mut()) {
            members.insert("crlUnchecked".to_owned(), true.into());
        }
        let answer = session.api.put(&path, &without_nulls(said)).await.map_err(|error| match error {
            ManagementError::Problem(problem) if problem.status == 422 => {
                CliError::Failed(format!("{problem}; --unchecked takes the address all the same"))
            }
            other => other.into(),
        })?;
        let found = match answer.get("crl") {
            _ if args.unchecked => format!("how that goes: landfall ca show {name}"),
            Some(crl) => {
                let (revoked, next) = (text(crl.get("revoked")), text(crl.get("nextUpdate")));
                format!("on the one that is there now are {revoked} certificates, and the next is due at {next}.")
            }
            None => format!("how that goes: landfall ca show {name}"),
        };
        return out.done(format!("The list of {name} is fetched from {shown}; {found}"), &answer);
    }
    let (body, done) = if args.no_url {
        (json!({ "crlUrl": "" }), format!("The list of {name} is not fetched any more; the one that is there stays."))
    } else {
        let (word, done) = match args.when_stale {
            Some(WhenStaleName::Warn) => ("warn", "counts on, and the log says so"),
            _ => ("refuse", "has its devices refused"),
        };
        (json!({ "whenStale": word }), format!("A list of {name} that is out of date {done}."))
    };
    let answer = session.api.put(&path, &body).await?;
    out.done(done, &answer)
}

/// Revokes certificates, or takes revocations back.
async fn revoke(common: &Common, session: &mut Session, args: &RevokeArgs, revoked: bool) -> Result<(), CliError> {
    let out = session.out;
    let (path, _, name) = of_whom(session, args.name.clone(), args.issuer.clone())?;
    if args.all {
        if revoked {
            common.sure(&format!("All devices whose certificates come from {name}, on any level, are refused."))?;
        }
        let answer = session.api.put(&path, &json!({ "revoked": revoked })).await?;
        let what = if revoked { "is revoked, with all that it issued" } else { "counts again" };
        return out.done(format!("Authority {name} {what}."), &answer);
    }
    let mut ranges = Vec::new();
    for given in &args.serials {
        let (from, to) = match given.split_once("..") {
            Some((from, to)) => (plain(from)?, Some(plain(to)?)),
            None => (plain(given)?, None),
        };
        ranges.push(without_nulls(json!({ "from": from, "to": to })));
    }
    // The server merges the change with the present list, so that of several concurrent changes none is lost.
    let member = if revoked { "revokeSerials" } else { "restoreSerials" };
    let answer = session.api.put(&path, &json!({ member: ranges })).await?;
    let what = if revoked { "are revoked" } else { "are not revoked any more" };
    out.done(format!("{} of {name} {what}.", args.serials.join(", ")), &answer)
}

fn plain(text: &str) -> Result<SerialNumber, CliError> {
    text.trim().parse().map_err(|error| CliError::Usage(format!("{text:?}: {error}")))
}

/// Reads the certificate in a file of any format, as PEM. The server checks whether it can be used.
pub(super) fn pem(file: &Path) -> Result<String, CliError> {
    let one = pem::certificate_from(read(file)?);
    Ok(pem::text_of(&one.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?))
}

/// The same, for a file that may hold several certificates.
fn pems(file: &Path) -> Result<String, CliError> {
    let all = pem::certificates_from(read(file)?);
    let all = all.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    Ok(all.iter().map(|der| pem::text_of(der)).collect())
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = std::fs::read(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    if pem::holds_private_key(&bytes) {
        // The operator named the wrong file. Its private key must not be sent over the network, not even to the server.
        let what = format!("{} holds a private key; give a file with the certificate alone", file.display());
        return Err(CliError::Failed(what));
    }
    Ok(bytes)
}
