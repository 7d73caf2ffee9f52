//! stub
#![allow(missing_docs)]
pub struct Config {
    pub limits: Limits,
    pub server: Server,
}
pub struct Server {
    pub hostname: String,
}
pub struct Limits {
    pub device: DeviceLimits,
    pub policy: PolicyLimits,
}
pub struct PolicyLimits {
    pub max_images: usize,
}
pub struct DeviceLimits {
    pub max_operations: usize,
    pub poll_seconds: u64,
    pub max_wait_seconds: u64,
    pub json_depth: usize,
    pub max_body_bytes: usize,
    pub body_seconds: u64,
}
impl Config {
    pub fn verify_policy(
        &self,
        now: crate::clock::Timestamp,
    ) -> crate::attestation::x509::VerifyPolicy {
        crate::attestation::x509::VerifyPolicy::at(now)
    }
}
