//! The one way in which anything is read from elsewhere.
//!
//! Keys of identity providers, revocation lists, the services that policies ask and the management API as the command line
//! calls it: all of them are read over [`client`], and where only a name is known, through [`outside`], which resolves the
//! name, judges each address by [`address`] and connects to an address that it has judged. Whom to trust is in [`tls`].
//! There is no second client and no second rule.
//!
//! | bound | by |
//! | --- | --- |
//! | which machines | [`Reach`]: any, or public addresses only; judged after the name is resolved, and the address that was judged is the one connected to |
//! | addresses of a name that are tried | [`outside::MOST_ADDRESSES`] |
//! | time and sizes | [`ClientLimits`] |
//! | redirections, proxies of the environment | none is followed, none is taken |
//!
//! This crate knows no other of ours: the policy host uses it without the server, and the server without policies.
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
