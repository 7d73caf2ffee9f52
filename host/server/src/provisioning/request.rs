//! What a device asks, and what it may know of the answer. No transport is named here.

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

/// What a device asks, and how it proves that it may.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request's own id.
    pub tracking_id: TrackingId,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: IpAddr,
    /// How its connection stands at the listener.
    pub standing: Standing,
    /// The tenant that its URL names.
    pub scope: IdScope,
    /// The device that its URL names.
    pub registration_id: RegistrationId,
    /// What was proven on this connection.
    pub credential: Credential,
    /// What the device says of itself.
    pub payload: Option<JsonText>,
    /// Its request for a certificate.
    pub csr: Option<Arc<CertificateRequest>>,
}

impl Request {
    /// What it says when it registers.
    pub(super) fn said(&self) -> Statement {
        Statement { payload: self.payload.clone(), csr: self.csr.clone() }
    }
}

/// What a device showed of itself on its connection.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Credential {
    /// A certificate whose key it has, with the chain that it sent.
    X509(Arc<PresentedChain>),
    /// A token that somebody has signed with a symmetric key; by whom is not known yet.
    SharedKey(SasToken),
    /// The keys of its TPM, and the token with which it answers a challenge.
    Tpm {
        chip: Arc<Chip>,
        /// The answer, once there is one.
        token: Option<SasToken>,
    },
    /// A token of an identity provider, of which nothing has been proven yet.
    Bearer(BearerToken),
    /// One that does not parse.
    UnreadableBearer(BearerFlaw),
    /// A ticket of a directory, unopened.
    Negotiate(NegotiateToken),
    /// A username and a password.
    Basic(BasicCredential),
    /// Ones that do not parse.
    UnreadableBasic(BasicFlaw),
    /// A token that does not parse.
    UnreadableToken(TokenFlaw),
    /// A certificate that does not parse or is over a limit.
    Unreadable(String),
    None,
}

impl Credential {
    /// The token, if it is one or carries one that a shared key has signed.
    pub fn token(&self) -> Option<&SasToken> {
        match self {
            Self::SharedKey(token) => Some(token),
            Self::Tpm { token, .. } => token.as_ref(),
            _ => None,
        }
    }

    /// What is told of the certificate, if there is one.
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        match self {
            Self::X509(chain) => Some(chain.leaf().info()),
            _ => None,
        }
    }
}

/// How far a registration is, as its device may know.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Status {
    /// It goes on; ask again after this many seconds.
    Assigning { retry_after: u64 },
    /// It is on disk.
    Finished(Arc<Registration>),
}
