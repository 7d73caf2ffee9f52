//! What the store's conflicts are called in words: the one place where they become texts for people.

use landfall_attestation::x509::revocation::{MOST_RANGES, RevocationConflict};
use landfall_store::{Conflict, Held, InUse, Leaning};

/// Why something was not written.
pub fn in_words(conflict: &Conflict) -> String {
    match conflict {
        Conflict::MostGroups { scope, most } => format!(
            "{scope} has {most} enrollment groups, and no more are taken; limits.store.groups_per_scope in landfall.toml is the limit"
        ),
        Conflict::NoAuthority(name) => format!("no authority {name} is uploaded now: landfall ca upload"),
        Conflict::NotProven(name) => format!("the key of the authority {name} is not proven: landfall ca verify"),
        Conflict::NotIssued(certificate) => format!(
            "no uploaded, proven authority has issued the intermediate with SHA-256 {certificate}: landfall ca upload"
        ),
        Conflict::Held { what, by } => format!("{} belongs to {by}; it can be in one enrollment only", held(what)),
        Conflict::AuthorityIsPinned { authority, by } => format!(
            "the certificate of the authority {authority} belongs to {by}; one certificate can be in one enrollment only"
        ),
        Conflict::PinIsNamed { certificate, uploaded_as, by } => format!(
            "the certificate with SHA-256 {certificate}, uploaded as {uploaded_as}, belongs to {by}; one certificate can be in \
             one enrollment only"
        ),
        Conflict::NoPlugin(name) => format!("no plugin {name} is published now; see landfall plugin list"),
        Conflict::NoRevision => {
            "a revision that it keeps to was removed meanwhile; see `landfall plugin show`".to_owned()
        }
        Conflict::Renewal(name) => format!(
            "the authority {name} is there with another certificate of the same name and key; to put this one in its \
             place, say so: landfall ca upload {name} FILE --replace"
        ),
        Conflict::ProvenOtherwise(name) => format!(
            "the authority {name} is there and proven, with another name or key; to put this certificate in its place, \
             unproven, say so: landfall ca upload {name} FILE --replace"
        ),
        Conflict::LeanedOn { authority, leaning } => format!(
            "{}, and this certificate has another name or key than {authority}, so its devices would be refused at once. \
             Upload it under a name of its own, prove it, and let the group take both while devices move (--secondary-ca)",
            leans(leaning)
        ),
        Conflict::UploadedAs(name) => format!("the same certificate is uploaded as {name}"),
        Conflict::TwoEnrollments { pinned, named, authority } => format!(
            "{pinned} pins this certificate, and {named} rests on {authority}; one certificate can be in one enrollment only"
        ),
        Conflict::Revocation(conflict) => of_revocations(conflict),
        Conflict::OtherBytes { found, wanted } => format!("the component's SHA-256 is {found}, not {wanted}"),
        Conflict::MostPlugins { there, most } => format!(
            "the id scope has {there} plugins already, and at most {most} are taken (limits.management.plugins); take one \
             away with `landfall plugin delete`"
        ),
        Conflict::NoRoom { of_publisher: true, bytes, kept, most } => format!(
            "the token's plugins would take {} MiB{}, and its quota is {} MiB; take one away with `landfall plugin \
             delete`, or have an operator make a token with more room (landfall token create --plugins-mib)",
            mib(*bytes),
            of_which_kept(*kept),
            mib(*most)
        ),
        Conflict::NoRoom { of_publisher: false, bytes, kept, most } => format!(
            "the id scope's plugins would take {} MiB{}, and at most {} MiB are taken (limits.management.plugins_mib); \
             take one away with `landfall plugin delete`",
            mib(*bytes),
            of_which_kept(*kept),
            mib(*most)
        ),
    }
}

/// Why something was not removed.
pub fn use_in_words(conflict: &InUse) -> String {
    match conflict {
        InUse::Uses(enrollment) => format!("{enrollment} uses it"),
        InUse::Leans(leaning) => leans(leaning),
        InUse::LastOperator => {
            "this is the last operator's token that is good for all id scopes; make another before it is revoked"
                .to_owned()
        }
    }
}

/// Why a change of what is revoked was not made.
pub fn of_revocations(conflict: &RevocationConflict) -> String {
    match conflict {
        RevocationConflict::TooManyRanges => format!(
            "at most {MOST_RANGES} ranges of serial numbers are kept for an authority; a revocation list takes more"
        ),
        RevocationConflict::NotRevokedSo(range) => {
            format!("{range} was not revoked so; landfall ca show says what was")
        }
        RevocationConflict::OlderList { new, present } => format!(
            "the list ({new}) is older than the list that is there ({present}); if it is the right one all the \
             same, take the present one away first: landfall ca crl NAME --remove"
        ),
        RevocationConflict::MaskedAddress => "the key of this address is not known; give the whole address".to_owned(),
        RevocationConflict::NoSource => "say where the list is fetched".to_owned(),
    }
}

fn held(what: &Held) -> String {
    match what {
        Held::Certificate(digest) => format!("the certificate with SHA-256 {digest}"),
        Held::Authority(name) => format!("the certificate authority {name}"),
        Held::EndorsementKey(digest) => format!("the endorsement key with SHA-256 {digest}"),
        Held::TpmMaker { root, manufacturer } => {
            let of = manufacturer.as_ref().map_or("any manufacturer", |manufacturer| manufacturer.as_str());
            format!("the TPM maker's root with SHA-256 {root} for devices of {of}")
        }
    }
}

fn leans(leaning: &Leaning) -> String {
    match leaning {
        Leaning::Names(enrollment) => format!("{enrollment} names it"),
        Leaning::HoldsIssued(group) => {
            format!("the enrollment group {group} holds an intermediate that it has issued")
        }
    }
}

fn of_which_kept(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!(
            ", {} MiB of it revisions that no plugin names and that are kept for as long as a decision or an enrollment \
             names them",
            mib(bytes)
        ),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
