#![allow(missing_docs, clippy::all)]
use crate::clock::Timestamp;
use crate::names::*;
use serde::Serialize;
#[derive(Clone, Debug, thiserror::Error)]
#[error("x")]
pub struct ChainError;
#[derive(Clone, Debug, Serialize)]
pub struct CertificateInfo;
#[derive(Clone, Debug)]
pub struct PresentedChain;
#[derive(Clone, Debug)]
pub struct Leaf;
impl PresentedChain {
    pub fn leaf(&self) -> &Leaf {
        todo!()
    }
}
impl Leaf {
    pub fn sha256(&self) -> Digest {
        todo!()
    }
    pub fn spki_sha256(&self) -> Digest {
        todo!()
    }
    pub fn info(&self) -> &CertificateInfo {
        todo!()
    }
    pub fn claims(&self) -> Vec<(String, String)> {
        todo!()
    }
    pub fn issuer(&self) -> &str {
        todo!()
    }
    pub fn registration_id(&self) -> Result<RegistrationId, ChainError> {
        todo!()
    }
}
#[derive(Clone)]
pub struct Anchor;
impl Anchor {
    pub fn parse(_: &[u8]) -> Result<Self, ChainError> {
        todo!()
    }
}
pub struct AnchorIndex<T>(Vec<T>);
impl<T> Default for AnchorIndex<T> {
    fn default() -> Self {
        Self(vec![])
    }
}
impl<T> AnchorIndex<T> {
    pub fn insert(&mut self, _: &Anchor, _: T) {}
    pub fn nearest(&self, _: &PresentedChain) -> Option<&T> {
        todo!()
    }
}
pub struct VerifyPolicy {
    pub now: Timestamp,
}
pub fn verify_pinned(_: &PresentedChain, _: &[Digest], _: &VerifyPolicy) -> Result<(), ChainError> {
    todo!()
}
pub fn verify_group(_: &PresentedChain, _: &[Anchor], _: &VerifyPolicy) -> Result<(), ChainError> {
    todo!()
}
