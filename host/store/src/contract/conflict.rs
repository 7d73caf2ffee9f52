//! Why something may not be written or removed beside what else stands: typed, so that nobody compares texts. What a conflict
//! is called in words is made by whoever shows it.

use landfall_attestation::x509::revocation::RevocationConflict;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{CaName, Digest, GroupId, IdScope, ManufacturerId, PluginName};

/// Why something may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Conflict {
    /// The id scope has as many enrollment groups as it may have.
    MostGroups {
        /// The id scope.
        scope: IdScope,
        /// How many that are.
        most: u64,
    },
    /// A group names an authority that is not uploaded, or not any more.
    NoAuthority(CaName),
    /// A group names an authority whose key is not proven.
    NotProven(CaName),
    /// No uploaded, proven authority has issued the intermediate with this SHA-256.
    NotIssued(Digest),
    /// Something that may be in one enrollment only is in another.
    Held {
        what: Held,
        /// The enrollment that has it.
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
    /// An enrollment uses a plugin that is not published, or not any more.
    NoPlugin(PluginName),
    /// An enrollment keeps to a revision that is not there, or not any more.
    NoRevision,
    /// The authority stands with another certificate of the same name and key, and it was not said that it may be replaced.
    Renewal(CaName),
    /// The authority stands and is proven, with another name or key, and it was not said that it may be replaced.
    ProvenOtherwise(CaName),
    /// A group leans on the authority, and the certificate has another name or key.
    LeanedOn {
        authority: CaName,
        /// Who leans on it.
        leaning: Leaning,
    },
    /// The same certificate is uploaded as another authority.
    UploadedAs(CaName),
    /// The certificate would lead to two enrollments.
    TwoEnrollments {
        /// The one that pins it.
        pinned: EnrollmentRef,
        /// The one that rests on the authority.
        named: EnrollmentRef,
        authority: CaName,
    },
    /// A change of what is revoked does not fit what stands there.
    Revocation(RevocationConflict),
    /// The component is not the one that was to be published.
    OtherBytes {
        /// SHA-256 of what came.
        found: Digest,
        /// SHA-256 of what was to come.
        wanted: Digest,
    },
    /// The id scope may have no more plugins.
    MostPlugins {
        /// How many it has.
        there: usize,
        /// How many it may have.
        most: usize,
    },
    /// The plugins would take more than they may.
    NoRoom {
        /// Whether the bound is that of the token that publishes; that of the id scope otherwise.
        of_publisher: bool,
        /// Bytes that they would take.
        bytes: u64,
        /// Bytes of them that no plugin names, and that are kept for decisions and enrollments.
        kept: u64,
        /// Bytes that they may take.
        most: u64,
    },
}

/// Why something may not be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// An enrollment uses the plugin.
    Uses(EnrollmentRef),
    /// A group leans on the authority.
    Leans(Leaning),
    /// It is the last operator's token that is good for all id scopes.
    LastOperator,
}

/// How an enrollment leans on an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaning {
    /// It names it.
    Names(EnrollmentRef),
    /// It holds an intermediate that no other proven authority has issued.
    HoldsIssued(GroupId),
}

/// Something that may be in one enrollment of an id scope only.
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
