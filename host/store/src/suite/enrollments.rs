//! Enrollments, and what only one enrollment may hold.

use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::{CertificateAuthority, CertificatePin, EnrollmentRef, GroupAttestation};
use landfall_domain::names::Digest;

use super::make::{Shared, authority, group, individual, pin, policies, policies_in, scope};
use crate::{Conflict, DeleteOutcome, Held, Page, Precondition, PutOutcome};

pub async fn a_precondition_decides_what_is_written(store: Shared) {
    policies(&store).await;
    let tag = |text: &str| Precondition::Match(text.to_owned());
    let put = async |etag: &str, when: Precondition| {
        store.put_individual(&scope(), individual("a", etag, "c1", None), when).await.unwrap()
    };
    assert_eq!(put("1", Precondition::Exists).await, PutOutcome::Missing);
    assert_eq!(put("1", tag("1")).await, PutOutcome::Missing);
    assert_eq!(put("1", Precondition::New).await, PutOutcome::Created);
    assert_eq!(put("2", Precondition::New).await, PutOutcome::AlreadyThere);
    assert_eq!(put("2", tag("1")).await, PutOutcome::Replaced);
    assert_eq!(put("3", tag("1")).await, PutOutcome::Changed);
    assert_eq!(put("3", Precondition::Any).await, PutOutcome::Replaced);
    let id = "A".parse().unwrap();
    assert_eq!(store.individual(&scope(), &id).await.unwrap(), Some(individual("a", "3", "c1", None)));
    let delete = async |when| store.delete_individual(&scope(), &id, when).await.unwrap();
    assert_eq!(delete(tag("2")).await, DeleteOutcome::Changed);
    assert_eq!(delete(tag("3")).await, DeleteOutcome::Deleted);
    assert_eq!(delete(Precondition::Any).await, DeleteOutcome::Missing);
}

pub async fn individuals_are_replaced_each_on_its_own_condition(store: Shared) {
    policies(&store).await;
    for id in ["a", "b"] {
        store.put_individual(&scope(), individual(id, "1", id, None), Precondition::New).await.unwrap();
    }
    let over = |id: &str, etag: &str, of: &str| (individual(id, etag, id, None), Precondition::Match(of.to_owned()));
    let entries = vec![over("a", "2", "1"), over("b", "2", "0"), over("c", "2", "1"), over("a", "3", "2")];
    let outcomes = store.replace_individuals(&scope(), entries).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Replaced, PutOutcome::Changed, PutOutcome::Missing, PutOutcome::Replaced]);
    let page = Page { after: None, limit: 9 };
    let stand = store.individuals(&scope(), page).await.unwrap().items;
    assert_eq!(stand, [individual("a", "3", "a", None), individual("b", "1", "b", None)]);
}

pub async fn a_certificate_belongs_to_one_enrollment(store: Shared) {
    let any = Precondition::Any;
    policies(&store).await;
    store.put_individual(&scope(), individual("a", "1", "c1", Some("c2")), any.clone()).await.unwrap();
    for taken in ["c1", "c2"] {
        store.put_authority(&scope(), authority(taken, taken), any.clone()).await.unwrap();
        let other = individual("b", "1", "c9", Some(taken));
        let outcome = store.put_individual(&scope(), other, any.clone()).await.unwrap();
        assert_eq!(outcome, PutOutcome::Conflict(held(taken, EnrollmentRef::Individual("a".parse().unwrap()))));
        let other = GroupAttestation::X509Intermediates { primary: pin(taken), secondary: None };
        let outcome = store.put_group(&scope(), group("pumps", other), any.clone()).await.unwrap();
        assert_eq!(outcome, PutOutcome::Conflict(held(taken, EnrollmentRef::Individual("a".parse().unwrap()))));
    }
    assert_eq!(store.individual(&scope(), &"b".parse().unwrap()).await.unwrap(), None);
    assert_eq!(owner(&store, "c9").await, None);
    assert_eq!(owner(&store, "c2").await, Some(EnrollmentRef::Individual("a".parse().unwrap())));
    // Rolling a certificate over within one enrollment is no conflict, and frees the certificate that is no longer
    // named.
    let rolled = individual("a", "2", "c2", Some("c3"));
    assert_eq!(store.put_individual(&scope(), rolled, any.clone()).await.unwrap(), PutOutcome::Replaced);
    assert_eq!(owner(&store, "c1").await, None);
    let elsewhere = "other".parse().unwrap();
    policies_in(&*store, &elsewhere).await;
    let outcome = store.put_individual(&elsewhere, individual("z", "1", "c2", None), any).await.unwrap();
    assert_eq!(outcome, PutOutcome::Created, "another tenant may know the same certificate");
}

pub async fn a_removed_enrollment_gives_its_certificates_back(store: Shared) {
    let any = Precondition::Any;
    policies(&store).await;
    store.put_authority(&scope(), authority("root", "c1"), any.clone()).await.unwrap();
    let pins = GroupAttestation::X509Intermediates { primary: pin("c1"), secondary: Some(pin("c1")) };
    store.put_group(&scope(), group("pumps", pins), any.clone()).await.unwrap();
    assert_eq!(owner(&store, "c1").await, Some(EnrollmentRef::Group("pumps".parse().unwrap())));
    store.delete_group(&scope(), &"pumps".parse().unwrap(), any.clone()).await.unwrap();
    let outcome = store.put_individual(&scope(), individual("a", "1", "c1", None), any).await.unwrap();
    assert_eq!(outcome, PutOutcome::Created);
}

