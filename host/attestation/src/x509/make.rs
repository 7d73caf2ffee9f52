//! Creates certificates: the CA and the server certificate of a data folder, and a factory for the demo.

use landfall_domain::clock::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::Certificate;
use super::signature::signed_by;

/// Why a certificate could not be created.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The library that creates certificates returned an error.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The authority's certificate cannot be parsed.
    #[error("the authority's certificate cannot be read: {0}")]
    Certificate(String),
}

/// A certificate authority with its private key. Keys are P-256.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate, PEM.
    pub certificate_pem: String,
    /// The authority's certificate, DER.
    pub certificate_der: Vec<u8>,
}

/// Does not print the private key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate and its key, both PEM.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The key, PKCS#8 PEM.
    pub key_pem: String,
    /// The key, PKCS#8 DER.
    pub key_der: Vec<u8>,
}

impl Authority {
    /// A self-signed root, valid for `days` from an hour ago.
    pub fn root(name: &str, now: Timestamp, days: i64) -> Result<Self, MakeError> {
        let key = KeyPair::generate()?;
        let params = authority_params(name, now, days)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Loads an authority from its certificate and key (both PEM).
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, MakeError> {
        let key = KeyPair::from_pem(key_pem)?;
        let certificate_der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| MakeError::Certificate(error.to_string()))?
            .to_vec();
        let issuer = Issuer::from_ca_cert_der(&certificate_der.clone().into(), key)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), certificate_der, issuer })
    }

    /// When the authority's certificate expires. If that cannot be read, the certificate counts as expired.
    pub fn expires_at(&self) -> Timestamp {
        end_of(&self.certificate_der)
    }

    /// Whether the certificate contains the public part of the key.
    pub fn has_its_key(&self) -> bool {
        let parsed = X509Certificate::from_der(&self.certificate_der).ok();
        parsed.is_some_and(|(_, own)| own.public_key().raw == self.issuer.key().subject_public_key_info())
    }

    /// Whether this authority issued a certificate. The validity of both is ignored.
    pub fn has_signed(&self, certificate: &[u8]) -> bool {
        let (Ok(own), Ok(issued)) = (Certificate::read(&self.certificate_der), Certificate::read(certificate)) else {
            return false;
        };
        own.subject == issued.issuer && signed_by(&issued, &own.key)
    }

    /// The authority's private key, PKCS#8 PEM. It is a secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Creates an authority below this one.
    pub fn intermediate(&self, name: &str, now: Timestamp, days: i64) -> Result<Self, MakeError> {
        let key = KeyPair::generate()?;
        let params = authority_params(name, now, days)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The certificate (PEM) of an authority below this one whose private key is elsewhere. `spki` is its
    /// SubjectPublicKeyInfo in DER.
    pub fn intermediate_for(&self, spki: &[u8], name: &str, now: Timestamp, days: i64) -> Result<String, MakeError> {
        let key = SubjectPublicKeyInfo::from_der(spki)?;
        Ok(authority_params(name, now, days)?.signed_by(&key, &self.issuer)?.pem())
    }

    /// Creates the certificate of a device: its CN is the registration id.
    pub fn device(&self, name: &str, now: Timestamp, days: i64) -> Result<Issued, MakeError> {
        let mut params = params(name, now, days)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// Creates the certificate of a server, for host names and addresses.
    pub fn server(&self, names: &[String], now: Timestamp, days: i64) -> Result<Issued, MakeError> {
        let mut params = params(names.first().map_or("localhost", String::as_str), now, days)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        self.issue(params)
    }

    /// Signs a certificate with the given parameters for a key; DER.
    pub fn sign(&self, mut params: CertificateParams, key: &KeyPair) -> Result<Vec<u8>, MakeError> {
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.der().to_vec())
    }

    /// A revocation list of this authority with these serial numbers. `days` says when the next list is due, and may
    /// be negative.
    pub fn revocation_list(&self, serials: &[Vec<u8>], now: Timestamp, days: i64) -> Result<Vec<u8>, MakeError> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
        let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - Duration::days(400),
            next_update: now + Duration::days(days),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.der().to_vec())
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Issued, MakeError> {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        })
    }
}

/// When the first certificate in a PEM text expires, if there is one.
pub fn expires_at(pem: &str) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    X509Certificate::from_der(&der).is_ok().then(|| end_of(&der))
}

/// When a certificate (DER) expires. If that cannot be read, it counts as expired since 1970.
pub fn end_of(der: &[u8]) -> Timestamp {
    let seconds = X509Certificate::from_der(der).map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp());
    Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

/// The start and the end of a certificate's validity (DER). A certificate that cannot be parsed is never valid.
pub fn validity_of(der: &[u8]) -> (Timestamp, Timestamp) {
    let begin = X509Certificate::from_der(der).map_or(0, |(_, parsed)| parsed.validity().not_before.timestamp());
    (Timestamp::from_millis(u64::try_from(begin).unwrap_or(0).saturating_mul(1000)), end_of(der))
}

fn authority_params(name: &str, now: Timestamp, days: i64) -> Result<CertificateParams, MakeError> {
    let mut params = params(name, now, days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(name: &str, now: Timestamp, days: i64) -> Result<CertificateParams, MakeError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(days);
    Ok(params)
}
