//! The only way in which Landfall reads from other servers.
//!
//! Keys of identity providers, revocation lists, the services that policies call, and the management API as the
//! command line calls it are all read through [`client`]. Where only a name is known, they are read through
//! [`outside`], which resolves the name, checks each address with [`address`] and connects to an address that it has
//! checked. [`tls`] says which certificates are trusted. There is no other client and no other rule.
//!
//! | limit | set by |
//! | --- | --- |
//! | which servers | [`Reach`]: any, or public addresses only; checked after the name is resolved, and the connection goes to the checked address |
//! | addresses of a name that are tried | [`outside::MOST_ADDRESSES`] |
//! | time and sizes | [`ClientLimits`] |
//! | redirects, proxies of the environment | never followed, never used |
//!
//! This crate depends on no other crate of Landfall: the policy host uses it without the server, and the server
//! without policies.
//!
//! ```no_run
//! use landfall_net::client::ClientLimits;
//! use landfall_net::outside::{Outside, Reach};
//! use landfall_net::tls;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = tls::config(tls::roots_of_platform()?, None)?;
//! let outside = Outside { tls: Some(tls.into()), reach: Reach::Public, limits: ClientLimits::USUAL };
//! let request = http::Request::get("https://issuer.example/.well-known/openid-configuration").body(bytes::Bytes::new())?;
//! let answer = outside.exchange(request).await?;
//! println!("{}: {} bytes", answer.status, answer.bytes.len());
//! # Ok(())
//! # }
//! ```

pub mod address;
pub mod client;
pub mod outside;
pub mod tls;

#[doc(inline)]
pub use client::ClientLimits;
#[doc(inline)]
pub use outside::Reach;
