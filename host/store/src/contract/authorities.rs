//! Certificate authorities, and the revocations of certificates that they issued.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::{RevocationChange, RevocationRecord};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, IdScope};

use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError, entity_tag};

/// Certificate authorities, and the revocations of certificates that they issued.
#[async_trait]
pub trait AuthorityStore: Send + Sync + 'static {
    /// Uploads the certificate of an authority. The authority is unproven at first, unless the upload renews the
    /// stored authority (same name and same key). An upload is a conflict if it would separate a group from its
    /// devices, or if it would replace a proven authority without `replace`. The entity tag is [`authority_tag`].
    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Creates or replaces an authority as given. It is a conflict if the certificate is uploaded under another name.
    /// The entity tag is [`entity_tag`] of the authority alone, so that concurrent changes of its revocations do not
    /// make the write fail.
    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Removes an authority, unless a group names it or holds an intermediate that no other authority vouches for. The
    /// revocations of its certificates stay. The entity tag is [`authority_tag`].
    async fn delete_authority(
        &self,
        scope: &IdScope,
        name: &CaName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// Changes the revocations of an issuer by commands, which are merged with the state that is stored at the time of
    /// the write: all commands apply, or none. Revocations are stored under the name and key of the issuer,
    /// independently of uploaded authorities. `when` can name an authority whose [`authority_tag`] must match. A
    /// command that does not fit the stored state is a conflict.
    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError>;
}

/// A certificate to upload for an authority.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AuthorityUpload {
    /// The authority's name.
    pub name: CaName,
    /// Its certificate, DER.
    pub der: Vec<u8>,
    /// Whether it may replace another certificate that is in use or proven.
    pub replace: bool,
    pub now: Timestamp,
}

/// The entity tag of an authority together with the revocations of its certificates.
pub fn authority_tag(authority: &CertificateAuthority, said: Option<&RevocationRecord>) -> String {
    entity_tag(&(authority, said.map(|said| (&said.rules, &said.list))))
}
