//! A server that is known by its address: from an author's machine, or from CI, where no data folder is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use landfall_domain::secret::Token;
use landfall_net::outside::{HTTPS, Outside, OutsideError, Reach, bare};
use rustls::ClientConfig;

use super::{ManagementClient, ManagementError, Place, token_of, trusting};
use crate::client::{Client, ClientError, ClientLimits, tls};

/// Where a management API is: `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
}

/// A text that is no server's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write https://HOST:PORT, such as https://dps.example.com:9443")]
pub struct ServerUrlError(&'static str);

/// A server, whom to trust there, and who calls.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it is.
    pub server: ServerUrl,
    /// The CAs of its certificate (PEM); those that this machine trusts when it is left out.
    pub ca_file: Option<PathBuf>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// A token, when there is no file.
    pub token: Option<String>,
}

impl ManagementClient {
    /// A caller for a server that is not of this machine's data folder. Nothing is called yet.
    ///
    /// # Errors
    ///
    /// When there is no token, or a file is not there or not what it should be.
    pub fn of_server(remote: Remote) -> Result<Self, ManagementError> {
        let Remote { server, ca_file, token_file, token } = remote;
        let (token, token_from) = match (token_file, token) {
            (Some(file), _) => token_of(file)?,
            (None, Some(text)) => {
                let token = Token::parse(&text).map_err(ManagementError::TokenInEnvironment)?;
                (token, "LANDFALL_TOKEN".to_owned())
            }
            (None, None) => return Err(ManagementError::NoToken),
        };
        let tls = match ca_file {
            Some(file) => trusting(file, "--ca-file FILE names the CA that signed the server's certificate")?,
            None => tls::client_of_platform().map_err(ManagementError::PlatformTls)?,
        };
        Ok(Self { place: Place::At(server), tls, token, token_from, connection: None })
    }
}

/// Connects to one of the server's addresses. The caller has named it: it may be anywhere.
pub(super) async fn connect(
    server: &ServerUrl,
    tls: &Arc<ClientConfig>,
    limits: ClientLimits,
) -> Result<Client, ManagementError> {
    let nobody = |source| ManagementError::NothingAnswersAt { server: server.clone(), source };
    let outside = Outside { tls: Some(Arc::clone(tls)), reach: Reach::Anywhere, limits };
    outside.connect(&server.host, server.port).await.map_err(|error| match error {
        OutsideError::Name { source, .. } | OutsideError::Client(ClientError::Connect { source, .. }) => nobody(source),
        OutsideError::NoHost | OutsideError::NoAddress { .. } | OutsideError::Private { .. } => {
            nobody(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"))
        }
        OutsideError::Client(other) => super::of_connection(other, "--ca-file (or LANDFALL_CA_FILE)"),
    })
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let uri: Uri = text.parse().map_err(|_| ServerUrlError("this is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(ServerUrlError("a server has a host"))?;
        if uri.scheme_str() != Some("https") {
            return Err(ServerUrlError("a server is called by https"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(ServerUrlError("an address has no path; /api/v1 is added"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ServerUrlError("an address has no user name"));
        }
        Ok(Self { host: bare(host).to_owned(), port: uri.port_u16().unwrap_or(HTTPS) })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "https://[{host}]:{port}") } else { write!(f, "https://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_a_port_and_nothing_else() {
        for (text, shown) in [
            ("https://dps.example.com:9443", "https://dps.example.com:9443"),
            ("https://dps.example.com/", "https://dps.example.com:443"),
            ("https://192.0.2.1:9443", "https://192.0.2.1:9443"),
            ("https://[::1]:9443", "https://[::1]:9443"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), shown);
        }
        for bad in
            ["dps.example.com", "http://h:1", "https://", "https://h/api/v1", "https://u@h", "https://h:1/?a", "a b"]
        {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_without_a_token_is_told_where_one_goes() {
        let server = "https://dps.example.com:9443".parse().unwrap();
        let remote = Remote { server, ca_file: None, token_file: None, token: None };
        let error = ManagementClient::of_server(remote.clone()).err().unwrap().to_string();
        assert!(error.contains("--token-file") && error.contains("LANDFALL_TOKEN"), "{error}");
        let error = ManagementClient::of_server(Remote { token: Some("x".into()), ..remote }).err().unwrap();
        assert!(error.to_string().starts_with("LANDFALL_TOKEN holds no token"), "{error}");
    }
}
