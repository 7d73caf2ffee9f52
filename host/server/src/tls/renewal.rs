//! Replaces the server's certificate and key, which are two files that cannot be replaced at the same instant. So the
//! new certificate is written beside the old one before the key is replaced, and is moved to its place afterwards.
//! Loading them completes a replacement that was interrupted.

use std::io::ErrorKind;
use std::path::Path;

use super::current::Current;
use super::{Identity, TlsError};
use crate::folder::DataFolder;

/// Replaces the server's key and certificate, both PEM.
///
/// # Errors
///
/// The error of the file system. The files then still fit each other: both are old, or both are new.
pub fn replace(folder: &DataFolder, key: &str, certificate: &str) -> std::io::Result<()> {
    let (next, current) = (folder.next_server_certificate(), folder.server_certificate());
    DataFolder::replace_like(&next, &current, certificate.as_bytes(), false)?;
    DataFolder::replace(&folder.server_key(), key.as_bytes(), true)?;
    match std::fs::rename(next, current) {
        // A server that was told to reload has completed the replacement already.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Loads the certificate and the key. Completes an interrupted replacement first.
///
/// # Errors
///
/// As [`Identity::load`].
pub fn load(folder: &DataFolder) -> Result<Identity, TlsError> {
    let (next, current) = (folder.next_server_certificate(), folder.server_certificate());
    if fits(&next, folder) && !fits(&current, folder) {
        match std::fs::rename(&next, &current) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(TlsError::Read { path: next, source }),
            _ => tracing::warn!("a renewal of the server's certificate had been interrupted, and is finished"),
        }
    }
    Identity::load(&current, &folder.server_key())
}

/// Whether there is a certificate and it belongs to the key.
fn fits(certificate: &Path, folder: &DataFolder) -> bool {
    Identity::load(certificate, &folder.server_key()).and_then(Current::new).is_ok()
}

#[cfg(test)]
mod tests {
    use landfall_attestation::x509::make::Authority;
    use landfall_domain::clock::Ambient;

    use super::*;

    /// Wherever a renewal is interrupted, the loaded files fit each other, and are the old ones or the new ones.
    #[test]
    fn a_renewal_can_be_cut_anywhere() {
        let now = Ambient::system().now();
        let authority = Authority::root("CA", now, 9).unwrap();
        let [old, new] = [(); 2].map(|()| authority.server(&["localhost".to_owned()], now, 9).unwrap());
        for steps in 0..=3 {
            let place = tempfile::tempdir().unwrap();
            let folder = DataFolder::at(place.path());
            DataFolder::make(folder.server_key().parent().unwrap()).unwrap();
            replace(&folder, &old.key_pem, &old.certificate_pem).unwrap();
            if steps > 0 {
                std::fs::write(folder.next_server_certificate(), &new.certificate_pem).unwrap();
            }
            if steps > 1 {
                std::fs::write(folder.server_key(), &new.key_pem).unwrap();
            }
            if steps > 2 {
                std::fs::rename(folder.next_server_certificate(), folder.server_certificate()).unwrap();
            }
            let loaded = load(&folder).unwrap();
            let expected = if steps > 1 { &new } else { &old };
            assert_eq!(loaded.chain.first().unwrap().as_ref(), expected.certificate_der, "cut after {steps}");
            Current::new(loaded).unwrap();
            assert_eq!(load(&folder).unwrap().chain.first().unwrap().as_ref(), expected.certificate_der);
        }
    }
}
