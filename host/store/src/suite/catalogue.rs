//! Scopes, hubs, authorities, plugins and tokens.

use landfall_domain::api_token::{Role, TokenRecord};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, GroupAttestation};
use landfall_domain::names::{CaName, Digest, PluginName};
use landfall_domain::plugin::rules::{PluginLimits, PluginRules, Resort};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};

use super::make::{Shared, authority, decided, group, hub, individual, link, pin, place, policies, scope};
use crate::{
    Conflict, DeleteOutcome, InUse, Leaning, Precondition, PutOutcome, ScopeRecords, authority_tag, entity_tag,
    plugin_tag,
};

pub async fn the_catalogue_is_loaded_as_it_was_put(store: Shared) {
    assert!(store.create_scope(scope()).await.unwrap());
    assert!(!store.create_scope(scope()).await.unwrap());
    assert!(store.create_scope("another".parse().unwrap()).await.unwrap());
    link(&store, &[("b.example", 2), ("a.example", 1)]).await;
    place(&store, "pump-1", "b.example", &[]).await;
    store.put_authority(&scope(), authority("root", "der"), Precondition::New).await.unwrap();
    policies(&store).await;
    store.put_group(&scope(), named("pumps", "root"), Precondition::New).await.unwrap();
    let loaded = store.load_catalogue().await.unwrap();
    assert_eq!(loaded.scopes.len(), 2);
    let records = records(&store).await;
    assert_eq!(records.hubs, [hub("a.example", 1), hub("b.example", 2)]);
    assert_eq!(records.groups, [named("pumps", "root")]);
    assert_eq!(records.authorities, [authority("root", "der")]);
    assert_eq!(records.plugins.len(), 2);
}

pub async fn every_change_counts_the_revision_up(store: Shared) {
    store.create_scope(scope()).await.unwrap();
    policies(&store).await;
    let mut last = records(&store).await.revision;
    let mut grew = async |store: &Shared, what: &str, expected: bool| {
        let now = records(store).await.revision;
        assert_eq!(now > last, expected, "{what}");
        last = now;
    };
    link(&store, &[("a.example", 1)]).await;
    grew(&store, "linking a hub", true).await;
    store.put_authority(&scope(), authority("root", "der"), Precondition::New).await.unwrap();
    grew(&store, "an authority", true).await;
    store.put_group(&scope(), named("pumps", "root"), Precondition::New).await.unwrap();
    grew(&store, "a group", true).await;
    publish(&store, "weighted", b"v2").await;
    grew(&store, "a plugin", true).await;
    store.put_group(&scope(), named("pumps", "root"), Precondition::New).await.unwrap();
    grew(&store, "what was refused", false).await;
    place(&store, "pump-1", "a.example", &[]).await;
    grew(&store, "a registration", false).await;
    store.delete_group(&scope(), &"pumps".parse().unwrap(), Precondition::Any).await.unwrap();
    grew(&store, "removing a group", true).await;
    store.delete_authority(&scope(), &"root".parse().unwrap(), Precondition::Any).await.unwrap();
    grew(&store, "removing an authority", true).await;
    store.delete_plugin(&scope(), &"weighted".parse().unwrap(), Precondition::Any).await.unwrap();
    grew(&store, "removing a plugin", true).await;
    store.delete_hub(&scope(), &"a.example".parse().unwrap(), Precondition::Any).await.unwrap();
    grew(&store, "unlinking a hub", true).await;
}

