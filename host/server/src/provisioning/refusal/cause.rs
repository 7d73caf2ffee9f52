//! The causes of refusals. The wire shows none of them. Each cause has a word for programs and metrics, and a sentence
//! for the operator that says what happened, where, and what to do.

use landfall_attestation::bearer::BearerFlaw;
use landfall_attestation::kerberos::KerberosFlaw;
use landfall_attestation::password::BasicFlaw;
use landfall_attestation::symmetric_key::TokenFlaw;
use landfall_attestation::x509::ChainError;
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, GroupId, IdScope, ManufacturerId, RegistrationId};
use landfall_domain::registry::Part;

/// The cause of a refusal. Every match on it is exhaustive, so that no cause is forgotten when it is reported.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Cause {
    /// The id scope does not exist.
    #[error("no id scope {0} exists here")]
    UnknownScope(IdScope),
    /// The device showed no credential at all.
    #[error(
        "the device showed no certificate and no token; a TLS library that has a certificate shows none when its key is of \
         a kind that is not taken here (taken are P-256, P-384, P-521, Ed25519, and RSA of 2048 to 4096 bits)"
    )]
    NoCredential,
    /// The certificate does not parse, or is over a limit.
    #[error("the device's certificate cannot be used: {0}")]
    UnreadableCertificate(String),
    /// The Authorization header holds no token.
    #[error("the device's token cannot be used: {0}")]
    UnreadableToken(TokenFlaw),
    /// The token is for another device or another tenant.
    #[error("the token's sr is not that of {0} in this id scope")]
    TokenForAnother(RegistrationId),
    /// The token has expired.
    #[error("the token expired at {0}; is the device's clock right?")]
    TokenExpired(Timestamp),
    /// The token expires too far in the future.
    #[error(
        "the token's end (se) is more than {days} days ahead (limits.device.shared_key_token_days); make one that ends sooner"
    )]
    TokenWithoutEnd { days: u64 },
    /// No known key has signed the token.
    #[error("no individual enrollment for {0}, and none of the groups' keys has signed its token")]
    NotEnrolledByKey(RegistrationId),
    /// None of the enrollment's keys has signed the token.
    #[error("{0} stands for this id, and none of its keys has signed the token")]
    NotSigned(String),
    /// A TPM's answer begins one registration only.
    #[error(
        "the device brings an answer to a challenge again, with which {0} has registered already; it is given another challenge"
    )]
    AnsweredBefore(RegistrationId),
    /// The enrollment's sealed keys cannot be opened.
    #[error("the keys of {enrollment} cannot be opened: {reason}")]
    KeysNotOpened {
        enrollment: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// The enrollment demands another kind of credential.
    #[error("{enrollment} demands {demands}, and the device showed {shown}")]
    OtherMechanism {
        enrollment: String,
        /// The kind of credential that it demands.
        demands: &'static str,
        /// The kind that was shown.
        shown: &'static str,
    },
    /// No group takes accounts of a directory, or of this directory.
    #[error("the device showed a ticket of a directory (Negotiate), and no enrollment group takes accounts of it")]
    NoDirectoryGroup,
    /// The ticket cannot be used.
    #[error("the device's ticket cannot be used (directory {directory}): {reason}")]
    Ticket {
        directory: String,
        /// What is wrong with it.
        reason: KerberosFlaw,
    },
    /// The ticket's authenticator was used before.
    #[error("the ticket of {0} came with an authenticator that was here before: somebody repeats what was overheard")]
    TicketAgain(String),
    /// The directory does not answer.
    #[error(
        "the directory {directory} cannot be asked for the account {account:?}: {reason}; the device was told to come back"
    )]
    DirectoryAway { directory: String, account: String, reason: String },
    /// The directory has no such account, or it has disabled it, or the account has expired.
    #[error(
        "the directory {directory} has no account {account:?} that is enabled and has not ended, whose ticket the device showed"
    )]
    NoAccount { directory: String, account: String },
    /// The name belongs to another account by now.
    #[error(
        "the device's ticket was given to another account than that which the directory {directory} has under the name \
         {account:?} now (their SIDs differ): one of them was renamed or made anew; the device needs a new ticket"
    )]
    AccountChanged { directory: String, account: String },
    /// The account belongs to another device.
    #[error(
        "the ticket is of the account {account:?}, and the device registers as {id}; a group takes computers, whose names \
         end with $ and are ids without it, or users"
    )]
    AccountOfAnother { account: String, id: RegistrationId },
    /// The account is in none of the groups that the enrollment demands.
    #[error("{enrollment} takes accounts that are in one of {wanted}, and {account:?} is in none")]
    NotInDirectoryGroup { enrollment: String, account: String, wanted: String },
    /// The cause, for a device whose credential an enrollment has accepted.
    #[error("{cause}")]
    OfEnrollment {
        enrollment: String,
        /// Why the device is refused all the same.
        cause: Box<Self>,
    },
    /// The cause, for a device that has proven nothing yet.
    #[error("{0}")]
    BeforeProof(Box<Self>),
    /// Passwords are turned off.
    #[error("the device showed a password, and passwords are off (passwords.enabled in landfall.toml)")]
    PasswordsOff,
    /// The Authorization header holds no username and password.
    #[error("the device's password cannot be used: {0}")]
    UnreadableBasic(BasicFlaw),
    /// No individual enrollment has this id, and the device shows a password.
    #[error("no individual enrollment for {0}, which shows a password")]
    NotEnrolledByPassword(RegistrationId),
    /// The password or the username is wrong.
    #[error("{0} has another username or password")]
    WrongPassword(String),
    /// The Authorization header holds no token of an identity provider.
    #[error("the device's token cannot be used: {0}")]
    UnreadableBearer(BearerFlaw),
    /// No enrollment relies on the token's issuer.
    #[error("no enrollment group of this id scope relies on the issuer of the token ({0:?})")]
    UnknownIssuer(String),
    /// The issuer's keys cannot be fetched.
    #[error("the keys of the token's issuer {issuer} cannot be had: {reason}; the device was told to come back")]
    IssuerAway { issuer: String, reason: String },
    /// The issuer may have published the token's key since its keys were last fetched.
    #[error(
        "no key fits that the issuer {issuer} of the token had published when it was asked a moment ago; the device was told to \
         come back in {seconds} s, when it can be asked again"
    )]
    IssuerKeyNotYet {
        issuer: String,
        /// After how many seconds the keys may be fetched again.
        seconds: u64,
    },
    /// None of the issuer's keys has signed it.
    #[error("none of the keys of the issuer {0} has signed the token")]
    BearerSignature(String),
    /// The token does not satisfy the enrollment.
    #[error("{enrollment} does not accept the token: {reason}")]
    Bearer {
        enrollment: String,
        /// What is wrong with it.
        reason: BearerFlaw,
    },
    /// The token belongs to another device.
    #[error("the token is for {said:?}, and the device registers as {id}")]
    BearerOfAnother {
        /// The device that the token names.
        said: String,
        /// The id in the URL.
        id: RegistrationId,
    },
    /// No enrollment names the TPM.
    #[error("no individual enrollment for {0}, which shows the keys of a TPM, and no group takes TPMs by their makers")]
    NotEnrolledByTpm(RegistrationId),
    /// A group accepts a maker's TPM only if a manufacturing record names its endorsement key.
    #[error("the manufacturing record of {0} names no endorsement key, so no group can take its TPM")]
    NoEndorsementKey(RegistrationId),
    /// Nothing says who made the TPM.
    #[error(
        "neither the manufacturing record of {0} nor the device has shown the certificate of its TPM's endorsement key, so \
         no group can take it"
    )]
    NoEndorsementCertificate(RegistrationId),
    /// The endorsement certificate is for another TPM.
    #[error("the endorsement certificate {certificate} is not of the endorsement key {key} that {id} has shown")]
    OtherEndorsementCertificate {
        id: RegistrationId,
        /// The SHA-256 of the certificate.
        certificate: Digest,
        /// The SHA-256 of the key.
        key: Digest,
    },
    /// No group relies on the record's manufacturer for TPMs.
    #[error("no group takes TPMs of devices that {manufacturer} has made, as the manufacturing record of {id} says")]
    NoMakerGroup {
        id: RegistrationId,
        /// The manufacturer that imported the record.
        manufacturer: ManufacturerId,
    },
    /// The TPM was made by none of the makers on which the group relies.
    #[error("{enrollment} does not take the TPM: {reason}")]
    EndorsementCertificate {
        enrollment: String,
        /// What is wrong with its certificate.
        reason: ChainError,
    },
    /// The enrollment names another TPM.
    #[error("the individual enrollment {id} names the endorsement key {enrolled}, and the device showed {shown}")]
    OtherEndorsementKey {
        id: RegistrationId,
        /// The SHA-256 of the enrolled endorsement key.
        enrolled: Digest,
        /// The SHA-256 of the endorsement key that was shown.
        shown: Digest,
    },
    /// The keys of the TPM cannot be used to wrap a challenge.
    #[error("the keys of the device's TPM cannot be used: {0}")]
    UnusableTpm(String),
    /// The certificate belongs to another device.
    #[error("the certificate's CN is {cn:?}, and the device registers as {id}")]
    OtherName {
        cn: String,
        /// The id in the URL.
        id: RegistrationId,
    },
    /// Neither an individual enrollment nor a group admits the device.
    #[error("no individual enrollment for {0}, and no group's certificate authority is on its certificate's chain")]
    NotEnrolled(RegistrationId),
    /// The enrollment that counts is disabled.
    #[error("{0} is disabled")]
    EnrollmentDisabled(String),
    /// The certificate is pinned by a disabled enrollment.
    #[error("the certificate is blocked: {0}, which is disabled, names it")]
    CertificateBlocked(String),
    /// The certificate is pinned by the enrollment of another device.
    #[error("the certificate belongs to another device: {0} names it")]
    CertificateOfAnother(String),
    /// The certificate does not satisfy the enrollment that counts.
    #[error("{enrollment} does not accept the certificate: {reason}")]
    Certificate {
        enrollment: String,
        /// What is wrong with it.
        reason: ChainError,
    },
    /// The group names an authority that is not proven, or that does not exist.
    #[error(
        "group {group} rests on certificate authority {authority}, whose key has not been proven; run `landfall ca verify`"
    )]
    AuthorityUnproven { group: GroupId, authority: String },
    /// The manufacturing record, the second factor, is missing.
    #[error("no manufacturing record names {0}; have its manufacturer import it")]
    NoRecord(RegistrationId),
    /// The manufacturing record was imported by a manufacturer on whom the enrollment does not rely.
    #[error("the manufacturing record of {id} was imported by {manufacturer}, and {enrollment} relies on {relied_on}")]
    RecordOfAnother {
        id: RegistrationId,
        /// The manufacturer that imported it.
        manufacturer: ManufacturerId,
        enrollment: String,
        /// The manufacturers whose records count.
        relied_on: String,
    },
    /// The manufacturing record is quarantined.
    #[error("the manufacturing record of {0} is quarantined")]
    Quarantined(RegistrationId),
    /// The manufacturing record is retired.
    #[error("the manufacturing record of {0} is retired")]
    Retired(RegistrationId),
    /// The manufacturing record names another credential.
    #[error("the manufacturing record demands {what} {expected}, and the device showed {shown}")]
    EvidenceMismatch {
        what: Part,
        /// The value in the record.
        expected: String,
        /// The value that the device showed; `none` if its kind of credential has no such part.
        shown: String,
    },
    /// The id is bound to another key.
    #[error(
        "{id} is bound to the key {bound}, and the device showed {shown}; if that is right, run `landfall registration release {id}`"
    )]
    KeyChanged {
        id: RegistrationId,
        /// The key to which the id is bound.
        bound: Digest,
        /// The key that was shown.
        shown: Digest,
    },
    /// The key is bound to another id.
    #[error(
        "the key {shown} with which {id} came belongs to {owner}, which registered with it: one of the two is a copy; if it \
         is the same device under a new id, run `landfall registration release {owner}`"
    )]
    KeyOfAnother {
        id: RegistrationId,
        shown: Digest,
        /// The id to which the key is bound.
        owner: RegistrationId,
    },
}

