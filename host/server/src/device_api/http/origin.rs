//! The origin of an HTTP request, and what it asked.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use http::request::Parts;
use http::{Method, Uri};

use super::super::exchange::{Described, Origin};
use crate::listener::ConnectionInfo;

/// The description of a request whose answer is an error.
#[derive(Default)]
pub(super) struct HttpOrigin {
    line: Option<(Method, Uri)>,
    connection: Option<Arc<ConnectionInfo>>,
    peer: Option<SocketAddr>,
}

impl HttpOrigin {
    pub(super) fn of(request: &Request) -> Self {
        let line = (request.method().clone(), request.uri().clone());
        Self { line: Some(line), connection: request.extensions().get().cloned(), peer: None }
    }

    pub(super) fn of_head(head: &Parts) -> Self {
        let line = (head.method.clone(), head.uri.clone());
        Self { line: Some(line), connection: head.extensions.get().cloned(), peer: None }
    }

    /// A request of which nothing could be read.
    pub(super) fn from_peer(peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }
}

impl Origin for HttpOrigin {
    /// Describes method and path, without the query, which may contain a key.
    fn described(&self) -> Described {
        let Self { line, connection, peer } = self;
        let peer = connection.as_ref().map(|connection| connection.peer_addr).or(*peer);
        let path = line.as_ref().map(|(_, uri)| uri.path()).unwrap_or_default();
        let mut parts = path.trim_start_matches('/').split('/');
        let (scope, what, id) = (parts.next(), parts.next(), parts.next());
        let of_device = what == Some("registrations");
        Described {
            asked: line.as_ref().map(|(method, _)| format!("{method} {path}")).unwrap_or_default(),
            scope: scope.filter(|_| of_device).and_then(|scope| scope.parse().ok()),
            registration_id: id.filter(|_| of_device).unwrap_or_default().to_owned(),
            source: peer.map(|peer| peer.ip()),
            is_proven: connection.as_ref().is_some_and(|connection| connection.standing.is_proven()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_described_by_its_path_and_never_by_its_query() {
        let of = |uri: &'static str| {
            HttpOrigin { line: Some((Method::PUT, Uri::from_static(uri))), ..HttpOrigin::default() }.described()
        };
        let described = of("/0ne1/registrations/dev-1/register?api-version=x&key=hunter2");
        assert_eq!(described.asked, "PUT /0ne1/registrations/dev-1/register");
        assert_eq!((described.scope, described.registration_id), ("0ne1".parse().ok(), "dev-1".to_owned()));
        let other = of("/enrollments/dev-1");
        assert_eq!((other.scope, other.registration_id, other.source), (None, String::new(), None));
        let peer = ([192, 0, 2, 1], 7).into();
        assert_eq!(HttpOrigin::from_peer(peer).described().source, Some(peer.ip()));
    }
}
