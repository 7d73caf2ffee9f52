//! Why a write or removal contradicts other stored records. The reasons are typed, so that no caller compares texts;
//! the caller that shows a conflict puts it into words.

use landfall_attestation::x509::revocation::RevocationConflict;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{CaName, Digest, GroupId, IdScope, ManufacturerId, PluginName};

/// Why a resource may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Conflict {
    /// The id scope already has the maximum number of enrollment groups.
    MostGroups {
        /// The id scope.
        scope: IdScope,
        /// The maximum.
        most: u64,
    },
    /// A group names an authority that is not uploaded, or was removed.
    NoAuthority(CaName),
    /// A group names an authority whose possession of the key is not proven.
    NotProven(CaName),
    /// No uploaded and proven authority has issued the intermediate with this SHA-256.
    NotIssued(Digest),
    /// Another enrollment holds something that only one enrollment may hold.
    Held {
        what: Held,
        /// The enrollment that holds it.
        by: EnrollmentRef,
    },
    /// A group names an authority whose certificate another enrollment pins.
    AuthorityIsPinned {
        authority: CaName,
        /// The enrollment that pins it.
        by: EnrollmentRef,
    },
    /// A group pins a certificate that is uploaded as an authority which another group names.
    PinIsNamed {
        /// SHA-256 of the certificate.
        certificate: Digest,
        uploaded_as: CaName,
        /// The enrollment that names it.
        by: EnrollmentRef,
    },
    /// An enrollment uses a plugin that is not published, or was removed.
    NoPlugin(PluginName),
    /// An enrollment is pinned to a revision that does not exist, or was removed.
    NoRevision,
    /// The authority exists with another certificate of the same name and key, and the upload does not allow to
    /// replace it.
    Renewal(CaName),
    /// The authority exists and is proven, with another name or key, and the upload does not allow to replace it.
    ProvenOtherwise(CaName),
    /// A group depends on the authority, and the uploaded certificate has another name or key.
    LeanedOn {
        authority: CaName,
        /// How a group depends on it.
        leaning: Leaning,
    },
    /// The same certificate is uploaded as another authority.
    UploadedAs(CaName),
    /// The certificate would lead to two enrollments.
    TwoEnrollments {
        /// The enrollment that pins it.
        pinned: EnrollmentRef,
        /// The enrollment that names its authority.
        named: EnrollmentRef,
        authority: CaName,
    },
    /// A change of revocations does not fit the stored ones.
    Revocation(RevocationConflict),
    /// The component is not the announced one.
    OtherBytes {
        /// SHA-256 of the component that was received.
        found: Digest,
        /// SHA-256 that was announced.
        wanted: Digest,
    },
    /// The id scope may have no more plugins.
    MostPlugins {
        /// How many it has.
        there: usize,
        /// How many it may have.
        most: usize,
    },
    /// The plugins would take more bytes than allowed.
    NoRoom {
        /// Whether the limit is that of the publishing token; otherwise it is that of the id scope.
        of_publisher: bool,
        /// Bytes that they would take.
        bytes: u64,
        /// The part of these bytes that no plugin names any more, and that is kept for decisions and enrollments.
        kept: u64,
        /// The limit in bytes.
        most: u64,
    },
}

/// Why a resource may not be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// An enrollment uses the plugin.
    Uses(EnrollmentRef),
    /// A group depends on the authority.
    Leans(Leaning),
    /// It is the last operator token that is valid for all id scopes.
    LastOperator,
}

/// How an enrollment depends on an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaning {
    /// The enrollment names it.
    Names(EnrollmentRef),
    /// The group holds an intermediate that no other proven authority has issued.
    HoldsIssued(GroupId),
}

/// Something that only one enrollment of an id scope may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A pinned certificate, by its SHA-256.
    Certificate(Digest),
    /// An uploaded authority, by its name.
    Authority(CaName),
    /// The endorsement key of a TPM, by its SHA-256: one TPM is one device.
    EndorsementKey(Digest),
    /// The root of a maker of TPMs. Two groups may rely on one maker if no manufacturer's devices could come into both.
    TpmMaker {
        /// SHA-256 of its certificate.
        root: Digest,
        /// The manufacturer whose devices it counts for; those of any when absent.
        manufacturer: Option<ManufacturerId>,
    },
}

impl Held {
    /// A name that tells it from everything else that may be held in an id scope, and stays what it is.
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(digest) => digest.to_string(),
            Self::Authority(name) => format!("authority {name}"),
            Self::EndorsementKey(digest) => format!("endorsement {digest}"),
            Self::TpmMaker { root, manufacturer } => {
                let of = manufacturer.as_ref().map_or("*", ManufacturerId::as_str);
                format!("tpm-maker {root} {of}")
            }
        }
    }
}
