//! What was revoked stays so, whatever an operator does next, until `restore`: for devices under each kind of enrollment,
//! however it was revoked.

use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::Ambient;
use landfall_tests::world::{Device, World, group, json_of};
use serde_json::{Value, json};

use super::{serial, tracked};

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_that_was_revoked_stays_so() {
    every_way(Kind::Pinned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_group_that_was_revoked_stays_so() {
    every_way(Kind::Group).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_below_a_revoked_intermediate_of_a_group_stay_so() {
    every_way(Kind::Intermediate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_two_levels_below_what_was_revoked_stay_so() {
    every_way(Kind::TwoLevels).await;
}

/// Root, line and cell are proven authorities. What is said of the root reaches those below the line when the line is none.
#[tokio::test(flavor = "multi_thread")]
async fn devices_below_what_was_revoked_stay_so_when_the_authority_in_the_middle_goes() {
    for kind in [Kind::Cell, Kind::PinnedBelowLine] {
        for way in ["deleted", "replaced"] {
            let world = World::empty(|_| {}).await;
            world.link_hub("hub-1.example", 1, 1000).await;
            for said in ["serial", "list", "all"] {
                let case = Case::new(&world, kind, said).await;
                case.is_admitted("before anything was revoked").await;
                let line = format!("authorities/line-{said}");
                if way == "deleted" {
                    case.revoke().await;
                    case.is_refused("revoked").await;
                    assert_eq!(case.manage("DELETE", &line, &Value::Null).await, 204);
                } else {
                    let other = Authority::root("Another", Ambient::system().now(), 30).unwrap();
                    world.put(&format!("{line}?replace=true"), &json!({ "certificate": other.certificate_pem })).await;
                    case.is_admitted("nothing is revoked").await;
                    case.revoke().await;
                }
                case.is_refused(&format!("the line was {way}")).await;
                let all = world.get(&format!("/api/v1/scopes/{}/revocations", world.scope)).await;
                assert!(!all.to_string().contains("CN=Line"), "of the line nothing is said: {all}");
                case.restore().await;
                case.is_admitted("restored").await;
            }
        }
    }
}

/// How the device is enrolled. What is revoked is said of the root in each case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Its certificate, of the root, is pinned.
    Pinned,
    /// Its group names the root.
    Group,
    /// Its group holds an intermediate that the root has issued.
    Intermediate,
    /// Its group holds an intermediate of an uploaded authority that the root has issued.
    TwoLevels,
    /// Its group names the cell, below the line, below the root: all of them authorities.
    Cell,
    /// Its certificate, of the line, is pinned.
    PinnedBelowLine,
}

async fn every_way(kind: Kind) {
    let world = World::empty(|_| {}).await;
    world.link_hub("hub-1.example", 1, 1000).await;
    for said in ["serial", "range", "list", "all"] {
        let case = Case::new(&world, kind, said).await;
        case.is_admitted("before anything was revoked").await;
        case.revoke().await;
        case.is_refused("revoked").await;

        let renewed = case.renew().await;
        case.is_refused("the authority was renewed").await;
        case.delete_and_upload_again(&renewed).await;
        case.is_refused("the authority was deleted and uploaded again").await;
        case.others_are_revoked_at_once().await;
        case.is_refused("others were revoked at once").await;

        case.restore().await;
        case.is_admitted("restored").await;
    }
}

struct Case<'w> {
    world: &'w World,
    kind: Kind,
    said: &'static str,
    root: Authority,
    /// What the root has issued and takes back.
    taken_back: Vec<u8>,
    group: Value,
    device: Device,
}

impl<'w> Case<'w> {
    async fn new(world: &'w World, kind: Kind, said: &'static str) -> Self {
        let now = Ambient::system().now();
        let root = Authority::root(&format!("Root {said}"), now, 30).unwrap();
        let (line, cell) = (format!("Line {said}"), format!("Cell {said}"));
        let line = root.intermediate(&line, now, 30).unwrap();
        let cell = line.intermediate(&cell, now, 30).unwrap();
        let id = format!("pump-{said}");
        let issuer = match kind {
            Kind::Pinned | Kind::Group => &root,
            Kind::Intermediate | Kind::PinnedBelowLine => &line,
            Kind::TwoLevels | Kind::Cell => &cell,
        };
        let issued: Issued = issuer.device(&id, now, 30).unwrap();
        let taken_back = match kind {
            Kind::Pinned | Kind::Group => issued.certificate_der.clone(),
            Kind::Intermediate | Kind::TwoLevels | Kind::Cell | Kind::PinnedBelowLine => line.certificate_der.clone(),
        };
        world.upload_authority(&format!("root-{said}"), &root).await;
        if matches!(kind, Kind::TwoLevels | Kind::Cell | Kind::PinnedBelowLine) {
            world.upload_authority(&format!("line-{said}"), &line).await;
        }
        if kind == Kind::Cell {
            world.upload_authority(&format!("cell-{said}"), &cell).await;
        }
        world.record(&id, None).await;
        let top = if kind == Kind::Cell { "cell" } else { "root" };
        let mut held = group(&format!("{top}-{said}"));
        if matches!(kind, Kind::Intermediate | Kind::TwoLevels) {
            held["x509"] = json!({ "intermediates": { "primary": issuer.certificate_pem } });
        }
        if matches!(kind, Kind::Pinned | Kind::PinnedBelowLine) {
            let pinned = json!({
                "x509": { "certificates": { "primary": issued.certificate_pem } },
                "allocation": { "selection": { "plugin": "weighted" } }
            });
            world.put(&format!("enrollments/{id}"), &pinned).await;
        } else {
            world.put(&format!("enrollment-groups/{said}"), &held).await;
        }
        let device = world.stranger(&id, &issued);
        Self { world, kind, said, root, taken_back, group: held, device }
    }

    fn path(&self, what: &str) -> String {
        format!("authorities/root-{}{what}", self.said)
    }

    fn number(&self) -> String {
        super::hex(&serial(&self.taken_back))
    }

    async fn revoke(&self) {
        let body = match self.said {
            "serial" => json!({ "revokeSerials": [{ "from": self.number() }] }),
            "range" => json!({ "revokeSerials": [{ "from": "0", "to": "F".repeat(40) }] }),
            "all" => json!({ "revoked": true }),
            _ => {
                let list = self.root.revocation_list(&[serial(&self.taken_back)], Ambient::system().now(), 7).unwrap();
                super::put(self.world, &format!("root-{}", self.said), &list).await;
                return;
            }
        };
        self.world.put(&self.path("/revocation"), &body).await;
    }

    async fn restore(&self) {
        let body = match self.said {
            "serial" => json!({ "restoreSerials": [{ "from": self.number() }] }),
            "range" => json!({ "restoreSerials": [{ "from": "0", "to": "F".repeat(40) }] }),
            "all" => json!({ "revoked": false }),
            _ => {
                assert_eq!(self.manage("DELETE", &self.path("/crl"), &Value::Null).await, 204);
                return;
            }
        };
        self.world.put(&self.path("/revocation"), &body).await;
    }

    /// Another certificate of the same name and key takes the first one's place, and stays proven.
    async fn renew(&self) -> String {
        let key = rcgen::KeyPair::from_pem(&self.root.key_pem()).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Root {}", self.said));
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let renewed = params.self_signed(&key).unwrap().pem();
        let body = json!({ "certificate": renewed });
        assert_eq!(self.manage("PUT", &self.path(""), &body).await, 409, "{:?}: it is proven", self.kind);
        let shown = self.world.put(&self.path("?replace=true"), &body).await;
        assert_eq!(shown["verified"], true, "{shown}");
        renewed
    }

    /// As an operator would go about it: what leans on the authority goes first.
    async fn delete_and_upload_again(&self, certificate: &str) {
        let (this, group) = (self.path(""), format!("enrollment-groups/{}", self.said));
        if matches!(self.kind, Kind::Group | Kind::Intermediate) {
            assert_eq!(self.manage("DELETE", &this, &Value::Null).await, 409, "{:?}: its group needs it", self.kind);
            assert_eq!(self.manage("DELETE", &group, &Value::Null).await, 204);
        }
        if self.kind == Kind::TwoLevels {
            let line = format!("authorities/line-{}", self.said);
            assert_eq!(self.manage("DELETE", &line, &Value::Null).await, 409, "the group's intermediate is of it");
        }
        assert_eq!(self.manage("DELETE", &this, &Value::Null).await, 204);
        self.is_refused("the authority is not there").await;
        let prove = |code: &str| self.root.device(code, Ambient::system().now(), 1).unwrap().certificate_pem;
        self.world.upload(&format!("root-{}", self.said), certificate, prove).await;
        if matches!(self.kind, Kind::Group | Kind::Intermediate) {
            self.world.put(&group, &self.group).await;
        }
    }

    /// Twenty who revoke at the same time are all heard.
    async fn others_are_revoked_at_once(&self) {
        let ranges: Vec<_> = (0..20).map(|number| json!({ "from": format!("AB{number:02}") })).collect();
        let bodies: Vec<_> = ranges.iter().map(|range| json!({ "revokeSerials": [range] })).collect();
        let path = self.path("/revocation");
        let all = bodies.iter().map(|body| self.world.put(&path, body));
        futures_all(all).await;
        let shown = self.world.get(&format!("/api/v1/scopes/{}/{}", self.world.scope, self.path(""))).await;
        let stand = shown["revocation"]["serials"].as_array().unwrap();
        for range in &ranges {
            assert!(stand.contains(range), "{range} is not among {stand:?}");
        }
    }

    async fn manage(&self, method: &str, what: &str, body: &Value) -> u16 {
        let path = format!("/api/v1/scopes/{}/{what}", self.world.scope);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.world.manage(method, &path, body.as_bytes()).await.status.as_u16()
    }

    async fn is_admitted(&self, when: &str) {
        let answer = self.device.register().await;
        assert_eq!(answer.status, 200, "{:?}, {}, {when}: {answer:?}", self.kind, self.said);
        assert_eq!(json_of(&answer)["status"], "assigned");
    }

    async fn is_refused(&self, when: &str) {
        let answer = self.device.register().await;
        assert_eq!(answer.status, 401, "{:?}, {}, {when}: {answer:?}", self.kind, self.said);
        if when == "revoked" {
            let detail = tracked(self.world, &answer).await;
            assert!(detail.contains("revoked"), "{:?}, {}: {detail}", self.kind, self.said);
        }
    }
}

async fn futures_all<F: Future<Output = Value>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
