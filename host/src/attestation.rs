//! stub
pub mod x509;
