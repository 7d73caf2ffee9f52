//! The table of endpoints.

use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::Method;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::Management;
use super::authorize::Rule::{
    self, AnyToken, Anybody, Import, Operate, OperateAll, Publish, Read, ReadAll, ReadMetrics, ReadPlugins, ReadRecords,
};
use super::body::PageQuery;
use super::{
    authority, decision, enrollment, entry, hub, misc, openapi, plugin, record, registration, revocation, store, terms,
    token,
};
use crate::record_import::ImportReport;

/// One endpoint: a method of a path.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) rule: Rule,
    pub(super) handler: MethodRouter<Management>,
    /// One sentence for the OpenAPI document.
    pub(super) summary: &'static str,
    /// The parameters of the query.
    pub(super) query: Vec<Parameter>,
    /// The media types of the body, and the name of its schema if it is JSON.
    pub(super) takes: Option<(&'static [&'static str], Option<String>)>,
    /// The body of a successful answer.
    pub(super) gives: Gives,
    /// The schemas that these names refer to.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

/// The body of a successful answer.
pub(super) enum Gives {
    /// 204, or a document that has no schema here.
    Nothing,
    /// One resource, by the name of its schema.
    One(String),
    /// A page of resources, by the name of their schema.
    Page(String),
}

/// A path within an id scope.
macro_rules! scoped {
    ($path:literal) => {
        concat!("/api/v1/scopes/{scope}/", $path)
    };
}

/// All endpoints. A handler is reachable only through this table, and every row has a rule.
pub(super) fn all() -> Vec<Endpoint> {
    let (of_all, of_scope) = (of_all_scopes(), of_one_scope());
    of_all.into_iter().chain(of_scope).chain(of_enrollments()).chain(of_devices()).collect()
}

fn of_all_scopes() -> Vec<Endpoint> {
    vec![
        read("/api/v1/openapi.json", AnyToken, get(openapi::serve), "This document"),
        read("/healthz", Anybody, get(misc::alive), "Whether the server answers: 200 as long as it does"),
        read("/readyz", Anybody, get(misc::ready), "Whether devices can register: 200, or 503 with the reason")
            .gives::<misc::ReadyView>(),
        read("/metrics", ReadMetrics, get(misc::metrics), "What runs here in numbers, as OpenMetrics text"),
        read("/api/v1/status", Read, get(misc::status), "What runs here").gives::<misc::StatusView>(),
        read("/api/v1/scopes", AnyToken, get(misc::scopes), "The id scopes that the caller sees")
            .pages::<misc::ScopeView>(),
        write("/api/v1/scopes/{scope}", OperateAll, put(misc::create_scope), "Makes an id scope")
            .gives::<misc::ScopeView>(),
        read(
            "/api/v1/decisions/{trackingId}",
            Read,
            get(decision::show),
            "What was decided, or refused, under a tracking id, or in the operation that a device was told",
        )
        .gives::<decision::DecisionView>(),
        read(
            "/api/v1/store/check",
            ReadAll,
            get(store::check),
            "Reads all of the database: what contradicts itself, and what nothing names",
        )
        .gives::<store::CheckView>(),
        ask(
            "/api/v1/store/copy",
            OperateAll,
            post(store::copy),
            "Copies the database as it is now into a file in the data folder, for `landfall backup`",
        )
        .gives::<store::CopyView>(),
        read("/api/v1/tokens", ReadAll, get(token::list), "All tokens, without themselves").pages::<token::TokenView>(),
        ask("/api/v1/tokens", OperateAll, post(token::create), "Makes a token; it is told this once")
            .takes::<token::TokenWish>()
            .gives::<token::NewTokenView>(),
        remove("/api/v1/tokens/{id}", OperateAll, delete(token::revoke), "Revokes a token"),
    ]
}

