//! `landfall plugin key`, `sign` and `verify`: signatures of components. They need no server.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use landfall_domain::names::{PluginName, is_version};
use landfall_domain::plugin::signature::{Over, Signature, read_signatures, write_signatures};
use landfall_domain::plugin::statement::{Statement, Subject};
use landfall_policy::image::Fetched;
use landfall_policy::trust::{PublicKey, SigningKey, Trust, VerifyError};
use serde_json::json;

use super::super::{CliError, Output};
use super::files;
use crate::folder::DataFolder;

/// Make a key to sign components with.
#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    /// Where the private key goes (PEM, PKCS#8). The public one goes beside it, with `.pub` before its ending.
    file: PathBuf,
}

/// Sign a component for the name under which it is published, and for its version. The signature is added to the file of
/// signatures beside it.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("how").required(true).args(["key", "print", "signature"])))]
pub(in crate::cli) struct Sign {
    /// The component (.wasm).
    component: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// The private key (PEM, PKCS#8): of `landfall plugin key`, or of `openssl genpkey -algorithm ed25519`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print what is to be signed, for a key that is kept elsewhere.
    #[arg(long)]
    print: bool,
    /// Take the signature that was made elsewhere over what --print printed: 64 bytes (Ed25519, RFC 8032).
    #[arg(long, value_name = "FILE", requires = "public")]
    signature: Option<PathBuf>,
    /// The public key (PEM) of the one that made --signature.
    #[arg(long, value_name = "FILE", requires = "signature")]
    public: Option<PathBuf>,
    /// The file of signatures; by default the component's name and `.sig`.
    #[arg(long, value_name = "FILE")]
    signatures: Option<PathBuf>,
}

/// What a signature says beside the bytes.
#[derive(Debug, Args)]
struct Whose {
    /// The name under which it is published; by default the one that it gives itself.
    #[arg(long, value_name = "NAME")]
    name: Option<PluginName>,
    /// Its version; by default the one that it says. With --name as well, the component is not run.
    #[arg(long = "plugin-version", value_name = "VERSION", value_parser = version)]
    version: Option<String>,
}

/// Check a component's signatures. Ends with 0 when one of the keys signed it for its name and version, and no signature is
/// wrong.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The component (.wasm).
    component: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// A public key that is trusted (PEM); may be given several times.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// The file of signatures; by default the component's name and `.sig`.
    #[arg(long, value_name = "FILE")]
    signatures: Option<PathBuf>,
}

impl Key {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let key = SigningKey::generate().map_err(|error| CliError::Failed(error.to_string()))?;
        let public = key.public();
        let public_file = public_file(&self.file);
        let pem = key.to_pem().map_err(|error| CliError::Failed(error.to_string()))?;
        // The public key is written first. If only the private key were there, a second try could not overwrite it.
        write_new(&public_file, public.to_pem().as_bytes(), false)?;
        write_new(&self.file, pem.as_bytes(), true)?;
        let answer = json!({ "keyId": public.id().to_string(), "private": self.file, "public": public_file });
        let told = format!(
            "Key {} is made: {} signs and stays secret; {} goes into plugins.trusted_keys of every server that is to \
             take what it signs.",
            public.id(),
            self.file.display(),
            public_file.display()
        );
        out.done(told, &answer)
    }
}

impl Whose {
    /// What the signature says about a component.
    fn of(self, path: &Path, component: Fetched) -> Result<Statement, CliError> {
        let digest = component.digest();
        let (name, version) = match self {
            Self { name: Some(name), version: Some(version) } => (name, version),
            Self { name, version } => {
                let revision = files::load_component(&files::host()?, path, component)?;
                let said = revision.description();
                let own = || said.name.parse().map_err(|error| of_file(path, &error));
                (name.map_or_else(own, Ok)?, version.unwrap_or_else(|| said.version.clone()))
            }
        };
        Ok(Statement { name, version, digest })
    }
}

impl Sign {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let component = files::component(&self.component)?;
        let statement = self.whose.of(&self.component, component)?;
        let Statement { name, version, digest } = statement.clone();
        let (short, of) = (digest.short(), json!({ "name": name, "version": version, "digest": digest.to_string() }));
        let signature = match (self.key, self.signature.zip(self.public)) {
            (Some(file), _) => SigningKey::read(&file).map_err(|error| of_file(&file, &error))?.sign(statement),
            (None, Some((bytes, public))) => made_elsewhere(statement, &bytes, &public)?,
            (None, None) => {
                let text = statement.text();
                return out.done(text.trim_end(), &files::with(of, "text", text.as_str()));
            }
        };
        let file = self.signatures.unwrap_or_else(|| beside(&self.component));
        let mut signatures = read(&file)?.unwrap_or_default();
        // A signature over the file's former content is useless and is dropped. A signature for another name may still
        // be needed.
        let elsewhere = |over: &Over| match over {
            Over::Revision(other) => other.digest == digest && other.name != name,
            Over::Bytes | Over::BytesFor(_) => false,
        };
        signatures.retain(|other| other.key != signature.key || elsewhere(&other.over));
        let id = signature.key.to_string();
        signatures.push(signature);
        let written = std::fs::write(&file, write_signatures(&signatures));
        written.map_err(|source| CliError::Write { path: file.clone(), source })?;
        let told =
            format!("{} ({short}) is signed by {id} as {name} {version}: {}", self.component.display(), file.display());
        let answer = files::with(files::with(of, "keyId", id), "signatures", json!(file));
        out.done(told, &answer)
    }
}

