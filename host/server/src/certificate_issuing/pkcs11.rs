//! A key in a PKCS#11 token (OASIS PKCS #11 2.40): a hardware module, or SoftHSM.
//!
//! The module is loaded once, and one login is made. Only one session signs at a time; small tokens cannot do more
//! anyway. If the session fails, it is opened again once, because tokens are unplugged and network modules restart.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm};

/// A private key in a PKCS#11 token.
pub(super) struct Token {
    module: Pkcs11,
    slot: Slot,
    key: String,
    pin: AuthPin,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

impl Token {
    /// Finds the token by its label, logs in, and finds the private key by its label.
    pub(super) fn open(module: &Path, label: &str, key: &str, pin: &str) -> Result<Self, String> {
        let pkcs11 = Pkcs11::new(module).map_err(|error| format!("{} cannot be loaded: {error}", module.display()))?;
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another issuer has loaded the same module.
            Ok(()) | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(format!("{} cannot be started: {error}", module.display())),
        }
        let slots = pkcs11.get_slots_with_token().map_err(|error| format!("its slots cannot be listed: {error}"))?;
        let mut labels = Vec::new();
        let mut found = None;
        for slot in slots {
            let Ok(info) = pkcs11.get_token_info(slot) else { continue };
            if info.label().trim_end() == label {
                found = Some(slot);
            }
            labels.push(info.label().trim_end().to_owned());
        }
        let slot = found.ok_or_else(|| format!("no token is labelled {label:?}; there are {labels:?}"))?;
        let pin = AuthPin::new(pin.to_owned().into());
        let this = Self { module: pkcs11, slot, key: key.to_owned(), pin, open: Mutex::default() };
        let session = this.session()?;
        *this.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(this)
    }

    /// Whether a token can sign with this algorithm.
    pub(super) fn signs(algorithm: &'static SignatureAlgorithm) -> bool {
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256].contains(&algorithm)
    }

    /// Signs a message. The signature has the encoding of X.509.
    pub(super) fn sign(&self, algorithm: &'static SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        let (mechanism, input) = if algorithm == &PKCS_ECDSA_P256_SHA256 {
            (Mechanism::Ecdsa, digest::digest(&digest::SHA256, message).as_ref().to_vec())
        } else if algorithm == &PKCS_ECDSA_P384_SHA384 {
            (Mechanism::Ecdsa, digest::digest(&digest::SHA384, message).as_ref().to_vec())
        } else {
            (Mechanism::Sha256RsaPkcs, message.to_vec())
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match &*open {
            Some((session, key)) => session.sign(&mechanism, *key, &input).map_err(|error| error.to_string()),
            None => Err("there is no session".to_owned()),
        };
        let signed = match first {
            Ok(signed) => signed,
            Err(before) => {
                *open = None;
                let (session, key) = self.session().map_err(|error| format!("{before}; and then: {error}"))?;
                let signed = session.sign(&mechanism, key, &input).map_err(|error| error.to_string())?;
                *open = Some((session, key));
                signed
            }
        };
        Ok(if matches!(mechanism, Mechanism::Ecdsa) { der_of(&signed) } else { signed })
    }

    fn session(&self) -> Result<(Session, ObjectHandle), String> {
        let session = self.module.open_ro_session(self.slot).map_err(|error| format!("no session: {error}"))?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(format!("the PIN is not accepted: {error}")),
        }
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(self.key.as_bytes().to_vec())];
        let keys = session.find_objects(&template).map_err(|error| format!("its keys cannot be listed: {error}"))?;
        match keys.as_slice() {
            [key] => Ok((session, *key)),
            [] => Err(format!("it has no private key labelled {:?}", self.key)),
            more => Err(format!("it has {} private keys labelled {:?}", more.len(), self.key)),
        }
    }
}

/// An ECDSA signature in the encoding of X.509 (RFC 3279, 2.2.3), from the two numbers that PKCS#11 concatenates.
fn der_of(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let content = [integer(r), integer(s)].concat();
    // There are at most 2 x 51 bytes, with P-384, so one octet holds the length.
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [vec![0x30, length], content].concat()
}

fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|octet| **octet == 0).count().min(number.len().saturating_sub(1));
    let digits = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    let length = u8::try_from(digits.len() + sign.len()).unwrap_or(u8::MAX);
    [&[0x02, length], sign, digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_written_without_leading_zeros_and_never_negative() {
        let signature = [&[0, 0, 1][..], &[0x80, 2, 3]].concat();
        assert_eq!(der_of(&signature), [0x30, 9, 2, 1, 1, 2, 4, 0, 0x80, 2, 3]);
        assert_eq!(der_of(&[0; 4]), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        let long = der_of(&[0xff; 96]);
        assert_eq!((&long[..4], long.len()), (&[0x30, 102, 2, 49][..], 104));
    }
}
