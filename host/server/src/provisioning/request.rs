//! What a device asks, and how much of the answer it may know. This module does not depend on a transport.

use std::net::IpAddr;
use std::sync::Arc;

use landfall_attestation::bearer::{BearerFlaw, BearerToken};
use landfall_attestation::kerberos::NegotiateToken;
use landfall_attestation::password::{BasicCredential, BasicFlaw};
use landfall_attestation::symmetric_key::{SasToken, TokenFlaw};
use landfall_attestation::tpm::challenge::Chip;
use landfall_attestation::x509::request::CertificateRequest;
use landfall_attestation::x509::{CertificateInfo, PresentedChain};
use landfall_domain::clock::Timestamp;
use landfall_domain::json::JsonText;
use landfall_domain::names::{IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;

use super::desk::operations::Statement;
use crate::listener::Standing;

/// What a device asks, and how it proves its identity.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request's own id.
    pub tracking_id: TrackingId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The address it came from.
    pub source: IpAddr,
    /// The listener's view of its connection.
    pub standing: Standing,
    /// The id scope in its URL.
    pub scope: IdScope,
    /// The registration id in its URL.
    pub registration_id: RegistrationId,
    /// The credential that the device showed.
    pub credential: Credential,
    /// The payload: what the device says about itself.
    pub payload: Option<JsonText>,
    /// Its request for a certificate.
    pub csr: Option<Arc<CertificateRequest>>,
}

impl Request {
    /// What the device says when it registers.
    pub(super) fn said(&self) -> Statement {
        Statement { payload: self.payload.clone(), csr: self.csr.clone() }
    }
}

/// The credential that a device showed in this request.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Credential {
    /// A certificate whose key was proven in the handshake, with the chain that the device sent.
    X509(Arc<PresentedChain>),
    /// A token that was signed with a symmetric key. Whose key that is, is not known yet.
    SharedKey(SasToken),
    /// The keys of its TPM, and the token with which it answers a challenge.
    Tpm {
        chip: Arc<Chip>,
        /// The answer, once there is one.
        token: Option<SasToken>,
    },
    /// A token of an identity provider. Nothing about it has been proven yet.
    Bearer(BearerToken),
    /// A token of an identity provider that does not parse.
    UnreadableBearer(BearerFlaw),
    /// A Kerberos ticket of a directory. It has not been opened yet.
    Negotiate(NegotiateToken),
    /// A username and a password.
    Basic(BasicCredential),
    /// A username and a password that do not parse.
    UnreadableBasic(BasicFlaw),
    /// A token that does not parse.
    UnreadableToken(TokenFlaw),
    /// A certificate that does not parse or is over a limit.
    Unreadable(String),
    None,
}

impl Credential {
    /// The SAS token: the credential itself, or the one that comes with a TPM's keys.
    pub fn token(&self) -> Option<&SasToken> {
        match self {
            Self::SharedKey(token) => Some(token),
            Self::Tpm { token, .. } => token.as_ref(),
            _ => None,
        }
    }

    /// The description of the certificate, if there is one.
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        match self {
            Self::X509(chain) => Some(chain.leaf().info()),
            _ => None,
        }
    }
}

/// How far a registration has come, as far as its device may know.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Status {
    /// It is under way. The device asks again after this many seconds.
    Assigning { retry_after: u64 },
    /// It is on disk.
    Finished(Arc<Registration>),
}
