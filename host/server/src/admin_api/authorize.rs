//! Authorisation.
//!
//! Every endpoint has a [`Rule`], and every token has a [`Role`]. One function combines the two. It matches both
//! exhaustively and denies by default: what no line allows is denied. A token that is bound to an id scope is valid
//! only for the paths of that scope.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HeaderMap};
use landfall_domain::api_token::{Role, TokenRecord};
use landfall_domain::names::{Digest, IdScope, PluginName};

use super::problem::Problem;
use crate::listener::ConnectionInfo;
use crate::service::Service;
use crate::service::switch::Publisher;

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Rule {
    /// Anyone who can reach the listener, without a token.
    Anybody,
    /// Anyone with a valid token.
    AnyToken,
    Operate,
    /// Operators and auditors.
    Read,
    /// Operators, and manufacturers for their own records.
    Import,
    /// Operators, auditors, and manufacturers for their own records.
    ReadRecords,
    /// Operators and publishers.
    Publish,
    /// Operators, auditors and publishers.
    ReadPlugins,
    /// Operators whose token is bound to no scope.
    OperateAll,
    /// Operators and auditors whose token is bound to no scope.
    ReadAll,
    /// Operators, auditors and monitors whose token is bound to no scope.
    ReadMetrics,
}

/// The caller: the record of its token.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Arc<TokenRecord>);

/// The decision of a rule about a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny(String),
}

/// Passes an authorised request on, or answers it with a problem.
pub(super) async fn authorize(
    State((service, rule)): State<(Arc<Service>, Rule)>,
    mut request: Request,
    next: Next,
) -> Response {
    if rule == Rule::Anybody {
        return next.run(request).await;
    }
    let token = match identify(&service, secret(request.headers())).await {
        Ok(token) => token,
        Err(problem) => return problem.into_response(),
    };
    if let Some(connection) = request.extensions().get::<Arc<ConnectionInfo>>() {
        connection.standing.has_proven();
    }
    match decide(rule, &token, scope_of(request.uri().path())) {
        Decision::Deny(why) => Problem::new(403, why).into_response(),
        Decision::Allow => {
            request.extensions_mut().insert(Caller(Arc::new(token)));
            next.run(request).await
        }
    }
}

/// The SHA-256 of the token of a request, which must carry exactly one.
fn secret(headers: &HeaderMap) -> Option<Digest> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let (kind, secret) = header.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| Digest::of(secret.trim().as_bytes()))
}

/// The record of a valid token. Every invalid token gets the same answer. The token is found by the digest of a secret
/// of 256 bits, so the time of the look-up reveals nothing about any secret.
async fn identify(service: &Service, secret: Option<Digest>) -> Result<TokenRecord, Problem> {
    let unknown = || Problem::new(401, "a valid token is needed: Authorization: Bearer lf_...");
    good(service, secret.ok_or_else(unknown)?).await?.ok_or_else(unknown)
}

/// Finds a token by the digest of its secret, if it exists and has not expired.
async fn good(service: &Service, secret: Digest) -> Result<Option<TokenRecord>, Problem> {
    let token = service.store().token(secret).await?;
    Ok(token.filter(|token| token.expires_at.is_none_or(|end| end > service.latest_time())))
}

fn decide(rule: Rule, token: &TokenRecord, scope: Option<&str>) -> Decision {
    if let (Some(bound), Some(scope)) = (&token.scope, scope)
        && bound.as_str() != scope
    {
        return Decision::Deny(format!("the token is bound to the id scope {bound}, and this is of {scope}"));
    }
    let role = || Decision::Deny(format!("the token's role ({}) may not do this", token.role));
    let by_role = match (rule, &token.role) {
        (_, Role::Operator) | (Rule::AnyToken | Rule::Anybody, _) => Decision::Allow,
        (Rule::Read | Rule::ReadRecords | Rule::ReadPlugins | Rule::ReadAll | Rule::ReadMetrics, Role::Auditor) => {
            Decision::Allow
        }
        (Rule::ReadMetrics, Role::Monitor) => Decision::Allow,
        (Rule::Import | Rule::ReadRecords, Role::Manufacturer { .. }) => Decision::Allow,
        (Rule::Publish | Rule::ReadPlugins, Role::Publisher) => Decision::Allow,
        (Rule::Operate | Rule::Import | Rule::Publish | Rule::OperateAll, Role::Auditor) => role(),
        (
            Rule::Operate
            | Rule::Read
            | Rule::Publish
            | Rule::ReadPlugins
            | Rule::OperateAll
            | Rule::ReadAll
            | Rule::ReadMetrics,
            Role::Manufacturer { .. },
        ) => role(),
        (
            Rule::Operate
            | Rule::Read
            | Rule::Import
            | Rule::ReadRecords
            | Rule::OperateAll
            | Rule::ReadAll
            | Rule::ReadMetrics,
            Role::Publisher,
        ) => role(),
        (
            Rule::Operate
            | Rule::Read
            | Rule::Import
            | Rule::ReadRecords
            | Rule::Publish
            | Rule::ReadPlugins
            | Rule::OperateAll
            | Rule::ReadAll,
            Role::Monitor,
        ) => role(),
    };
    match (by_role, rule, &token.scope) {
        (Decision::Allow, Rule::OperateAll | Rule::ReadAll | Rule::ReadMetrics, Some(bound)) => {
            Decision::Deny(format!("the token is bound to the id scope {bound}, and this is not of one scope"))
        }
        (by_role, ..) => by_role,
    }
}