pub async fn an_authority_or_plugin_in_use_stays(store: Shared) {
    store.put_authority(&scope(), authority("root", "der"), Precondition::New).await.unwrap();
    let twin = store.put_authority(&scope(), authority("twin", "der"), Precondition::New).await.unwrap();
    assert_eq!(twin, PutOutcome::Conflict(Conflict::UploadedAs("root".parse().unwrap())));
    policies(&store).await;
    publish(&store, "weighted", b"v1").await;
    publish(&store, "weighted-2", b"v2").await;
    store.put_group(&scope(), named("pumps", "root"), Precondition::New).await.unwrap();
    let (root, weighted) = ("root".parse().unwrap(), "weighted".parse().unwrap());
    let pumps = EnrollmentRef::Group("pumps".parse().unwrap());
    let kept = store.delete_authority(&scope(), &root, Precondition::Any).await.unwrap();
    assert_eq!(kept, DeleteOutcome::InUse(InUse::Leans(Leaning::Names(pumps.clone()))));
    let kept = store.delete_plugin(&scope(), &weighted, Precondition::Any).await.unwrap();
    assert_eq!(kept, DeleteOutcome::InUse(InUse::Uses(pumps)));
    store.record_entry(decided(1, Digest::of(b"v1")), Vec::new()).await.unwrap();
    let other = store.delete_plugin(&scope(), &"weighted-2".parse().unwrap(), Precondition::Any).await.unwrap();
    assert_eq!(other, DeleteOutcome::Deleted);
    store.delete_group(&scope(), &"pumps".parse().unwrap(), Precondition::Any).await.unwrap();
    assert_eq!(store.delete_authority(&scope(), &root, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(store.delete_authority(&scope(), &root, Precondition::Any).await.unwrap(), DeleteOutcome::Missing);
    assert_eq!(store.delete_plugin(&scope(), &weighted, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    assert!(store.content(Digest::of(b"v1")).await.unwrap().is_some(), "the bytes stay for replay");
    assert!(store.content(Digest::of(b"v2")).await.unwrap().is_none(), "nothing was decided with these");
}

/// The caller that writes a group has checked what it depends on, but another caller may have removed it since.
pub async fn a_group_rests_on_what_is_there_when_it_is_written(store: Shared) {
    policies(&store).await;
    let put = async |group| store.put_group(&scope(), group, Precondition::Any).await.unwrap();
    let refused = |outcome: PutOutcome, why: Conflict| assert_eq!(outcome, PutOutcome::Conflict(why));
    let (root, table): (CaName, PluginName) = ("root".parse().unwrap(), "table".parse().unwrap());
    let missing = || Conflict::NoAuthority("root".parse().unwrap());
    // The first of two concurrent commands removes what the second one depends on.
    store.put_authority(&scope(), authority("root", "der"), Precondition::New).await.unwrap();
    let of = scope();
    let (deleted, outcome) =
        tokio::join!(store.delete_authority(&of, &root, Precondition::Any), put(named("pumps", "root")));
    match deleted.unwrap() {
        DeleteOutcome::Deleted => refused(outcome, missing()),
        DeleteOutcome::InUse(_) => {
            assert_eq!(outcome, PutOutcome::Created);
            store.delete_group(&scope(), &"pumps".parse().unwrap(), Precondition::Any).await.unwrap();
            store.delete_authority(&scope(), &root, Precondition::Any).await.unwrap();
        }
        other => panic!("{other:?}"),
    }
    refused(put(named("pumps", "root")).await, missing());
    let unproven = CertificateAuthority { verified: false, ..authority("root", "der") };
    store.put_authority(&scope(), unproven, Precondition::New).await.unwrap();
    refused(put(named("pumps", "root")).await, Conflict::NotProven(root.clone()));
    let pinned = GroupAttestation::X509Intermediates { primary: pin("der"), secondary: None };
    refused(put(group("pumps", pinned.clone())).await, Conflict::NotIssued(Digest::of(b"der")));
    store.put_authority(&scope(), authority("root", "der"), Precondition::Exists).await.unwrap();
    refused(
        put(group("pumps", GroupAttestation::X509Intermediates { primary: pin("x"), secondary: None })).await,
        Conflict::NotIssued(Digest::of(b"x")),
    );
    assert_eq!(store.delete_plugin(&scope(), &table, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    refused(put(named("pumps", "root")).await, Conflict::NoPlugin(table.clone()));
    publish(&store, "table", b"table").await;
    assert_eq!(put(group("pumps", pinned)).await, PutOutcome::Created);
    assert_eq!(put(named("pumps", "root")).await, PutOutcome::Replaced);
}

/// The same for an individual enrollment and each of its policies.
pub async fn an_individual_enrollment_rests_on_what_is_there_when_it_is_written(store: Shared) {
    policies(&store).await;
    let put = async |etag: &str| {
        store.put_individual(&scope(), individual("a", etag, "c1", None), Precondition::Any).await.unwrap()
    };
    let policies = individual("a", "1", "c1", None).terms.allocation;
    let names: Vec<_> = policies.bindings().map(|binding| binding.plugin.clone()).collect();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let of = scope();
        let (deleted, outcome) = tokio::join!(store.delete_plugin(&of, &name, Precondition::Any), put("1"));
        match deleted.unwrap() {
            DeleteOutcome::Deleted => {
                assert_eq!(outcome, PutOutcome::Conflict(Conflict::NoPlugin(name.clone())));
            }
            DeleteOutcome::InUse(user) => {
                assert_eq!(user, InUse::Uses(EnrollmentRef::Individual("a".parse().unwrap())));
                assert_eq!(outcome, PutOutcome::Created);
                store.delete_individual(&scope(), &"a".parse().unwrap(), Precondition::Any).await.unwrap();
                assert_eq!(
                    store.delete_plugin(&scope(), &name, Precondition::Any).await.unwrap(),
                    DeleteOutcome::Deleted
                );
            }
            other => panic!("{other:?}"),
        }
        let refused = put("1").await;
        assert_eq!(refused, PutOutcome::Conflict(Conflict::NoPlugin(name.clone())));
        publish(&store, name.as_str(), name.as_str().as_bytes()).await;
    }
    assert_eq!(put("1").await, PutOutcome::Created);
    assert_eq!(put("2").await, PutOutcome::Replaced);
}

pub async fn a_plugins_earlier_revisions_are_remembered(store: Shared) {
    assert_eq!(publish(&store, "weighted", b"v1").await, PutOutcome::Created);
    assert_eq!(publish(&store, "weighted", b"v2").await, PutOutcome::Replaced);
    publish(&store, "weighted", b"v3").await;
    publish(&store, "weighted", b"v1").await;
    let plugin = records(&store).await.plugins.remove(0);
    assert_eq!(plugin.live, Digest::of(b"v1"));
    assert_eq!(plugin.previous, [Digest::of(b"v3"), Digest::of(b"v2")]);
    let versions: Vec<_> = plugin.past.iter().map(|past| past.version.as_str()).collect();
    assert_eq!((plugin.version.as_str(), versions), ("v1", vec!["v3", "v2"]));
    assert_eq!(store.content(Digest::of(b"v2")).await.unwrap().unwrap(), b"v2");
    let (bounds, any) = (PublishBounds::NONE, Precondition::Any);
    let forged = store.publish_plugin(&scope(), plugin, b"other".to_vec(), Vec::new(), bounds, any).await.unwrap();
    let other = Conflict::OtherBytes { found: Digest::of(b"other"), wanted: Digest::of(b"v1") };
    assert_eq!(forged, PutOutcome::Conflict(other));
}

pub async fn what_the_operator_says_of_a_plugin_stays_when_it_is_published_anew(store: Shared) {
    let limits = PluginLimits { fuel: Some(7), ..PluginLimits::default() };
    let rules = PluginRules { limits, on_failure: vec![Resort::PreviousRevision] };
    let set = async |name: &str| {
        let (name, any) = (name.parse().unwrap(), Precondition::Any);
        store.set_plugin_rules(&scope(), &name, rules.clone(), any).await.unwrap()
    };
    assert_eq!(set("weighted").await, PutOutcome::Missing);
    publish(&store, "weighted", b"v1").await;
    assert_eq!(set("weighted").await, PutOutcome::Replaced);
    publish(&store, "weighted", b"v2").await;
    assert_eq!(records(&store).await.plugins.remove(0).rules, rules);
}

/// Two callers read the same revision, and each publishes another one.
pub async fn of_two_who_publish_over_one_revision_the_second_is_told(store: Shared) {
    let over = async |store: &Shared| Precondition::Match(plugin_tag(&records(store).await.plugins[0]));
    assert_eq!(publish_if(&store, "weighted", b"v1", Precondition::Exists).await, PutOutcome::Missing);
    assert_eq!(publish_if(&store, "weighted", b"v1", Precondition::New).await, PutOutcome::Created);
    assert_eq!(publish_if(&store, "weighted", b"v1", Precondition::New).await, PutOutcome::AlreadyThere);
    let seen = over(&store).await;
    let both = [b"v2", b"v3"].map(|bytes| {
        let (store, seen) = (Shared::clone(&store), seen.clone());
        tokio::spawn(async move { publish_if(&store, "weighted", bytes, seen).await })
    });
    let mut outcomes = Vec::new();
    for one in both {
        outcomes.push(one.await.unwrap());
    }
    outcomes.sort_by_key(PutOutcome::is_overtaken);
    assert_eq!(outcomes, [PutOutcome::Replaced, PutOutcome::Changed]);
    let stands = records(&store).await.plugins.remove(0);
    assert_eq!(stands.previous, [Digest::of(b"v1")], "what was refused left nothing");
    let now = over(&store).await;
    assert_eq!(publish_if(&store, "weighted", b"v4", now).await, PutOutcome::Replaced);
}

/// A resource that changed after a caller read it is neither changed nor removed by that caller.
pub async fn rules_plugins_authorities_and_tokens_are_guarded_by_their_tags(store: Shared) {
    let (weighted, root): (PluginName, CaName) = ("weighted".parse().unwrap(), "root".parse().unwrap());
    publish(&store, "weighted", b"v1").await;
    let tag = async || Precondition::Match(plugin_tag(&records(&store).await.plugins[0]));
    let limited = |fuel| PluginRules {
        limits: PluginLimits { fuel: Some(fuel), ..PluginLimits::default() },
        ..PluginRules::default()
    };
    let set = async |fuel, when| store.set_plugin_rules(&scope(), &weighted, limited(fuel), when).await.unwrap();
    let first = tag().await;
    assert_eq!(set(1, first.clone()).await, PutOutcome::Replaced);
    assert_eq!(set(2, first.clone()).await, PutOutcome::Changed);
    assert_eq!(set(2, Precondition::New).await, PutOutcome::AlreadyThere);
    assert_eq!(records(&store).await.plugins[0].rules, limited(1));
    assert_eq!(publish_if(&store, "weighted", b"v2", first.clone()).await, PutOutcome::Changed, "the rules are others");
    let delete = async |when| store.delete_plugin(&scope(), &weighted, when).await.unwrap();
    assert_eq!(delete(first).await, DeleteOutcome::Changed);
    assert_eq!(delete(tag().await).await, DeleteOutcome::Deleted);
    assert_eq!(delete(Precondition::Exists).await, DeleteOutcome::Missing);

    let (seen, now) = (authority("root", "der"), CertificateAuthority { verified: false, ..authority("root", "der") });
    store.put_authority(&scope(), now.clone(), Precondition::New).await.unwrap();
    let delete = async |seen: &CertificateAuthority| {
        store.delete_authority(&scope(), &root, Precondition::Match(authority_tag(seen, None))).await.unwrap()
    };
    assert_eq!(delete(&seen).await, DeleteOutcome::Changed);
    assert_eq!(delete(&now).await, DeleteOutcome::Deleted);

    let token = TokenRecord {
        id: "t1".to_owned(),
        secret_sha256: Digest::of(b"s1"),
        note: String::new(),
        role: Role::Auditor,
        scope: None,
        created_at: Timestamp::from_millis(1),
        expires_at: None,
        plugins: Vec::new(),
        plugins_mib: None,
    };
    store.put_token(token.clone()).await.unwrap();
    let revoke = async |when| store.delete_token("t1", Timestamp::from_millis(5), when).await.unwrap();
    assert_eq!(revoke(Precondition::Match("another".to_owned())).await, DeleteOutcome::Changed);
    assert_eq!(revoke(Precondition::Match(entity_tag(&token))).await, DeleteOutcome::Deleted);
}

pub async fn the_entity_tag_of_a_hub_guards_it(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    let tag = entity_tag(&hub("a.example", 1));
    let put = async |capacity, tag: &str| {
        let when = Precondition::Match(tag.to_owned());
        store.put_hub(&scope(), hub("a.example", capacity), when).await.unwrap()
    };
    assert_eq!(put(2, &tag).await, PutOutcome::Replaced);
    assert_eq!(put(3, &tag).await, PutOutcome::Changed);
}

pub async fn revoking_a_token_leaves_none_of_its_id(store: Shared) {
    let token = |id: &str, secret: &str| TokenRecord {
        id: id.to_owned(),
        secret_sha256: Digest::of(secret.as_bytes()),
        note: String::new(),
        role: Role::Manufacturer {
            manufacturer: "acme".parse().unwrap(),
            quota: Some(7),
            prefixes: vec!["pump-".to_owned()],
        },
        scope: Some(scope()),
        created_at: Timestamp::from_millis(1),
        expires_at: None,
        plugins: Vec::new(),
        plugins_mib: None,
    };
    for (id, secret) in [("t1", "s1"), ("t1", "s2"), ("t2", "s3")] {
        store.put_token(token(id, secret)).await.unwrap();
    }
    assert_eq!(store.token(Digest::of(b"s2")).await.unwrap(), Some(token("t1", "s2")));
    assert_eq!(store.tokens().await.unwrap().len(), 3);
    let now = Timestamp::from_millis(5);
    assert_eq!(store.delete_token("t1", now, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(store.delete_token("t1", now, Precondition::Any).await.unwrap(), DeleteOutcome::Missing);
    assert_eq!(store.tokens().await.unwrap(), [token("t2", "s3")]);
    assert_eq!(store.token(Digest::of(b"s2")).await.unwrap(), None);
}

pub async fn the_last_operators_token_stays_however_many_are_revoked_at_once(store: Shared) {
    let now = Timestamp::from_millis(5);
    let token = |id: &str, scope, expires_at| TokenRecord {
        id: id.to_owned(),
        secret_sha256: Digest::of(id.as_bytes()),
        note: String::new(),
        role: Role::Operator,
        scope,
        created_at: Timestamp::from_millis(1),
        expires_at,
        plugins: Vec::new(),
        plugins_mib: None,
    };
    store.put_token(token("of-one-scope", Some(scope()), None)).await.unwrap();
    store.put_token(token("over", None, Some(now))).await.unwrap();
    let mut revoking = tokio::task::JoinSet::new();
    for number in 0..8 {
        let id = format!("t{number}");
        store.put_token(token(&id, None, None)).await.unwrap();
        let store = store.clone();
        revoking.spawn(async move { store.delete_token(&id, now, Precondition::Any).await.unwrap() });
    }
    let outcomes = revoking.join_all().await;
    let left = store.tokens().await.unwrap().iter().filter(|token| token.rules_all(now)).count();
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, DeleteOutcome::InUse(InUse::LastOperator))).count();
    assert!(left >= 1 && left == refused, "{left} left, {refused} refused");
    for token in store.tokens().await.unwrap().iter().filter(|token| token.rules_all(now)).skip(1) {
        assert_eq!(store.delete_token(&token.id, now, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    }
    let last = store.tokens().await.unwrap().into_iter().find(|token| token.rules_all(now)).unwrap();
    assert!(matches!(
        store.delete_token(&last.id, now, Precondition::Any).await.unwrap(),
        DeleteOutcome::InUse(InUse::LastOperator)
    ));
}

async fn records(store: &Shared) -> ScopeRecords {
    let catalogue = store.load_catalogue().await.unwrap();
    catalogue.scopes.into_iter().find(|s| s.scope == scope()).unwrap()
}

async fn publish(store: &Shared, name: &str, bytes: &[u8]) -> PutOutcome {
    publish_if(store, name, bytes, Precondition::Any).await
}

async fn publish_if(store: &Shared, name: &str, bytes: &[u8], when: Precondition) -> PutOutcome {
    let plugin = PublishedPlugin {
        version: String::from_utf8_lossy(bytes).into_owned(),
        ..PublishedPlugin::first(name.parse().unwrap(), bytes, Timestamp::from_millis(1), "t1")
    };
    store.publish_plugin(&scope(), plugin, bytes.to_vec(), Vec::new(), PublishBounds::NONE, when).await.unwrap()
}

fn named(id: &str, authority: &str) -> landfall_domain::enrollment::Group {
    group(id, GroupAttestation::X509Authorities { primary: authority.parse().unwrap(), secondary: None })
}
