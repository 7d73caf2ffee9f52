//! The bodies of requests and answers (DPS, `DeviceRegistration` and `RegistrationOperationStatus`).

use std::fmt;

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine as _};
use landfall_attestation::tpm::challenge::Chip;
use landfall_attestation::tpm::{Blob, PublicArea};
use landfall_attestation::x509::endorsement::EndorsementCertificate;
use landfall_attestation::x509::request::CertificateRequest;
use landfall_attestation::x509::{CertificateInfo, MAX_CHAIN_BYTES};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::json::{JsonText, hinted};
use landfall_domain::names::{OperationId, RegistrationId};
use landfall_domain::registration::{Outcome, Registration, Substatus};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{DeviceError, Wrong};
use crate::certificate_issuing::CertificateIssuing;
use crate::provisioning::{Credential, Status};

/// The body of a register or look-up call. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterBody<'a> {
    registration_id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    csr: Option<String>,
    #[serde(default, deserialize_with = "tpm")]
    tpm: Option<TpmBody>,
}

/// Base64 of two `TPM2B_PUBLIC`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TpmBody {
    endorsement_key: Option<String>,
    storage_root_key: Option<String>,
    /// An extension of DPS: the certificate of the endorsement key, base64 of DER.
    endorsement_certificate: Option<String>,
}

/// Reads the member `tpm`, which must be an object. A derived reader would also accept an array of the values.
fn tpm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TpmBody>, D::Error> {
    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = Option<TpmBody>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
            TpmBody::deserialize(MapAccessDeserializer::new(members)).map(Some)
        }
    }

    deserializer.deserialize_any(Reader)
}

/// The challenge that a TPM must answer (DPS answers 401 to a registration without a token).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TpmChallenge {
    message: &'static str,
    authentication_key: String,
    key_name: &'static str,
}

impl TpmChallenge {
    /// The challenge with a key that is wrapped for the TPM.
    pub fn of(blob: &Blob) -> Self {
        let authentication_key = blob.to_base64();
        Self { message: "Authorization required", authentication_key, key_name: "registration" }
    }
}

/// The content of a body, except for what the URL says already.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// The custom payload of the device.
    pub payload: Option<JsonText>,
    /// The keys of its TPM.
    pub chip: Option<Chip>,
    /// Its certificate signing request.
    pub csr: Option<CertificateRequest>,
}

/// Reads the body of a register or look-up call. An empty body counts as `{}`.
pub fn read_body(bytes: &[u8], id: &RegistrationId, max_depth: usize) -> Result<Said, Wrong> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Wrong::bad("The body is not UTF-8 text", format_args!("it is none from byte {} on", error.valid_up_to()))
    })?;
    if text.trim().is_empty() {
        return Ok(Said::default());
    }
    JsonText::parse(text, usize::MAX, max_depth)
        .map_err(|error| Wrong::bad("The body is not JSON that can be kept as it is: not well-formed, a member twice, a number too large to be exact, or nested too deeply", error))?;
    if !text.trim_start().starts_with('{') {
        return Err(DeviceError::BadRequest(
            "The body is JSON and not an object; write its members as {\"name\": ...}",
        )
        .into());
    }
    let body = shaped(text).map_err(|what| Wrong::bad("The body is not a JSON object of the right shape", what))?;
    if body.registration_id.is_some_and(|given| !given.eq_ignore_ascii_case(id.as_str())) {
        return Err(DeviceError::BadRequest("The registrationId of the body is not that of the URL").into());
    }
    let payload = match body.payload.map(RawValue::get) {
        None | Some("null") => None,
        Some(text) => JsonText::parse(text, usize::MAX, max_depth).ok(),
    };
    let chip = body.tpm.map(|tpm| chip(&tpm)).transpose()?.flatten();
    let csr = body.csr.as_deref().map(csr).transpose()?;
    Ok(Said { payload, chip, csr })
}

/// Parses the members of the body, or names the one that is invalid.
fn shaped(text: &str) -> Result<RegisterBody<'_>, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|error| format!("at {}: {}", error.path(), hinted(&error.inner().to_string())))
}

fn csr(text: &str) -> Result<CertificateRequest, Wrong> {
    let der = STANDARD.decode(text);
    let der = der.map_err(|error| Wrong::bad("The csr is not base64 of DER, in one line", unreadable(&error)))?;
    CertificateRequest::parse(&der)
        .map_err(|flaw| Wrong::because(DeviceError::of_csr(&flaw), format_args!("the csr: {flaw}")))
}