/// The scope that a path names. Ids are plain letters and digits, so a path that needs percent-decoding names no
/// scope.
fn scope_of(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v1/scopes/")?.split('/').next().filter(|scope| !scope.is_empty())
}

impl Caller {
    /// Checks that the token is still valid. A body takes time to arrive, and a token that is revoked meanwhile must
    /// not change anything.
    ///
    /// # Errors
    ///
    /// The token was revoked or has expired.
    pub(super) async fn is_still_good(&self, service: &Service) -> Result<(), Problem> {
        match good(service, self.0.secret_sha256).await? {
            Some(_) => Ok(()),
            None => Err(Problem::new(401, "the token was revoked or has ended while the request was under way")),
        }
    }

    /// The manufacturer and quota of the caller, if it is a manufacturer.
    pub(super) fn manufacturer(&self) -> Option<(&landfall_domain::names::ManufacturerId, Option<u64>)> {
        match &self.0.role {
            Role::Manufacturer { manufacturer, quota, .. } => Some((manufacturer, *quota)),
            Role::Operator | Role::Publisher | Role::Auditor | Role::Monitor => None,
        }
    }

    /// The prefixes of the ids that the caller may import; empty for no restriction.
    pub(super) fn prefixes(&self) -> &[String] {
        match &self.0.role {
            Role::Manufacturer { prefixes, .. } => prefixes,
            Role::Operator | Role::Publisher | Role::Auditor | Role::Monitor => &[],
        }
    }

    /// Whether the caller of a request is bound to one id scope.
    pub(super) fn is_bound(request: &Request) -> bool {
        request.extensions().get::<Self>().is_none_or(|caller| caller.0.scope.is_some())
    }

    /// Whether the caller is bound to one id scope.
    pub(super) fn is_of_one_scope(&self) -> bool {
        self.0.scope.is_some()
    }

    /// Whether the caller may set what publishers may do.
    pub(super) fn is_operator(&self) -> bool {
        self.0.role == Role::Operator
    }

    /// Checks that the caller may publish under a name.
    pub(super) fn may_publish(&self, name: &PluginName) -> Result<(), Problem> {
        if self.0.publishes_as(name) {
            return Ok(());
        }
        let what = match self.0.plugins.as_slice() {
            [] => "it publishes under every name but those of the policies that come with Landfall".to_owned(),
            names => format!("it publishes under {}", names.join(", ")),
        };
        Err(Problem::new(403, format!("the token may not publish {name}: {what}")))
    }

    /// The caller in its role as publisher.
    pub(super) fn publisher(&self) -> Publisher<'_> {
        Publisher { token: &self.0.id, most_bytes: self.0.plugins_mib.map(|mib| mib.saturating_mul(1 << 20)) }
    }

    /// Whether the caller is bound to no scope, and may therefore manage what all scopes share.
    pub(super) fn governs_all(&self) -> bool {
        self.0.role == Role::Operator && self.0.scope.is_none()
    }

    /// Whether the caller may see the things of a scope; `None` stands for things whose scope is unknown.
    pub(super) fn sees_of(&self, scope: Option<&IdScope>) -> bool {
        self.0.scope.is_none() || self.0.scope.as_ref() == scope
    }

    /// Whether the caller may see a scope.
    pub(super) fn sees(&self, scope: &IdScope) -> bool {
        self.0.scope.as_ref().is_none_or(|bound| bound == scope)
    }
}

#[cfg(test)]
mod tests {
    use landfall_domain::clock::Timestamp;

    use super::*;

    fn token(role: Role, scope: Option<&str>) -> TokenRecord {
        TokenRecord {
            id: "t".to_owned(),
            secret_sha256: Digest::of(b"t"),
            note: String::new(),
            role,
            scope: scope.map(|scope| scope.parse().unwrap()),
            created_at: Timestamp::default(),
            expires_at: None,
            plugins: Vec::new(),
            plugins_mib: None,
        }
    }

    #[test]
    fn a_token_is_good_for_its_scope_and_its_role_only() {
        let manufacturer =
            Role::Manufacturer { manufacturer: "acme".parse().unwrap(), quota: None, prefixes: Vec::new() };
        let allowed =
            |rule, role: &Role, bound, scope| decide(rule, &token(role.clone(), bound), scope) == Decision::Allow;
        assert!(allowed(Rule::Import, &manufacturer, Some("a"), Some("a")));
        assert!(!allowed(Rule::Import, &manufacturer, Some("a"), Some("b")));
        assert!(!allowed(Rule::Operate, &manufacturer, None, Some("a")));
        assert!(allowed(Rule::Read, &Role::Auditor, None, None));
        assert!(!allowed(Rule::Operate, &Role::Auditor, None, None));
        assert!(allowed(Rule::Publish, &Role::Publisher, None, Some("a")));
        assert!(!allowed(Rule::Import, &Role::Publisher, None, Some("a")));
        assert!(allowed(Rule::ReadMetrics, &Role::Monitor, None, None));
        assert!(!allowed(Rule::ReadAll, &Role::Monitor, None, None));
        assert!(!allowed(Rule::ReadRecords, &Role::Monitor, None, Some("a")));
        assert!(allowed(Rule::OperateAll, &Role::Operator, None, None));
        assert!(!allowed(Rule::OperateAll, &Role::Operator, Some("a"), None));
    }
}
