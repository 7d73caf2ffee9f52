//! Tests of the parts together.

use landfall_domain::hub::{Connector, Hub, HubState};
use landfall_store::memory::MemoryStore;
use landfall_store::{Precondition, Unused};

use super::*;
use crate::config::Server;
use crate::directory::Directories;

/// A change is on disk before it is read. If reading fails, it is read later, and that reading writes nothing.
#[tokio::test]
async fn a_change_that_could_not_be_read_is_read_as_soon_as_it_can_be_and_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let scope: IdScope = "0ne00000001".parse().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    store.create_scope(scope.clone()).await.unwrap();
    let config = Config::new(Server::new("localhost", scope.clone()));
    let ambient = Ambient::system();
    let keys = Keys {
        seen: Seen::open(&folder.path().join("seen"), 0, ambient.now()),
        folder: DataFolder::at(folder.path()),
        sealing: SealingKey::new(&[7; 32]).unwrap(),
        certificate_issuing: CertificateIssuing::load(&config.issuing, &config.server.scope, folder.path(), &ambient)
            .unwrap(),
        directories: Directories::load(&config.directory, &config.server.scope, folder.path(), &ambient.clock).unwrap(),
    };
    let policies = Arc::new(PolicyHost::start(config.policy_settings(folder.path().join("cache"))).unwrap());
    let service = Service::start(config, ambient, Arc::clone(&store), policies, keys).await.unwrap();

    let hub = Hub {
        name: "a.example".parse().unwrap(),
        weight: 1,
        capacity: 1,
        location: None,
        labels: Default::default(),
        state: HubState::Active,
        connector: Connector::None,
    };
    store.put_hub(&scope, hub.clone(), Precondition::New).await.unwrap();
    // Nobody writes from now on: reading must not write.
    let there = || service.scope(&scope).is_some_and(|scope| scope.hubs.get(&"a.example".parse().unwrap()).is_some());
    assert!(!there());
    service.catalogue().leave_unread();
    service.run_by_itself();
    while !there() {
        tokio::task::yield_now().await;
    }
    let sequence = store.sequence();
    for weight in 1..=500 {
        store.put_hub(&scope, Hub { weight, ..hub.clone() }, Precondition::Any).await.unwrap();
        service.catalogue().reload().await.unwrap();
    }
    assert_eq!(store.sequence(), sequence + 500, "each change is one write");
    assert_eq!(store.check().await.unwrap().1, Unused::default(), "and leaves no list of hubs that nothing names");
    service.tasks().stop().await;
    service.policies().close();
}