/// Where base64 becomes invalid, without the text at that place.
fn unreadable(error: &DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
            format!("character {at} is none of it")
        }
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => "its length or padding is wrong".to_owned(),
    }
}

/// The keys of a TPM; a `tpm` without keys counts as absent.
fn chip(said: &TpmBody) -> Result<Option<Chip>, Wrong> {
    let (endorsement, storage_root) = match (&said.endorsement_key, &said.storage_root_key) {
        (None, None) => return Ok(None),
        (Some(endorsement), Some(storage_root)) => (endorsement, storage_root),
        (Some(_), None) => return Err(DeviceError::BadRequest("The tpm of the body has no storageRootKey").into()),
        (None, Some(_)) => return Err(DeviceError::BadRequest("The tpm of the body has no endorsementKey").into()),
    };
    let read = |text: &str, what| PublicArea::parse_base64(text).map_err(|error| Wrong::bad(what, error));
    Ok(Some(Chip {
        endorsement: read(endorsement, "The endorsementKey is not the public part of an endorsement key")?,
        storage_root: read(storage_root, "The storageRootKey is not the public part of a storage root key")?,
        certificate: said.endorsement_certificate.as_deref().map(endorsement_certificate).transpose()?,
    }))
}

fn endorsement_certificate(text: &str) -> Result<EndorsementCertificate, Wrong> {
    let wrong = |more: String| Wrong::bad("The endorsementCertificate is not base64 of a certificate (DER)", more);
    let bytes = STANDARD.decode(text).map_err(|error| wrong(unreadable(&error)))?;
    if bytes.len() > MAX_CHAIN_BYTES {
        return Err(wrong(format!("it has more than {MAX_CHAIN_BYTES} bytes")));
    }
    EndorsementCertificate::parse(&bytes).map_err(|error| wrong(error.to_string()))
}

/// The answer to register and poll.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus<'a> {
    operation_id: &'a OperationId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_state: Option<RegistrationState<'a>>,
}

impl<'a> OperationStatus<'a> {
    /// The answer to a register call whose operation goes on.
    pub fn accepted(operation_id: &'a OperationId) -> Self {
        Self { operation_id, status: "assigning", registration_state: None }
    }

    /// The answer to a poll.
    pub fn polled(
        operation_id: &'a OperationId,
        id: &'a RegistrationId,
        status: &'a Status,
        credential: &'a Credential,
        hub_key: Option<&Blob>,
        issuing: &CertificateIssuing,
    ) -> Self {
        let state = match status {
            Status::Assigning { .. } => RegistrationState::assigning(id),
            Status::Finished(registration) => {
                let issued = registration.issued.as_ref().filter(|issued| issued.operation == *operation_id);
                RegistrationState::of(registration, credential)
                    .with_hub_key(hub_key)
                    .with_chain(issued.map(|issued| issuing.chain(issued)))
            }
        };
        Self { operation_id, status: state.status, registration_state: Some(state) }
    }
}

/// A `DeviceRegistrationResult`. Members that do not apply are left out, never null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationState<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    x509: Option<X509State<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<TpmState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symmetric_key: Option<SymmetricKeyState<'a>>,
    registration_id: &'a RegistrationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_date_time_utc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_hub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    substatus: Option<Substatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_date_time_utc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_certificate_chain: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TpmState {
    authentication_key: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SymmetricKeyState<'a> {
    enrollment_group_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct X509State<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_info: Option<&'a CertificateInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment_group_id: Option<&'a str>,
}

impl<'a> RegistrationState<'a> {
    /// The state of a pending operation.
    pub fn assigning(registration_id: &'a RegistrationId) -> Self {
        Self {
            x509: None,
            tpm: None,
            symmetric_key: None,
            registration_id,
            created_date_time_utc: None,
            assigned_hub: None,
            device_id: None,
            status: "assigning",
            substatus: None,
            error_code: None,
            error_message: None,
            last_updated_date_time_utc: None,
            etag: None,
            payload: None,
            issued_certificate_chain: None,
        }
    }

    /// Adds the key for the hub, wrapped for the TPM of the device.
    #[must_use]
    pub fn with_hub_key(self, blob: Option<&Blob>) -> Self {
        let tpm = blob.map(|blob| TpmState { authentication_key: blob.to_base64() });
        Self { symmetric_key: if tpm.is_some() { None } else { self.symmetric_key }, tpm, ..self }
    }