impl Cause {
    /// The word for this cause, for programs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownScope(_) => "unknown-scope",
            Self::NoCredential => "no-credential",
            Self::UnreadableCertificate(_) => "unreadable-certificate",
            Self::UnreadableToken(_) => "unreadable-token",
            Self::TokenForAnother(_) => "token-for-another",
            Self::TokenExpired(_) => "token-expired",
            Self::TokenWithoutEnd { .. } => "token-without-end",
            Self::NotEnrolledByKey(_) => "not-enrolled-by-key",
            Self::NotSigned(_) => "token-not-signed",
            Self::AnsweredBefore(_) => "challenge-answered-before",
            Self::KeysNotOpened { .. } => "keys-not-opened",
            Self::OtherMechanism { .. } => "other-mechanism",
            Self::NoDirectoryGroup => "no-group-for-directory",
            Self::Ticket { .. } => "unusable-ticket",
            Self::TicketAgain(_) => "ticket-again",
            Self::NoAccount { .. } => "no-account",
            Self::DirectoryAway { .. } => "directory-away",
            Self::AccountChanged { .. } => "account-changed",
            Self::AccountOfAnother { .. } => "account-of-another",
            Self::NotInDirectoryGroup { .. } => "not-in-directory-group",
            Self::PasswordsOff => "passwords-off",
            Self::UnreadableBasic(_) => "unreadable-password",
            Self::NotEnrolledByPassword(_) => "not-enrolled-by-password",
            Self::WrongPassword(_) => "wrong-password",
            Self::UnreadableBearer(_) => "unreadable-bearer-token",
            Self::UnknownIssuer(_) => "unknown-issuer",
            Self::BearerSignature(_) => "bearer-token-not-signed",
            Self::BeforeProof(cause) | Self::OfEnrollment { cause, .. } => cause.code(),
            Self::IssuerAway { .. } => "issuer-away",
            Self::IssuerKeyNotYet { .. } => "issuer-key-not-yet",
            Self::Bearer { .. } => "bearer-token-not-accepted",
            Self::BearerOfAnother { .. } => "bearer-token-of-another",
            Self::NotEnrolledByTpm(_) => "not-enrolled-by-tpm",
            Self::NoEndorsementKey(_) => "no-endorsement-key-in-record",
            Self::NoEndorsementCertificate(_) => "no-endorsement-certificate",
            Self::OtherEndorsementCertificate { .. } => "other-endorsement-certificate",
            Self::NoMakerGroup { .. } => "no-group-for-tpm",
            Self::EndorsementCertificate { .. } => "endorsement-certificate-not-accepted",
            Self::OtherEndorsementKey { .. } => "other-endorsement-key",
            Self::UnusableTpm(_) => "unusable-tpm",
            Self::OtherName { .. } => "other-name",
            Self::NotEnrolled(_) => "not-enrolled",
            Self::EnrollmentDisabled(_) => "enrollment-disabled",
            Self::CertificateBlocked(_) => "certificate-blocked",
            Self::CertificateOfAnother(_) => "certificate-of-another",
            Self::Certificate { .. } => "certificate-not-accepted",
            Self::AuthorityUnproven { .. } => "authority-unproven",
            Self::NoRecord(_) => "no-manufacturing-record",
            Self::RecordOfAnother { .. } => "record-of-another-manufacturer",
            Self::Quarantined(_) => "record-quarantined",
            Self::Retired(_) => "record-retired",
            Self::EvidenceMismatch { .. } => "evidence-mismatch",
            Self::KeyChanged { .. } => "key-changed",
            Self::KeyOfAnother { .. } => "key-of-another",
        }
    }

    /// After how many seconds the device is told to come back, for a cause that tells it to.
    pub fn again_in(&self) -> Option<u64> {
        match self {
            Self::IssuerKeyNotYet { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// The enrollment that counted for the device, if the request got that far.
    pub(in crate::provisioning) fn enrollment(&self) -> Option<String> {
        match self {
            Self::BeforeProof(cause) => cause.enrollment(),
            Self::OfEnrollment { enrollment, .. }
            | Self::KeysNotOpened { enrollment, .. }
            | Self::OtherMechanism { enrollment, .. }
            | Self::NotInDirectoryGroup { enrollment, .. }
            | Self::Bearer { enrollment, .. }
            | Self::EndorsementCertificate { enrollment, .. }
            | Self::Certificate { enrollment, .. }
            | Self::NotSigned(enrollment)
            | Self::WrongPassword(enrollment)
            | Self::EnrollmentDisabled(enrollment) => Some(enrollment.clone()),
            Self::AuthorityUnproven { group, .. } => Some(EnrollmentRef::Group(group.clone()).to_string()),
            _ => None,
        }
    }

    /// Wraps the cause: an enrollment has accepted the device's credential.
    pub(in crate::provisioning) fn of(self, enrollment: &EnrollmentRef) -> Self {
        Self::OfEnrollment { enrollment: enrollment.to_string(), cause: Box::new(self) }
    }

    /// Wraps the cause: nothing has been proven yet, so anybody can be refused like this.
    pub(in crate::provisioning) fn before_proof(self) -> Self {
        Self::BeforeProof(Box::new(self))
    }

    /// Whether a stranger can cause this refusal, who knows only the address of this installation.
    pub(in crate::provisioning) fn is_a_strangers(&self) -> bool {
        matches!(
            self,
            Self::UnknownScope(_)
                | Self::NoCredential
                | Self::UnreadableCertificate(_)
                | Self::NotEnrolled(_)
                | Self::UnreadableToken(_)
                | Self::TokenForAnother(_)
                | Self::TokenExpired(_)
                | Self::TokenWithoutEnd { .. }
                | Self::NotEnrolledByKey(_)
                | Self::NotSigned(_)
                | Self::AnsweredBefore(_)
                | Self::NoDirectoryGroup
                | Self::Ticket { .. }
                | Self::PasswordsOff
                | Self::UnreadableBasic(_)
                | Self::NotEnrolledByPassword(_)
                | Self::WrongPassword(_)
                | Self::UnreadableBearer(_)
                | Self::UnknownIssuer(_)
                | Self::IssuerAway { .. }
                | Self::IssuerKeyNotYet { .. }
                | Self::BearerSignature(_)
                | Self::OtherMechanism { .. }
                | Self::BeforeProof(_)
                | Self::AuthorityUnproven { .. }
                | Self::NotEnrolledByTpm(_)
                | Self::NoEndorsementKey(_)
                | Self::NoEndorsementCertificate(_)
                | Self::OtherEndorsementCertificate { .. }
                | Self::NoMakerGroup { .. }
                | Self::EndorsementCertificate { .. }
                | Self::OtherEndorsementKey { .. }
                | Self::UnusableTpm(_)
        )
    }
}
