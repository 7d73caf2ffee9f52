//! stub
#![allow(missing_docs)]
use crate::attestation::x509::*;
use std::sync::Arc;
pub struct ConnectionInfo {
    pub peer_addr: std::net::SocketAddr,
    pub presented: Option<Result<Arc<PresentedChain>, ChainError>>,
}
