//! stub
#![allow(missing_docs)]
pub fn router(_: std::sync::Arc<crate::service::Service>) -> axum::Router { axum::Router::new() }
