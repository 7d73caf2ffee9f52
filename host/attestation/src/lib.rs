//! How devices prove who they are.
//!
//! A mechanism turns what a connection showed into facts that others may decide on, and says of a credential whether
//! it is what an enrollment demands. It knows neither enrollments nor manufacturing records.

pub mod bearer;
pub mod kerberos;
pub mod password;
pub mod symmetric_key;
pub mod tpm;
pub mod x509;
