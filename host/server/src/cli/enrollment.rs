//! `landfall enrollment`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use landfall_attestation::tpm::PublicArea;
use landfall_domain::names::{DeviceId, Digest, RegistrationId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ca::pem;
use super::changes::{ChangeArgs, nothing_said};
use super::enrolled::Kind;
use super::shared_key::{SharedKeyArgs, SharedKeyChangeArgs};
use super::terms::{PreconditionArgs, TermsArgs, json_or_file};
use super::token::without_nulls;
use super::ways::{CHIP, Edits, PASSWORD, PINS};
use super::{CliError, Common};

/// What can be done with individual enrollments.
#[derive(Debug, Subcommand)]
pub(super) enum EnrollmentCommand {
    /// Enroll a device, or change all that is said of an enrolled one: what is not said is as in a new enrollment.
    Put(Box<PutArgs>),
    /// Change what is said of an enrolled device; the rest of it stays.
    Set(Box<SetArgs>),
    /// Show an enrollment.
    Show {
        /// The registration id.
        id: RegistrationId,
    },
    /// List the individual enrollments.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete an enrollment. The device keeps its hub until it registers again.
    Delete {
        /// The registration id.
        id: RegistrationId,
    },
}

/// What `enrollment put` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall enrollment put pump-7 --certificate pump-7.pem
  landfall enrollment put pump-7 --certificate sha256:6F:9A:... --hub hub-eu.example.com
  landfall enrollment put meter-7 --symmetric-key --primary-key meter-7.key
  landfall enrollment put gateway-7 --endorsement-key ek.pub
  landfall enrollment put pump-7 --file enrollment.json --only-new")]
pub(super) struct PutArgs {
    /// The registration id.
    id: RegistrationId,
    /// The device's certificate: a PEM file, or sha256: and its digest.
    #[arg(long, value_name = "FILE|sha256:HEX", required_unless_present_any = ["symmetric_key", "endorsement_key", "password_file", "file"], conflicts_with = "symmetric_key")]
    certificate: Option<String>,
    /// Its successor, while certificates are rolled over.
    #[arg(long, value_name = "FILE|sha256:HEX", requires = "certificate")]
    secondary: Option<String>,
    /// The device's id in its hub; by default the registration id.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    device_id: Option<DeviceId>,
    #[command(flatten)]
    shared_key: SharedKeyArgs,
    /// The device proves itself by its TPM, whose endorsement key this is: a file with its public part (TPM2B_PUBLIC, as
    /// `tpm2_createek -u` writes it, or base64 of it).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "symmetric_key", "file"])]
    endorsement_key: Option<PathBuf>,
    /// The device proves itself by a username and a password, which is in this file. Not recommended; the server takes
    /// passwords only with passwords.enabled in its landfall.toml.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "symmetric_key", "endorsement_key", "file"])]
    password_file: Option<PathBuf>,
    /// The username; by default the registration id.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    #[command(flatten)]
    terms: TermsArgs,
    /// The whole enrollment as JSON, in place of the words above.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["certificate", "secondary", "symmetric_key"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    precondition: PreconditionArgs,
}

/// What `enrollment set` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall enrollment set pump-7 --disabled
  landfall enrollment set pump-7 --hub hub-eu.example.com --device-id pump-7-eu
  landfall enrollment set pump-7 --secondary pump-7-new.pem
  landfall enrollment set pump-7 --certificate pump-7-new.pem --no-secondary
  landfall enrollment set meter-7 --primary-key meter-7.key

What is not said stays as it is. A word of another way to prove oneself changes over to that way, when all that it needs is
said; somebody at a terminal is asked before.")]
pub(super) struct SetArgs {
    /// The registration id.
    id: RegistrationId,
    /// The device's id in its hub.
    #[arg(long, value_name = "ID", conflicts_with = "no_device_id")]
    device_id: Option<DeviceId>,
    /// The device's id in its hub is its registration id.
    #[arg(long)]
    no_device_id: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    credential: CredentialChangeArgs,
}

/// Changes of how one device proves itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the device proves itself")]
struct CredentialChangeArgs {
    /// The device's certificate: a PEM file, or sha256: and its digest. Its successor stays.
    #[arg(long, value_name = "FILE|sha256:HEX")]
    certificate: Option<String>,
    /// Its successor, while certificates are rolled over.
    #[arg(long, value_name = "FILE|sha256:HEX", conflicts_with = "no_secondary")]
    secondary: Option<String>,
    /// The certificate has no successor any more.
    #[arg(long)]
    no_secondary: bool,
    #[command(flatten)]
    shared_key: SharedKeyChangeArgs,
    /// The endorsement key of the device's TPM: a file with its public part (TPM2B_PUBLIC, or base64 of it).
    #[arg(long, value_name = "FILE")]
    endorsement_key: Option<PathBuf>,
    /// A file with another password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A username in place of the present one.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
}

impl CredentialChangeArgs {
    fn edits(&self) -> Result<Edits, CliError> {
        let mut edits = Edits::default();
        let certificate = |given: &Option<String>| given.as_deref().map(pin).transpose();
        edits.begin(&PINS, "primary", certificate(&self.certificate)?);
        edits.set(&PINS, "secondary", certificate(&self.secondary)?);
        edits.remove(&PINS, "secondary", self.no_secondary);
        self.shared_key.edit(&mut edits)?;
        let chip = self.endorsement_key.as_deref().map(endorsement_key).transpose()?;
        edits.begin(&CHIP, "endorsementKey", chip.map(Value::from));
        let password = self.password_file.as_deref().map(password).transpose()?;
        edits.begin(&PASSWORD, "password", password.map(|password| json!(*password)));
        edits.set(&PASSWORD, "username", self.username.as_ref().map(|name| json!(name)));
        Ok(edits)
    }
}

impl SetArgs {
    fn over(&self, common: &Common, edits: &Edits, stands: Option<&Value>) -> Result<Value, CliError> {
        let Some(stands) = stands else {
            let id = &self.id;
            return Err(CliError::Failed(format!(
                "there is no individual enrollment of {id}; make one with: landfall enrollment put {id}"
            )));
        };
        let mut body = self.change.over(stands)?;
        if let Some(device_id) = &self.device_id {
            body.insert("deviceId".to_owned(), json!(device_id));
        } else if self.no_device_id {
            body.remove("deviceId");
        }
        edits.apply(common, &format!("The enrollment of {}", self.id), &mut body)?;
        Ok(body.into())
    }

    fn says_something(&self, edits: &Edits) -> bool {
        self.device_id.is_some() || self.no_device_id || self.change.says_something() || edits.say_something()
    }
}

/// Members that no answer shows, if they were given.
fn unseen(password_file: Option<&PathBuf>) -> &'static [&'static str] {
    if password_file.is_some() { &["password.password"] } else { &[] }
}

