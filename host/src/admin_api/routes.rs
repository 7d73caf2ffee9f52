//! The table of endpoints.

use axum::routing::{MethodRouter, delete, get, post, put};
use http::Method;
use std::sync::Arc;

use super::authorize::Rule;
use super::{authority, enrollment, hub, misc, openapi, plugin, record, registration, token};
use crate::service::Service;

/// One method of one path.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) rule: Rule,
    pub(super) handler: MethodRouter<Arc<Service>>,
    /// One sentence for the OpenAPI document.
    pub(super) summary: &'static str,
    /// The media type and the schema of the body.
    pub(super) takes: Option<(&'static str, &'static str)>,
    /// The schema of a good answer.
    pub(super) gives: Option<&'static str>,
}

/// All of them. There is no other way to a handler, and none without a rule.
pub(super) fn all() -> Vec<Endpoint> {
    use Rule::{AnyToken, Import, Operate, OperateAll, Publish, Read, ReadAll, ReadPlugins, ReadRecords};
    const JSON: &str = "application/json";
    let e = |method, path, rule, handler, summary, takes, gives| Endpoint { method, path, rule, handler, summary, takes, gives };
    let (g, p, d, o) = (Method::GET, Method::PUT, Method::DELETE, Method::POST);
    vec![
        e(g.clone(), "/api/v1/openapi.json", AnyToken, get(openapi::serve), "This document", None, None),
        e(g.clone(), "/api/v1/status", Read, get(misc::status), "What runs here", None, None),
        e(g.clone(), "/api/v1/scopes", AnyToken, get(misc::scopes), "The id scopes that the caller sees", None, None),
        e(p.clone(), "/api/v1/scopes/{scope}", OperateAll, put(misc::create_scope), "Makes an id scope", None, None),
        e(g.clone(), "/api/v1/decisions/{trackingId}", Read, get(misc::decision), "What was decided, or refused, under a tracking id", None, None),
        e(g.clone(), "/api/v1/tokens", ReadAll, get(token::list), "All tokens, without their secrets", None, None),
        e(o.clone(), "/api/v1/tokens", OperateAll, post(token::create), "Makes a token; its secret is told this once", Some((JSON, "TokenWish")), None),
        e(d.clone(), "/api/v1/tokens/{id}", OperateAll, delete(token::revoke), "Revokes a token", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/hubs", Read, get(hub::list), "The linked hubs", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/hubs/{name}", Read, get(hub::show), "A linked hub and how full it is", None, Some("HubView")),
        e(p.clone(), "/api/v1/scopes/{scope}/hubs/{name}", Operate, put(hub::link), "Links a hub, or changes it", Some((JSON, "HubBody")), Some("HubView")),
        e(d.clone(), "/api/v1/scopes/{scope}/hubs/{name}", Operate, delete(hub::unlink), "Unlinks a hub; its devices' registrations stay", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/authorities", Read, get(authority::list), "The certificate authorities", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/authorities/{name}", Read, get(authority::show), "A certificate authority", None, Some("AuthorityView")),
        e(p.clone(), "/api/v1/scopes/{scope}/authorities/{name}", Operate, put(authority::upload), "Uploads a certificate authority; it admits nobody until its key is proven", Some((JSON, "CertificateBody")), Some("AuthorityView")),
        e(d.clone(), "/api/v1/scopes/{scope}/authorities/{name}", Operate, delete(authority::remove), "Removes a certificate authority that no group names", None, None),
        e(o.clone(), "/api/v1/scopes/{scope}/authorities/{name}/verification-code", Operate, post(authority::code), "Makes the code that the verification certificate's CN must be", None, None),
        e(o.clone(), "/api/v1/scopes/{scope}/authorities/{name}/verify", Operate, post(authority::verify), "Proves possession of the authority's key", Some((JSON, "CertificateBody")), Some("AuthorityView")),
        e(g.clone(), "/api/v1/scopes/{scope}/enrollment-groups", Read, get(enrollment::list_groups), "The enrollment groups", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/enrollment-groups/{id}", Read, get(enrollment::show_group), "An enrollment group", None, None),
        e(p.clone(), "/api/v1/scopes/{scope}/enrollment-groups/{id}", Operate, put(enrollment::put_group), "Makes or replaces an enrollment group", Some((JSON, "EnrollmentBody")), None),
        e(d.clone(), "/api/v1/scopes/{scope}/enrollment-groups/{id}", Operate, delete(enrollment::delete_group), "Removes an enrollment group; its devices' registrations stay", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/enrollments", Read, get(enrollment::list_individuals), "The individual enrollments", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/enrollments/{id}", Read, get(enrollment::show_individual), "An individual enrollment", None, None),
        e(p.clone(), "/api/v1/scopes/{scope}/enrollments/{id}", Operate, put(enrollment::put_individual), "Makes or replaces an individual enrollment", Some((JSON, "EnrollmentBody")), None),
        e(d.clone(), "/api/v1/scopes/{scope}/enrollments/{id}", Operate, delete(enrollment::delete_individual), "Removes an individual enrollment", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/records", ReadRecords, get(record::list), "Manufacturing records", None, None),
        e(o.clone(), "/api/v1/scopes/{scope}/records", Import, post(record::import), "Imports manufacturing records: application/x-ndjson or text/csv", Some(("application/x-ndjson", "")), Some("ImportReport")),
        e(g.clone(), "/api/v1/scopes/{scope}/records/{id}", ReadRecords, get(record::show), "A device's manufacturing record", None, None),
        e(p.clone(), "/api/v1/scopes/{scope}/records/{id}/state", Operate, put(record::set_state), "Activates, quarantines or retires a device", Some((JSON, "StateBody")), None),
        e(g.clone(), "/api/v1/scopes/{scope}/registrations", Read, get(registration::list), "Registrations", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/registrations/{id}", Read, get(registration::show), "A device's registration", None, None),
        e(d, "/api/v1/scopes/{scope}/registrations/{id}", Operate, delete(registration::remove), "Forgets a registration and gives its place back", None, None),
        e(o, "/api/v1/scopes/{scope}/registrations/{id}/release", Operate, post(registration::release), "Lets the registration id be claimed with another key", None, None),
        e(g.clone(), "/api/v1/scopes/{scope}/plugins", ReadPlugins, get(plugin::list), "The published policy plugins", None, None),
        e(g, "/api/v1/scopes/{scope}/plugins/{name}", ReadPlugins, get(plugin::show), "A policy plugin's capability card", None, None),
        e(p, "/api/v1/scopes/{scope}/plugins/{name}", Publish, put(plugin::publish), "Publishes a revision of a policy plugin; the body is the component", Some(("application/wasm", "")), None),
        e(Method::DELETE, "/api/v1/scopes/{scope}/plugins/{name}", Publish, delete(plugin::remove), "Removes a plugin that no group names", None, None),
    ]
}