fn of_one_scope() -> Vec<Endpoint> {
    vec![
        read(scoped!("hubs"), Read, get(hub::list), "The linked hubs").pages::<hub::HubView>(),
        read(scoped!("hubs/{name}"), Read, get(hub::show), "A linked hub and how full it is").gives::<hub::HubView>(),
        write(scoped!("hubs/{name}"), Operate, put(hub::link), "Links a hub, or changes it")
            .takes::<hub::HubBody>()
            .gives::<hub::HubView>(),
        remove(scoped!("hubs/{name}"), Operate, delete(hub::unlink), "Unlinks a hub; its devices' registrations stay"),
        read(scoped!("plugins"), ReadPlugins, get(plugin::list), "The published policy plugins")
            .pages::<plugin::PluginView>(),
        read(
            scoped!("plugins/{name}"),
            ReadPlugins,
            get(plugin::show),
            "A policy plugin: what it is and what it may do",
        )
        .gives::<plugin::PluginView>(),
        write(
            scoped!("plugins/{name}"),
            Publish,
            put(plugin::publish),
            "Publishes a revision of a policy plugin; the body is the component, each header line `Landfall-Signature` a signature over it",
        )
        .takes_media(&["application/wasm"])
        .gives::<plugin::PluginView>(),
        change(
            scoped!("plugins/{name}"),
            Operate,
            patch(plugin::rules::set),
            "Changes what calls of a plugin may use and who is asked when it gives no answer",
        )
        .takes::<plugin::rules::RulesBody>()
        .gives::<plugin::PluginView>(),
        read(
            scoped!("plugins/{name}/revisions"),
            ReadPlugins,
            get(plugin::revisions::list),
            "The revisions of a plugin, newest first",
        )
        .pages::<plugin::revisions::RevisionView>(),
        ask(
            scoped!("plugins/{name}/rollback"),
            Publish,
            post(plugin::revisions::rollback),
            "Makes a revision live again: the one before, or one by its digest",
        )
        .takes::<plugin::revisions::RollbackBody>()
        .gives::<plugin::PluginView>(),
        remove(scoped!("plugins/{name}"), Publish, delete(plugin::remove), "Removes a plugin that no enrollment names"),
    ]
}

fn of_enrollments() -> Vec<Endpoint> {
    vec![
        read(scoped!("authorities"), Read, get(authority::list), "The certificate authorities")
            .pages::<authority::AuthorityView>(),
        read(scoped!("authorities/{name}"), Read, get(authority::show), "A certificate authority")
            .gives::<authority::AuthorityView>(),
        write(
            scoped!("authorities/{name}"),
            Operate,
            put(authority::upload),
            "Uploads a certificate authority; it admits nobody until its key is proven",
        )
        .asks::<authority::UploadQuery>()
        .takes::<authority::CertificateBody>()
        .gives::<authority::AuthorityView>(),
        remove(
            scoped!("authorities/{name}"),
            Operate,
            delete(authority::remove),
            "Removes a certificate authority on which no group leans; what is revoked of it stays so",
        ),
        ask(
            scoped!("authorities/{name}/verification-code"),
            Operate,
            post(authority::code),
            "Makes the code that the verification certificate's CN must be",
        )
        .gives::<authority::CodeView>(),
        ask(
            scoped!("authorities/{name}/verify"),
            Operate,
            post(authority::verify),
            "Proves possession of the authority's key",
        )
        .takes::<authority::CertificateBody>()
        .gives::<authority::AuthorityView>(),
        write(
            scoped!("authorities/{name}/crl"),
            Operate,
            put(revocation::put_crl),
            "Brings a certificate authority's revocation list, in place of an older one",
        )
        .takes::<revocation::CrlBody>()
        .gives::<authority::AuthorityView>(),
        write(
            scoped!("authorities/{name}/revocation"),
            Operate,
            put(revocation::put_revocation),
            "Changes what is revoked of a certificate authority, and where its list is fetched; what is left out stays",
        )
        .takes::<revocation::RevocationBody>()
        .gives::<authority::AuthorityView>(),
        remove(
            scoped!("authorities/{name}/crl"),
            Operate,
            delete(revocation::remove_crl),
            "Removes a certificate authority's revocation list: nothing of it is revoked then",
        ),
        read(
            scoped!("revocations"),
            Read,
            get(revocation::issuers::list),
            "All that is revoked, issuer by issuer, whether its authority is there or not",
        )
        .pages::<revocation::issuers::IssuerView>(),
        read(scoped!("revocations/{issuer}"), Read, get(revocation::issuers::show), "What is revoked of an issuer")
            .gives::<revocation::issuers::IssuerView>(),
        write(
            scoped!("revocations/{issuer}"),
            Operate,
            put(revocation::issuers::put),
            "Changes what is revoked of an issuer, also of one whose authority was deleted; what is left out stays",
        )
        .takes::<revocation::RevocationBody>()
        .gives::<revocation::issuers::IssuerView>(),
        remove(
            scoped!("revocations/{issuer}/crl"),
            Operate,
            delete(revocation::issuers::remove_crl),
            "Removes an issuer's revocation list: nothing of it is revoked then",
        ),
        read(scoped!("enrollment-groups"), Read, get(enrollment::list_groups), "The enrollment groups")
            .pages::<terms::GroupView>(),
        read(scoped!("enrollment-groups/{id}"), Read, get(enrollment::show_group), "An enrollment group")
            .gives::<terms::GroupView>(),
        write(
            scoped!("enrollment-groups/{id}"),
            Operate,
            put(enrollment::put_group),
            "Makes or replaces an enrollment group; its policies are configured before it is taken",
        )
        .takes::<terms::EnrollmentBody>()
        .gives::<terms::GroupView>(),
        remove(
            scoped!("enrollment-groups/{id}"),
            Operate,
            delete(enrollment::delete_group),
            "Removes an enrollment group; its devices' registrations stay",
        ),
        read(scoped!("enrollments"), Read, get(enrollment::list_individuals), "The individual enrollments")
            .pages::<terms::IndividualView>(),
        read(scoped!("enrollments/{id}"), Read, get(enrollment::show_individual), "An individual enrollment")
            .gives::<terms::IndividualView>(),
        write(
            scoped!("enrollments/{id}"),
            Operate,
            put(enrollment::put_individual),
            "Makes or replaces an individual enrollment",
        )
        .takes::<terms::EnrollmentBody>()
        .gives::<terms::IndividualView>(),
        remove(
            scoped!("enrollments/{id}"),
            Operate,
            delete(enrollment::delete_individual),
            "Removes an individual enrollment; its device's registration stays",
        ),
    ]
}