/// A signature that another program has made.
fn made_elsewhere(statement: Statement, file: &Path, public: &Path) -> Result<Signature, CliError> {
    let key = PublicKey::read(public).map_err(|error| of_file(public, &error))?;
    let bytes = std::fs::read(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    let of_64 =
        |_| of_file(file, &"it is no Ed25519 signature: one has 64 bytes, as they are, and no text around them");
    let digest = statement.digest;
    let signature =
        Signature { key: key.id(), bytes: bytes.try_into().map_err(of_64)?, over: Over::Revision(statement) };
    if key.has_signed(&signature, digest) {
        return Ok(signature);
    }
    let message =
        format!("it is not the signature of {} over what `landfall plugin sign --print` prints", public.display());
    Err(of_file(file, &message))
}

impl Verify {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let component = files::component(&self.component)?;
        let digest = component.digest();
        let key = |path: &PathBuf| PublicKey::read(path).map_err(|error| of_file(path, &error));
        let trust = Trust::new(self.keys.iter().map(key).collect::<Result<_, _>>()?, true);
        let file = self.signatures.unwrap_or_else(|| beside(&self.component));
        let signatures = read(&file)?.unwrap_or_default();
        let (path, of) = (self.component.display(), file.display());
        // A server's demand for signatures does not concern somebody who verifies without a server.
        let failed = |error: VerifyError| match error {
            VerifyError::Unsigned { trusted } => CliError::Failed(format!(
                "{path} is not signed: {of} is not there, or holds no signature; one of these keys was to have signed it: \
                 {trusted} (landfall plugin sign)"
            )),
            VerifyError::Untrusted { found, trusted } => CliError::Failed(format!(
                "{path} is signed by {found}, and by none of the keys that are named with --key ({trusted})"
            )),
            other => CliError::Failed(format!("{path}: {other}")),
        };
        // The signatures are checked before the component is parsed, as in a server.
        let subject = Subject { digest, name: self.whose.name.as_ref(), version: self.whose.version.as_deref() };
        trust.verify(&subject, &signatures).map_err(failed)?;
        let Statement { name, version, .. } = self.whose.of(&self.component, component)?;
        let subject = Subject { digest, name: Some(&name), version: Some(&version) };
        let signers = trust.verify(&subject, &signatures).map_err(failed)?;
        let signers: Vec<_> = signers.iter().map(ToString::to_string).collect();
        let told = format!(
            "{} ({}) is signed by {} as {name} {version}.",
            self.component.display(),
            digest.short(),
            signers.join(", ")
        );
        let answer = json!({ "name": name, "version": version, "digest": digest.to_string(), "signedBy": signers });
        out.done(told, &answer)
    }
}

/// The signatures to publish a component with: those in the named file, or those beside the component if there are any.
pub(super) fn of_component(component: &Path, named: Option<PathBuf>) -> Result<Vec<Signature>, CliError> {
    match named {
        None => Ok(read(&beside(component))?.unwrap_or_default()),
        Some(file) => read(&file)?.ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            CliError::Read { path: file, source }
        }),
    }
}

/// The signatures in a file; `None` if there is no such file.
fn read(file: &Path) -> Result<Option<Vec<Signature>>, CliError> {
    match std::fs::read_to_string(file) {
        Ok(text) => read_signatures(&text).map(Some).map_err(|error| of_file(file, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Read { path: file.to_owned(), source }),
    }
}

fn beside(component: &Path) -> PathBuf {
    let mut name = component.file_name().unwrap_or_default().to_owned();
    name.push(".sig");
    component.with_file_name(name)
}

fn version(text: &str) -> Result<String, String> {
    let good = is_version(text).then(|| text.to_owned());
    good.ok_or_else(|| "a version reads 1.2.3, or 1.2.3-rc.1 (Semantic Versioning)".to_owned())
}

fn public_file(private: &Path) -> PathBuf {
    let ending = private.extension().map_or_else(|| "pub".into(), |ending| format!("pub.{}", ending.to_string_lossy()));
    private.with_extension(ending)
}

fn write_new(path: &Path, content: &[u8], secret: bool) -> Result<(), CliError> {
    DataFolder::write_new(path, content, secret).map_err(|source| CliError::Write { path: path.to_owned(), source })
}

fn of_file(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::Failed(format!("{}: {error}", path.display()))
}