pub async fn an_authority_belongs_to_one_group(store: Shared) {
    let named = |primary: &str, secondary: Option<&str>| GroupAttestation::X509Authorities {
        primary: primary.parse().unwrap(),
        secondary: secondary.map(|name| name.parse().unwrap()),
    };
    let put = async |id: &str, attestation| {
        store.put_group(&scope(), group(id, attestation), Precondition::Any).await.unwrap()
    };
    policies(&store).await;
    for name in ["root-1", "root-2"] {
        store.put_authority(&scope(), authority(name, name), Precondition::New).await.unwrap();
    }
    assert_eq!(put("pumps", named("root-1", Some("root-2"))).await, PutOutcome::Created);
    let outcome = put("valves", named("root-2", None)).await;
    let what = Held::Authority("root-2".parse().unwrap());
    assert_eq!(outcome, PutOutcome::Conflict(Conflict::Held { what, by: of_group("pumps") }));
    assert_eq!(put("pumps", named("root-1", None)).await, PutOutcome::Replaced);
    assert_eq!(put("valves", named("root-2", None)).await, PutOutcome::Created);
}

pub async fn a_certificate_is_one_whether_it_is_named_or_pinned(store: Shared) {
    let named = |name: &str| GroupAttestation::X509Authorities { primary: name.parse().unwrap(), secondary: None };
    let now = Timestamp::from_millis(1_893_456_000_000);
    let root = Authority::root("CA", now, 30).unwrap();
    let [c1, c2] = ["Line 1", "Line 2"].map(|name| root.intermediate(name, now, 30).unwrap().certificate_der);
    let pinned = |der: &[u8]| {
        let (der, sha256) = (Some(der.to_vec()), Digest::of(der));
        GroupAttestation::X509Intermediates { primary: CertificatePin { sha256, der }, secondary: None }
    };
    let put = async |id: &str, attestation| {
        store.put_group(&scope(), group(id, attestation), Precondition::Any).await.unwrap()
    };
    let upload = async |name: &str, der: &[u8]| {
        let authority = CertificateAuthority { der: der.to_vec(), ..authority(name, "") };
        store.put_authority(&scope(), authority, Precondition::Any).await.unwrap()
    };
    policies(&store).await;
    assert_eq!(upload("root", &root.certificate_der).await, PutOutcome::Created);
    assert_eq!(upload("line-1", &c1).await, PutOutcome::Created);
    assert_eq!(put("pumps", named("line-1")).await, PutOutcome::Created);
    let (line, by) = (|number: u8| format!("line-{number}").parse().unwrap(), of_group("pumps"));
    let is_named = Conflict::PinIsNamed { certificate: Digest::of(&c1), uploaded_as: line(1), by };
    assert_eq!(put("valves", pinned(&c1)).await, PutOutcome::Conflict(is_named));
    assert_eq!(put("valves", pinned(&c2)).await, PutOutcome::Created);
    let outcome = upload("line-1", &c2).await;
    let (pinned, named_by) = (of_group("valves"), of_group("pumps"));
    let two = Conflict::TwoEnrollments { pinned, named: named_by, authority: line(1) };
    assert_eq!(outcome, PutOutcome::Conflict(two));
    assert_eq!(upload("line-2", &c2).await, PutOutcome::Created, "nobody rests on that");
    let is_pinned = Conflict::AuthorityIsPinned { authority: line(2), by: of_group("valves") };
    assert_eq!(put("meters", named("line-2")).await, PutOutcome::Conflict(is_pinned));
    assert_eq!(put("valves", named("line-2")).await, PutOutcome::Replaced, "its own");
}

pub async fn individuals_are_listed_in_pages(store: Shared) {
    policies(&store).await;
    for id in ["c", "a", "b"] {
        store.put_individual(&scope(), individual(id, "1", id, None), Precondition::New).await.unwrap();
    }
    let page = Page { after: Some("A".to_owned()), limit: 1 };
    let listing = store.individuals(&scope(), page).await.unwrap();
    assert_eq!((listing.items, listing.next.as_deref()), (vec![individual("b", "1", "b", None)], Some("b")));
}

/// The conflict of a pinned certificate that another enrollment holds.
fn held(certificate: &str, by: EnrollmentRef) -> Conflict {
    Conflict::Held { what: Held::Certificate(Digest::of(certificate.as_bytes())), by }
}

fn of_group(id: &str) -> EnrollmentRef {
    EnrollmentRef::Group(id.parse().unwrap())
}

async fn owner(store: &Shared, certificate: &str) -> Option<EnrollmentRef> {
    store.enrollment_of_certificate(&scope(), Digest::of(certificate.as_bytes())).await.unwrap()
}

pub async fn an_individual_is_found_among_its_neighbours(store: Shared) {
    let (other, any) = ("0ne00000002".parse().unwrap(), Precondition::Any);
    policies(&store).await;
    policies_in(&*store, &other).await;
    for id in ["b", "bb", "d"] {
        store.put_individual(&scope(), individual(id, "1", id, None), any.clone()).await.unwrap();
    }
    store.put_individual(&other, individual("c", "1", "c", None), any).await.unwrap();
    for (scope, there) in [(scope(), "b bb d"), (other, "c"), ("0ne00000000".parse().unwrap(), "")] {
        for id in ["a", "b", "ba", "bb", "bbb", "c", "d", "e"] {
            let found = store.individual(&scope, &id.parse().unwrap()).await.unwrap();
            let found = found.map(|found| found.registration_id.to_string());
            assert_eq!(found.as_deref(), there.split(' ').find(|there| *there == id), "{scope}");
        }
    }
}
