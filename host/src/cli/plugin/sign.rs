//! `landfall plugin key`, `sign` and `verify`: whose a component is, without any server.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::{CliError, Output};
use super::files;
use crate::folder::DataFolder;
use crate::policy::trust::{PublicKey, Signature, SigningKey, Trust, read_signatures, write_signatures};

/// Make a key to sign components with.
#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    /// Where the private key goes (PEM, PKCS#8). The public one goes beside it, with `.pub` before its ending.
    file: PathBuf,
}

/// Sign a component. The signature is added to the file of signatures beside it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    /// The component (.wasm).
    component: PathBuf,
    /// The private key (PEM, PKCS#8): of `landfall plugin key`, or of `openssl genpkey -algorithm ed25519`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file of signatures; by default the component's name and `.sig`.
    #[arg(long, value_name = "FILE")]
    signatures: Option<PathBuf>,
}

/// Check a component's signatures. Ends with 0 when one of the keys signed it and no signature is wrong.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The component (.wasm).
    component: PathBuf,
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
        // The public one first: a private key that is there alone would not be written over by a second try.
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

impl Sign {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let component = files::component(&self.component)?;
        let key = SigningKey::read(&self.key).map_err(|error| of_file(&self.key, &error))?;
        let file = self.signatures.unwrap_or_else(|| beside(&self.component));
        let mut signatures = read(&file)?.unwrap_or_default();
        // A key's signature over what the file was before helps nobody.
        signatures.retain(|signature| signature.key != key.public().id());
        signatures.push(key.sign(component.digest()));
        let written = std::fs::write(&file, write_signatures(&signatures));
        written.map_err(|source| CliError::Write { path: file.clone(), source })?;
        let (id, digest) = (key.public().id(), component.digest());
        let answer = json!({ "keyId": id.to_string(), "digest": digest.to_string(), "signatures": file });
        out.done(
            format!("{} ({}) is signed by {id}: {}", self.component.display(), digest.short(), file.display()),
            &answer,
        )
    }
}

impl Verify {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let component = files::component(&self.component)?;
        let key = |path: &PathBuf| PublicKey::read(path).map_err(|error| of_file(path, &error));
        let trust = Trust::new(self.keys.iter().map(key).collect::<Result<_, _>>()?, true);
        let file = self.signatures.unwrap_or_else(|| beside(&self.component));
        let signatures = read(&file)?.unwrap_or_default();
        let signers =
            trust.verify(component.digest(), &signatures).map_err(|error| CliError::Failed(error.to_string()))?;
        let signers: Vec<_> = signers.iter().map(ToString::to_string).collect();
        let told = format!(
            "{} ({}) is signed by {}.",
            self.component.display(),
            component.digest().short(),
            signers.join(", ")
        );
        out.done(told, &json!({ "digest": component.digest().to_string(), "signedBy": signers }))
    }
}

/// The signatures to publish a component with: those of the file that is named, or those beside it if there are any.
pub(super) fn of_component(component: &Path, named: Option<PathBuf>) -> Result<Vec<Signature>, CliError> {
    match named {
        None => Ok(read(&beside(component))?.unwrap_or_default()),
        Some(file) => read(&file)?.ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            CliError::Read { path: file, source }
        }),
    }
}

/// The signatures of a file; none when it is not there.
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