    /// Adds the issued certificate and its chain.
    #[must_use]
    pub fn with_chain<'c>(self, chain: Option<impl Iterator<Item = &'c [u8]>>) -> Self {
        let encoded = chain.map(|chain| chain.map(|der| STANDARD.encode(der)).collect());
        Self { issued_certificate_chain: encoded, ..self }
    }

    /// The state of a registration, for the device that presented this credential.
    pub fn of(registration: &'a Registration, credential: &'a Credential) -> Self {
        let certificate = credential.certificate();
        let group = match &registration.enrollment {
            EnrollmentRef::Individual(_) => None,
            EnrollmentRef::Group(id) => Some(id.as_str()),
        };
        let state = Self {
            x509: certificate.map(|info| X509State { certificate_info: Some(info), enrollment_group_id: group }),
            symmetric_key: match credential {
                Credential::SharedKey(_) => group.map(|group| SymmetricKeyState { enrollment_group_id: group }),
                _ => None,
            },
            created_date_time_utc: Some(registration.created_at.to_string()),
            last_updated_date_time_utc: Some(registration.updated_at.to_string()),
            etag: Some(wire_etag(registration)),
            ..Self::assigning(&registration.registration_id)
        };
        match &registration.outcome {
            Outcome::Assigned(assignment) => Self {
                status: "assigned",
                substatus: Some(assignment.substatus),
                assigned_hub: Some(assignment.hub.as_str()),
                device_id: Some(assignment.device_id.as_str()),
                payload: assignment
                    .payload
                    .as_ref()
                    .and_then(|text| RawValue::from_string(text.as_str().to_owned()).ok()),
                ..state
            },
            Outcome::Failed { code, message } => {
                Self { status: "failed", error_code: Some(*code), error_message: Some(message), ..state }
            }
        }
    }
}

/// DPS sends an entity tag as the base64 of the tag with its quotes.
fn wire_etag(registration: &Registration) -> String {
    STANDARD.encode(format!("\"{}\"", registration.etag()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Said, Wrong> {
        read_body(text.as_bytes(), &"Dev-1".parse().unwrap(), 8)
    }

    #[test]
    fn bodies_as_real_clients_send_them_are_read() {
        for empty in ["", " ", "{}", r#"{"registrationId":"dev-1"}"#, r#"{"payload": null, "registrationId": "DEV-1"}"#]
        {
            assert_eq!(read(empty), Ok(Said::default()), "{empty}");
        }
        let said = read(r#"{"registrationId":"dev-1","payload":{"a": 1.0},"unknown":[]}"#).unwrap();
        assert_eq!(said.payload.unwrap().as_str(), r#"{"a": 1.0}"#);
    }

    #[test]
    fn bodies_that_are_not_a_registration_are_bad_requests() {
        for bad in [
            "[",
            "[]",
            "1",
            r#"{"registrationId":"dev-2"}"#,
            r#"{"registrationId":1}"#,
            "{\"payload\":[[[[[[[[1]]]]]]]]}",
        ] {
            assert!(matches!(read(bad).unwrap_err().told, DeviceError::BadRequest(_)), "{bad}");
        }
        assert!(read_body(b"\xff", &"a".parse().unwrap(), 8).is_err());
    }

    #[test]
    fn the_operator_is_told_which_member_is_wrong_and_never_what_stands_in_it() {
        for (bad, says) in [
            (r#"{"registrationId":123456789}"#, "at registrationId: invalid type: integer, expected a string"),
            (r#"{"tpm":"hunter2"}"#, "at tpm: invalid type: string, expected an object"),
            (r#"{"tpm":["hunter2","hunter2"]}"#, "at tpm: invalid type: sequence, expected an object"),
            (r#"[null,{"a":1}]"#, "not an object"),
            (r#" ["Dev-1"]"#, "not an object"),
            (r#"{"tpm":{"endorsementKey":["hunter2"]}}"#, "at tpm.endorsementKey: invalid type: sequence"),
            (r#"{"csr":"hunter2!"}"#, "character 7"),
            (r#"{"payload":hunter2}"#, "not JSON: expected value at line 1 column 12"),
            (r#"{"tpm":{"endorsementKey":"hunter2!","storageRootKey":"hunter2!"}}"#, "it is not base64"),
        ] {
            let wrong = read(bad).unwrap_err();
            assert!(wrong.detail.contains(says), "{bad}: {wrong:?}");
            assert!(!wrong.detail.contains("hunter2") && !wrong.detail.contains("123456789"), "{wrong:?}");
        }
    }
}
