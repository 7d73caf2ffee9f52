//! A device's call, independent of the transport, and its conversion into a request of the domain.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use landfall_attestation::bearer::{BearerFlaw, BearerToken};
use landfall_attestation::kerberos::NegotiateToken;
use landfall_attestation::password::{BasicCredential, BasicFlaw};
use landfall_attestation::symmetric_key::{SasToken, TokenFlaw};
use landfall_attestation::x509::PresentedChain;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{NameError, TrackingId};

use super::error::{DeviceError, Wrong};
use super::wire;
use crate::listener::{Standing, Unusable};
use crate::provisioning::{self, Credential};

/// A device's call. Names are as the device wrote them.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeviceCall {
    pub verb: Verb,
    /// The id scope.
    pub scope: String,
    /// The registration id.
    pub registration_id: String,
    /// The version of the API; `None` if the device does not state one.
    pub api_version: Option<String>,
    /// The credentials that the device presents.
    pub shown: Shown,
    /// How long the device is willing to wait for the result. Without it, the device must poll even if the result
    /// exists already, because some clients accept no other answer.
    pub wait: Option<Duration>,
    /// The address of the peer.
    pub source: IpAddr,
    /// The standing of its connection at the listener.
    pub standing: Standing,
}

/// The operation that a device calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Register the device.
    Register,
    /// Poll the state of an operation.
    Poll {
        /// The id of the operation, as the device wrote it.
        operation: String,
    },
    /// Look up the registration of the device.
    LookUp,
}

/// The credentials that a device presents.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The explicit credential: a scheme and its parameters, such as `SharedAccessSignature sr=...`.
    pub authorization: Option<Authorization>,
    /// The certificate whose key was proven in the handshake, or why it is unusable.
    pub certificate: Option<Result<Arc<PresentedChain>, Unusable>>,
}

/// An explicit credential. It is never printed, because it may be a secret.
#[derive(Clone)]
pub struct Authorization {
    /// The scheme and its parameters; empty if it is not text.
    pub text: String,
    /// Whether the request has more than one. Then none is accepted.
    pub repeated: bool,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("repeated", &self.repeated).finish_non_exhaustive()
    }
}

impl DeviceCall {
    /// Converts the call into a request of the domain. `body` is awaited only if everything before it is valid, and
    /// never for a poll: client libraries put arbitrary content there, and the body of the register call applies.
    ///
    /// # Errors
    ///
    /// What is wrong with the call, for the device and for the operator.
    pub async fn read(
        &self,
        body: impl Future<Output = Result<Bytes, Wrong>>,
        json_depth: usize,
        tracking_id: TrackingId,
        received_at: Timestamp,
    ) -> Result<provisioning::Request, Wrong> {
        check_api_version(self.api_version.as_deref())?;
        // A scope that cannot exist is refused like one that does not exist.
        let scope = self.scope.parse().map_err(|error: NameError| Wrong::because(DeviceError::Unauthorized, error))?;
        let registration_id =
            self.registration_id.parse().map_err(|error: NameError| Wrong::bad("Invalid RegistrationId", error))?;
        let body = match self.verb {
            Verb::Register | Verb::LookUp => body.await?,
            Verb::Poll { .. } => Bytes::new(),
        };
        let said = wire::read_body(&body, &registration_id, json_depth)?;
        let mut credential = self.shown.credential();
        if let Some(chip) = said.chip {
            let token = credential.token().cloned();
            if !matches!(
                credential,
                Credential::UnreadableToken(_)
                    | Credential::Bearer(_)
                    | Credential::UnreadableBearer(_)
                    | Credential::Basic(_)
                    | Credential::Negotiate(_)
                    | Credential::UnreadableBasic(_)
            ) {
                credential = Credential::Tpm { chip: Arc::new(chip), token };
            }
        }
        Ok(provisioning::Request {
            tracking_id,
            received_at,
            source: self.source,
            standing: self.standing.clone(),
            scope,
            registration_id,
            credential,
            payload: said.payload,
            csr: said.csr.map(Arc::new),
        })
    }
}

