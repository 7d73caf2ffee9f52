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

pub struct ListenerLimits { pub handshake_seconds: u64, pub handshakes_per_core: usize, pub header_seconds: u64, pub header_bytes: usize, pub headers: usize, pub idle_seconds: u64, pub requests_per_connection: usize, pub connection_minutes: u64, pub connections_per_prefix: usize, pub connections: usize, pub drain_seconds: u64 }
