//! Certificate authorities, and what is revoked of what they issued.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::{RevocationChange, RevocationRecord};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, IdScope};

use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError, entity_tag};

/// Certificate authorities, and what is revoked of what they issued.
#[async_trait]
pub trait AuthorityStore: Send + Sync + 'static {
    /// Uploads an authority's certificate. It begins unproven, unless it is another certificate of the authority that stands
    /// there, by name and key. One that would take the devices of a group away, or what was proven without saying so, is a
    /// conflict. The entity tag is [`authority_tag`].
    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Makes or replaces an authority as it is. A certificate that is uploaded under another name is a conflict. The entity tag
    /// is [`entity_tag`] of the authority alone: what is said of its certificates meanwhile does not hold it up.
    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes an authority, unless a group names it, or holds an intermediate that only this one vouches for. What is said of
    /// its certificates stays. The entity tag is [`authority_tag`].
    async fn delete_authority(
        &self,
        scope: &IdScope,
        name: &CaName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Changes what is said of an issuer's certificates, by commands that are merged over whatever stands there by then: all of
    /// them or none. It is kept by the issuer's name and key, whatever becomes of authorities. `when` can name an
    /// authority whose [`authority_tag`] must be as it says. What does not fit is a conflict.
    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError>;
}

/// A certificate to upload as that of an authority.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AuthorityUpload {
    /// The authority's name.
    pub name: CaName,
    /// Its certificate, DER.
    pub der: Vec<u8>,
    /// Whether it may take the place of another that is in use or proven.
    pub replace: bool,
    pub now: Timestamp,
}

/// The entity tag of an authority with what is said of its certificates.
pub fn authority_tag(authority: &CertificateAuthority, said: Option<&RevocationRecord>) -> String {
    entity_tag(&(authority, said.map(|said| (&said.rules, &said.list))))
}
