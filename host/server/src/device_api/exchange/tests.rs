//! Tests of the device API without a transport.

use std::path::Path;

use landfall_domain::clock::Ambient;
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::PolicyHost;
use landfall_store::CatalogueStore as _;
use landfall_store::redb::{RedbStore, StoreSettings};

use super::super::call::Shown;
use super::*;
use crate::certificate_issuing::CertificateIssuing;
use crate::config::{Config, Server};
use crate::directory::Directories;
use crate::folder::DataFolder;
use crate::service::Keys;
use crate::service::seen::Seen;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_needs_no_transport_to_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let api = started(folder.path()).await;
    // All refusals look alike: in an id scope that exists, one that does not, and one that cannot exist.
    for scope in ["0ne1", "0neOTHER", "no scope"] {
        let exchange = Exchange::begin(&api, Nowhere);
        let answer = exchange.answer(DeviceCall { scope: scope.to_owned(), ..call(Verb::Register) }, body("{}")).await;
        assert_eq!(answer.outcome, Outcome::Wrong(DeviceError::Unauthorized), "{scope}");
        assert_eq!((answer.outcome.status(), answer.retry_after), (401, None));
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&told["errorCode"], &told["message"]), (&401_002.into(), &"Unauthorized".into()));
        assert_eq!(told["trackingId"], exchange.tracking_id().to_string());
        assert_eq!(answer.tracking_id, exchange.tracking_id());
    }
    api.service().policies().close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_when_all_before_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let api = started(folder.path()).await;
    let never = || async { panic!("the body was asked for") };
    for (call, code) in [
        (DeviceCall { api_version: None, ..call(Verb::Register) }, 400_004),
        (DeviceCall { registration_id: "dev 1".to_owned(), ..call(Verb::LookUp) }, 400_004),
        // The body of a poll is not read.
        (call(Verb::Poll { operation: "not ours".to_owned() }), 404_202),
    ] {
        let exchange = Exchange::begin(&api, Nowhere);
        let answer = exchange.answer(call, never()).await;
        let Outcome::Wrong(error) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(error.code(), code, "{answer:?}");
        // The explanation is the description that the transport gave.
        let story = api.desk().answer(exchange.tracking_id()).unwrap();
        let EntryKind::Answered { status, asked, .. } = story.kind else { panic!("{story:?}") };
        assert_eq!((status, asked.as_str(), story.source.as_str()), (error.status(), "TEST dev-1", "192.0.2.1"));
    }
    let late = async { Err(Wrong::because(DeviceError::TooLarge, "more than 7 bytes")) };
    let answer = Exchange::begin(&api, Nowhere).answer(call(Verb::Register), late).await;
    assert_eq!(answer.outcome, Outcome::Wrong(DeviceError::TooLarge), "what the transport says of the body is told");
    api.service().policies().close();
}

/// The provisioning service, without a listener.
async fn started(folder: &Path) -> Arc<Provisioning> {
    let (scope, ambient): (IdScope, _) = ("0ne1".parse().unwrap(), Ambient::system());
    let settings = StoreSettings { create: true, ..StoreSettings::default() };
    let store = RedbStore::open(&folder.join("landfall.redb"), settings).unwrap();
    store.create_scope(scope.clone()).await.unwrap();
    let config = Config::new(Server::new("localhost", scope.clone()));
    let keys = Keys {
        seen: Seen::open(&folder.join("seen"), 0, ambient.now()),
        folder: DataFolder::at(folder),
        sealing: SealingKey::new(&[7; 32]).unwrap(),
        certificate_issuing: CertificateIssuing::load(&config.issuing, &scope, folder, &ambient).unwrap(),
        directories: Directories::load(&config.directory, &scope, folder, &ambient.clock).unwrap(),
    };
    let policies = Arc::new(PolicyHost::start(config.policy_settings(folder.join("cache"))).unwrap());
    let service = Service::start(config, ambient, Arc::new(store), policies, keys).await.unwrap();
    Provisioning::start(service, &[7; 32]).await.unwrap()
}

/// An origin that is described as given here.
struct Nowhere;

impl Origin for Nowhere {
    fn described(&self) -> Described {
        Described { asked: "TEST dev-1".to_owned(), source: Some(source()), ..Described::default() }
    }
}

fn call(verb: Verb) -> DeviceCall {
    DeviceCall {
        verb,
        scope: "0ne1".to_owned(),
        registration_id: "dev-1".to_owned(),
        api_version: Some("2021-06-01".to_owned()),
        shown: Shown::default(),
        wait: None,
        source: source(),
        standing: crate::listener::Standing::default(),
    }
}

async fn body(text: &'static str) -> Result<Bytes, Wrong> {
    Ok(Bytes::from_static(text.as_bytes()))
}

fn source() -> IpAddr {
    [192, 0, 2, 1].into()
}
