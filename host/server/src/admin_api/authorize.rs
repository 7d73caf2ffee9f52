//! Who may do what.
//!
//! Every endpoint has a [`Rule`], every token a [`Role`]. The one function that brings them together matches both
//! exhaustively, and its first word is *no*: what no line allows is denied. A token that is bound to an id scope is
//! good for the paths of that scope and for no others.

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
    /// Whoever can reach the listener, without a token.
    Anybody,
    /// Whoever has a token.
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

/// Who called: the record of its token.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Arc<TokenRecord>);

/// What the rule says of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny(String),
}

/// Lets a request through, or answers it.
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

/// The SHA-256 of the one token that a request brings.
fn secret(headers: &HeaderMap) -> Option<Digest> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let (kind, secret) = header.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| Digest::of(secret.trim().as_bytes()))
}

/// The token, if it is one of ours and has not ended. All that is wrong with one gets one answer. It is found by the
/// digest of a secret of 256 bits: the time that this takes tells nothing about any secret.
async fn identify(service: &Service, secret: Option<Digest>) -> Result<TokenRecord, Problem> {
    let unknown = || Problem::new(401, "a valid token is needed: Authorization: Bearer lf_...");
    good(service, secret.ok_or_else(unknown)?).await?.ok_or_else(unknown)
}

/// The token of a secret's digest, if it is there and has not ended.
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

/// The scope that a path names. Ids are plain letters and digits, so that a path that needs decoding names none.
fn scope_of(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v1/scopes/")?.split('/').next().filter(|scope| !scope.is_empty())
}

impl Caller {
    /// Whether the token still holds. A body takes its time: one whose token is revoked meanwhile does nothing any more.
    ///
    /// # Errors
    ///
    /// It was revoked, or has ended.
    pub(super) async fn is_still_good(&self, service: &Service) -> Result<(), Problem> {
        match good(service, self.0.secret_sha256).await? {
            Some(_) => Ok(()),
            None => Err(Problem::new(401, "the token was revoked or has ended while the request was under way")),
        }
    }

    /// The manufacturer that the caller is, if it is one.
    pub(super) fn manufacturer(&self) -> Option<(&landfall_domain::names::ManufacturerId, Option<u64>)> {
        match &self.0.role {
            Role::Manufacturer { manufacturer, quota, .. } => Some((manufacturer, *quota)),
            Role::Operator | Role::Publisher | Role::Auditor | Role::Monitor => None,
        }
    }

    /// How the ids begin that the caller may import, when it may not import all.
    pub(super) fn prefixes(&self) -> &[String] {
        match &self.0.role {
            Role::Manufacturer { prefixes, .. } => prefixes,
            Role::Operator | Role::Publisher | Role::Auditor | Role::Monitor => &[],
        }
    }

    /// Whether whoever sent a request is bound to one id scope.
    pub(super) fn is_bound(request: &Request) -> bool {
        request.extensions().get::<Self>().is_none_or(|caller| caller.0.scope.is_some())
    }

    /// Whether the caller is bound to one id scope.
    pub(super) fn is_of_one_scope(&self) -> bool {
        self.0.scope.is_some()
    }

    /// Whether the caller says what publishers may do.
    pub(super) fn is_operator(&self) -> bool {
        self.0.role == Role::Operator
    }

    /// Whether the caller may publish under a name.
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

    /// The caller as one who publishes.
    pub(super) fn publisher(&self) -> Publisher<'_> {
        Publisher { token: &self.0.id, most_bytes: self.0.plugins_mib.map(|mib| mib.saturating_mul(1 << 20)) }
    }

    /// Whether the caller is bound to no scope, and so may govern what all of them share.
    pub(super) fn governs_all(&self) -> bool {
        self.0.role == Role::Operator && self.0.scope.is_none()
    }

    /// Whether the caller sees what belongs to a scope, or to none that is known.
    pub(super) fn sees_of(&self, scope: Option<&IdScope>) -> bool {
        self.0.scope.is_none() || self.0.scope.as_ref() == scope
    }

    /// Whether the caller sees a scope.
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
