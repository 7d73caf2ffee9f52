//! A device's request for a certificate (PKCS#10, RFC 2986).
//!
//! Two parts are used: the key, whose possession the request proves, and the only CN, which must be the device's
//! registration id. Everything else in the request (alternative names, usages) is ignored: the service decides what
//! its certificates contain.

use std::fmt;

use landfall_domain::names::{Digest, RegistrationId};
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certification_request::X509CertificationRequest;

use super::certificate::Key;
use super::key::{self, KeyFlaw};
use super::name::{self, CommonNameError};
use super::signature;
use super::signed::{self, Signed};

/// A parsed request. [`CertificateRequest::proves_its_key`] checks whether it proves possession of its key.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    registration_id: RegistrationId,
    spki: Vec<u8>,
    key: Key,
    signed: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RequestFlaw {
    /// The request is larger than the limit.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The bytes are not a certificate request.
    #[error("it is no PKCS#10 request in DER")]
    Malformed,
    /// The request does not name a device.
    #[error("{0}")]
    Name(#[from] CommonNameError),
    /// The public key is not accepted.
    #[error("its key is not accepted: {0}")]
    Key(#[from] KeyFlaw),
    /// The request was not signed with the key that it contains.
    #[error("it was not signed by the key that is in it, or with an algorithm that is not accepted")]
    NotProven,
    #[error("its common name (CN) is not the registration id")]
    OtherName,
}

impl CertificateRequest {
    /// Parses a request from DER. The signature is not checked.
    ///
    /// # Errors
    ///
    /// [`RequestFlaw`].
    pub fn parse(der: &[u8]) -> Result<Self, RequestFlaw> {
        if der.len() > MAX_BYTES {
            return Err(RequestFlaw::TooLarge);
        }
        let malformed = |_| RequestFlaw::Malformed;
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestFlaw::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestFlaw::Malformed);
        }
        let info = &request.certification_request_info;
        let Signed { algorithm, value } = signed::parts(der, info.raw.len()).ok_or(RequestFlaw::Malformed)?;
        let spki = &info.subject_pki;
        let (_, spki_content) = Any::from_der(spki.raw).map_err(malformed)?;
        let (_, key_algorithm) = Any::from_der(spki_content.data).map_err(malformed)?;
        key::check(spki)?;
        Ok(Self {
            registration_id: name::registration_id(&info.subject)?,
            spki: spki.raw.to_vec(),
            key: Key {
                spki_sha256: Digest::of(spki.raw),
                algorithm: key_algorithm.data.to_vec(),
                bits: spki.subject_public_key.data.to_vec(),
                flaw: None,
            },
            signed: info.raw.to_vec(),
            algorithm: algorithm.to_vec(),
            signature: value.to_vec(),
        })
    }

    /// Checks that the request is for this device, and was signed with the key that it contains. One signature is
    /// checked.
    ///
    /// # Errors
    ///
    /// [`RequestFlaw::OtherName`], [`RequestFlaw::NotProven`].
    pub fn proves_its_key(&self, id: &RegistrationId) -> Result<(), RequestFlaw> {
        if self.registration_id != *id {
            return Err(RequestFlaw::OtherName);
        }
        if signature::verifies(&self.key, &self.algorithm, &self.signed, &self.signature) {
            Ok(())
        } else {
            Err(RequestFlaw::NotProven)
        }
    }

    /// The approximate size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        [&self.spki, &self.key.bits, &self.signed, &self.signature].iter().map(|part| part.len()).sum()
    }

    /// The public key: a SubjectPublicKeyInfo, DER.
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateRequest({} with the key {})", self.registration_id, self.key.spki_sha256.short())
    }
}

/// Maximum size. A request with RSA of 4096 bits and a long name has about 1,400 bytes.
const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn request(cn: &str, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_request_proves_its_own_key_for_its_own_device() {
        let (id, other) = ("pump-1".parse().unwrap(), "pump-2".parse().unwrap());
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let der = request("Pump-1", &KeyPair::generate_for(algorithm).unwrap());
            let read = CertificateRequest::parse(&der).unwrap();
            assert_eq!(read.proves_its_key(&id), Ok(()), "{algorithm:?}");
            assert_eq!(read.proves_its_key(&other), Err(RequestFlaw::OtherName));
            // The key is replaced by another one of the same length. RFC 2986 demands the signature because of this
            // attack.
            let theirs =
                CertificateRequest::parse(&request("pump-1", &KeyPair::generate_for(algorithm).unwrap())).unwrap();
            let at = der.windows(theirs.spki.len()).position(|window| window == read.spki).unwrap();
            let mut swapped = der.clone();
            swapped[at..at + theirs.spki.len()].copy_from_slice(&theirs.spki);
            let swapped = CertificateRequest::parse(&swapped).unwrap();
            assert_eq!(swapped.proves_its_key(&id), Err(RequestFlaw::NotProven));
        }
    }

    #[test]
    fn what_is_no_request_says_what_it_is_not() {
        let key = KeyPair::generate().unwrap();
        let der = request("pump-1", &key);
        for end in 0..der.len() {
            assert!(CertificateRequest::parse(&der[..end]).is_err(), "{end}");
        }
        let parse = |bytes: &[u8]| CertificateRequest::parse(bytes).map(drop);
        assert_eq!(parse(&[&der[..], &[0]].concat()), Err(RequestFlaw::Malformed));
        assert_eq!(parse(&vec![0x30; MAX_BYTES + 1]), Err(RequestFlaw::TooLarge));
        assert!(matches!(parse(&request("pump 1", &key)), Err(RequestFlaw::Name(_))));
    }

    proptest! {
        #[test]
        fn a_request_that_was_changed_anywhere_does_not_prove_its_key(at in 0_usize..400, with in 1_u8..) {
            let key = KeyPair::from_pem(KEY).unwrap();
            let mut der = request("pump-1", &key);
            let at = at % der.len();
            der[at] ^= with;
            let proven = CertificateRequest::parse(&der).and_then(|read| read.proves_its_key(&"pump-1".parse().unwrap()));
            prop_assert!(proven.is_err(), "byte {at}");
        }

        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            drop(CertificateRequest::parse(&bytes));
        }
    }

    const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWX+aNqHaI7M92W+T
IBGJ+5p0HiVnQk9k+eLvQ6zf7C+hRANCAATESO83V4f4hiP+vZwjbY2igO3pbrg+
qvFrusOaA/8Sm8k2A+QgIgOsBm9Y1xdQSzi53kCnRlfownEwncKBii8k
-----END PRIVATE KEY-----
";
}
