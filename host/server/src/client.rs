//! Calling servers: the one HTTPS client of `landfall-net`, with this crate's certificates, and the management API as the
//! command line calls it.

pub mod management;
pub mod tls;

#[doc(inline)]
pub use landfall_net::client::{Answer, Client, ClientError, ClientLimits, FileUpload, RequestBody, headers};