pub(super) async fn run(common: &Common, command: EnrollmentCommand) -> Result<(), CliError> {
    let session = &mut common.session()?;
    match command {
        EnrollmentCommand::Put(args) => {
            let (id, body, unseen) = (&args.id, args.body()?, unseen(args.password_file.as_ref()));
            let done = |_| format!("{id} is enrolled.");
            INDIVIDUALS.put(session, (id.as_str(), &args.precondition, &body), unseen, done).await
        }
        EnrollmentCommand::Set(args) => {
            let edits = args.credential.edits()?;
            if !args.says_something(&edits) {
                return Err(nothing_said());
            }
            let (unseen, over) = (unseen(args.credential.password_file.as_ref()), |stands: Option<&Value>| {
                args.over(common, &edits, stands)
            });
            let done = format!("The enrollment of {} is changed.", args.id);
            INDIVIDUALS.set(session, args.id.as_str(), unseen, over, &done).await
        }
        EnrollmentCommand::Show { id } => INDIVIDUALS.show(session, id.as_str()).await,
        EnrollmentCommand::List { limit } => INDIVIDUALS.list(session, limit).await,
        EnrollmentCommand::Delete { id } => {
            let sure = format!("The enrollment of {id} is deleted, with its keys.");
            let done = format!("The enrollment of {id} is deleted.");
            INDIVIDUALS.delete((common, session), id.as_str(), &sure, done).await
        }
    }
}

const INDIVIDUALS: Kind = Kind {
    collection: "enrollments",
    id: ("registration id", "/registrationId"),
    none: "No device is enrolled by itself.",
};

impl PutArgs {
    fn body(&self) -> Result<Value, CliError> {
        if let Some(file) = &self.file {
            return json_or_file(&format!("@{}", file.display()), "");
        }
        let keys = self.shared_key.body()?.map(|keys| ("symmetricKey", keys));
        let chip = self.endorsement_key.as_deref().map(endorsement_key).transpose()?;
        let mut certificates = serde_json::Map::new();
        for (key, given) in [("primary", &self.certificate), ("secondary", &self.secondary)] {
            if let Some(given) = given {
                certificates.insert(key.to_owned(), pin(given)?);
            }
        }
        let password = self.password_file.as_deref().map(password).transpose()?;
        let password = password
            .map(|password| ("password", without_nulls(json!({ "username": self.username, "password": *password }))));
        let how = keys.or(password).or(chip.map(|key| ("tpm", json!({ "endorsementKey": key }))));
        let how = how.unwrap_or_else(|| ("x509", json!({ "certificates": certificates })));
        let mut body = self.terms.body(how)?;
        if let Some(device_id) = &self.device_id {
            body.insert("deviceId".to_owned(), json!(device_id));
        }
        Ok(body.into())
    }
}

/// The password in a file, without the line feed at its end.
fn password(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The public part of an endorsement key, in base64.
fn endorsement_key(path: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| PublicArea::parse_base64(text).is_ok());
    match text {
        Some(text) => Ok(text.to_owned()),
        None => match PublicArea::parse(&bytes) {
            Ok(_) => Ok(STANDARD.encode(&bytes)),
            Err(error) => Err(CliError::Failed(format!("{} holds no endorsement key: {error}", path.display()))),
        },
    }
}

/// Pins one exact certificate: its text, or its digest.
fn pin(text: &str) -> Result<Value, CliError> {
    match text.strip_prefix("sha256:") {
        Some(digest) => Ok(json!({ "sha256": digest.parse::<Digest>()? })),
        None => Ok(pem(text.as_ref())?.into()),
    }
}