impl Shown {
    /// A token is presented explicitly, while TLS libraries present any certificate that they have. So a token takes
    /// precedence. Text that is not one of our tokens is ignored if there is a certificate, because libraries and
    /// proxies add such headers.
    pub fn credential(&self) -> Credential {
        if let Some(Authorization { text, repeated }) = &self.authorization {
            let scheme = text.split(' ').next().unwrap_or_default();
            if scheme.eq_ignore_ascii_case("SharedAccessSignature") {
                let parsed = if *repeated { Err(TokenFlaw::Repeated("Authorization")) } else { SasToken::parse(text) };
                return parsed.map_or_else(Credential::UnreadableToken, Credential::SharedKey);
            }
            if scheme.eq_ignore_ascii_case("Bearer") {
                let parsed = if *repeated { Err(BearerFlaw::Scheme) } else { BearerToken::parse(text) };
                return parsed.map_or_else(Credential::UnreadableBearer, Credential::Bearer);
            }
            if scheme.eq_ignore_ascii_case("Negotiate") {
                let whole = if *repeated { "" } else { text };
                return Credential::Negotiate(NegotiateToken::parse(whole));
            }
            if scheme.eq_ignore_ascii_case("Basic") {
                let parsed = if *repeated { Err(BasicFlaw::Several) } else { BasicCredential::parse(text) };
                return parsed.map_or_else(Credential::UnreadableBasic, Credential::Basic);
            }
            if self.certificate.is_none() {
                return Credential::UnreadableToken(TokenFlaw::Scheme);
            }
        }
        match &self.certificate {
            None => Credential::None,
            Some(Ok(chain)) => Credential::X509(Arc::clone(chain)),
            Some(Err(unusable)) => Credential::Unreadable(unusable.0.clone()),
        }
    }
}

/// Any well-formed version is accepted: the versions do not differ in what is served here.
fn check_api_version(version: Option<&str>) -> Result<(), DeviceError> {
    let date = version.map(|version| version.strip_suffix("-preview").unwrap_or(version).as_bytes());
    match date {
        Some([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
            if [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            Ok(())
        }
        Some(_) => Err(DeviceError::BadRequest("The api-version is not of the form YYYY-MM-DD")),
        None => Err(DeviceError::BadRequest("The api-version is missing from the query")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_a_client_sends_is_taken() {
        for good in ["2017-08-31-preview", "2019-03-31", "2021-06-01", "2026-11-15-preview"] {
            assert_eq!(check_api_version(Some(good)), Ok(()), "{good}");
        }
        for bad in [None, Some(""), Some("1"), Some("2019-3-31"), Some("2019-03-31x"), Some("-preview")] {
            assert!(check_api_version(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_shown_on_purpose_counts_before_a_certificate() {
        let unusable = || Some(Err(Unusable("no certificate".to_owned())));
        let shown = |text: &str, repeated, certificate| {
            let authorization = Some(Authorization { text: text.to_owned(), repeated });
            Shown { authorization, certificate }.credential()
        };
        assert!(matches!(Shown::default().credential(), Credential::None));
        let certificate = Shown { authorization: None, certificate: unusable() };
        assert!(matches!(certificate.credential(), Credential::Unreadable(why) if why == "no certificate"));
        assert!(matches!(shown("Digest x", false, unusable()), Credential::Unreadable(_)), "no token of ours");
        assert!(matches!(shown("Digest x", false, None), Credential::UnreadableToken(TokenFlaw::Scheme)));
        assert!(matches!(shown("", false, None), Credential::UnreadableToken(TokenFlaw::Scheme)));
        assert!(matches!(shown("negotiate AA==", false, unusable()), Credential::Negotiate(_)));
        assert!(matches!(shown("bearer x", true, unusable()), Credential::UnreadableBearer(BearerFlaw::Scheme)));
        assert!(matches!(shown("Basic x", true, None), Credential::UnreadableBasic(BasicFlaw::Several)));
        let token = "SharedAccessSignature sr=0ne1/registrations/dev-1&sig=3YjRurf9mMWa6dqz9PiU3iyQSX7F0A3yoTS89J2goA4%3D&se=1795409503";
        assert!(matches!(shown(token, false, unusable()), Credential::SharedKey(_)));
        assert!(matches!(shown(token, true, None), Credential::UnreadableToken(TokenFlaw::Repeated("Authorization"))));
        let printed = format!("{:?}", Authorization { text: "Basic hunter2".to_owned(), repeated: false });
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