fn of_devices() -> Vec<Endpoint> {
    vec![
        read(scoped!("records"), ReadRecords, get(record::list), "Manufacturing records")
            .pages::<record::RecordView>()
            .asks::<record::Filter>(),
        ask(
            scoped!("records"),
            Import,
            post(record::import),
            "Imports manufacturing records, one a line; refused rows are told with their lines",
        )
        .takes_media(&["application/x-ndjson", "text/csv"])
        .asks::<record::ImportQuery>()
        .gives::<ImportReport>(),
        read(scoped!("records/{id}"), ReadRecords, get(record::show), "A device's manufacturing record")
            .gives::<record::RecordView>(),
        write(
            scoped!("records/{id}/state"),
            Operate,
            put(record::set_state),
            "Activates, quarantines or retires a device",
        )
        .takes::<record::StateBody>()
        .gives::<record::RecordView>(),
        read(scoped!("registrations"), Read, get(registration::list), "Registrations")
            .pages::<registration::RegistrationView>()
            .asks::<registration::Filter>(),
        read(
            scoped!("waiting"),
            Read,
            get(registration::waiting),
            "Devices that wait to be registered, with the reason",
        )
        .pages::<registration::WaitingView>(),
        read(
            scoped!("decisions"),
            Read,
            get(entry::list),
            "What was decided about devices, or why they were refused, the newest first",
        )
        .pages::<entry::EntryView>()
        .asks::<entry::Filter>(),
        read(scoped!("registrations/{id}"), Read, get(registration::show), "A device's registration")
            .gives::<registration::RegistrationView>(),
        remove(
            scoped!("registrations/{id}"),
            Operate,
            delete(registration::remove),
            "Forgets a registration and gives its place back",
        ),
        ask(
            scoped!("registrations/{id}/release"),
            Operate,
            post(registration::release),
            "Lets the registration id be claimed with another key",
        ),
    ]
}

fn read(path: &'static str, rule: Rule, handler: MethodRouter<Management>, summary: &'static str) -> Endpoint {
    Endpoint::new(Method::GET, path, rule, handler, summary)
}

fn write(path: &'static str, rule: Rule, handler: MethodRouter<Management>, summary: &'static str) -> Endpoint {
    Endpoint::new(Method::PUT, path, rule, handler, summary)
}

fn ask(path: &'static str, rule: Rule, handler: MethodRouter<Management>, summary: &'static str) -> Endpoint {
    Endpoint::new(Method::POST, path, rule, handler, summary)
}

fn change(path: &'static str, rule: Rule, handler: MethodRouter<Management>, summary: &'static str) -> Endpoint {
    Endpoint::new(Method::PATCH, path, rule, handler, summary)
}

fn remove(path: &'static str, rule: Rule, handler: MethodRouter<Management>, summary: &'static str) -> Endpoint {
    Endpoint::new(Method::DELETE, path, rule, handler, summary)
}

impl Endpoint {
    fn new(
        method: Method,
        path: &'static str,
        rule: Rule,
        handler: MethodRouter<Management>,
        summary: &'static str,
    ) -> Self {
        let (query, schemas) = (Vec::new(), Vec::new());
        Self { method, path, rule, handler, summary, query, takes: None, gives: Gives::Nothing, schemas }
    }

    fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some((&["application/json"], Some(self.named::<T>())));
        self
    }

    fn takes_media(mut self, media: &'static [&'static str]) -> Self {
        self.takes = Some((media, None));
        self
    }

    fn gives<T: ToSchema>(mut self) -> Self {
        self.gives = Gives::One(self.named::<T>());
        self
    }

    fn pages<T: ToSchema>(mut self) -> Self {
        self.gives = Gives::Page(self.named::<T>());
        self.asks::<PageQuery>()
    }

    /// Sets the parameters of the query, in place of earlier ones.
    fn asks<Q: IntoParams>(mut self) -> Self {
        self.query = Q::into_params(|| Some(ParameterIn::Query));
        self
    }

    fn named<T: ToSchema>(&mut self) -> String {
        T::schemas(&mut self.schemas);
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        name
    }
}
