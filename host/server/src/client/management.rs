//! The management API, as the command line calls it.
//!
//! A data folder says all that is needed: where the server listens, which CA signed its certificate, and the
//! operator's token. Where there is none, as in the CI of a policy, an address, a CA and a token do ([`Remote`]). Calls
//! answer JSON; whatever the server refuses comes back as its problem document (RFC 9457).

mod problem;
mod remote;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};
use landfall_domain::secret::{Token, TokenError};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::Value;

pub use self::problem::{Problem, ProblemPart};
pub use self::remote::{Remote, ServerUrl, ServerUrlError};
use super::tls::ClientTlsError;
use super::{Answer, Client, ClientError, ClientLimits, RequestBody, tls};
use crate::config::{Config, ConfigError};
use crate::folder::DataFolder;

/// A caller of the management API.
pub struct ManagementClient {
    place: Place,
    tls: Arc<ClientConfig>,
    token: Token,
    /// Where the token is from, for people.
    token_from: String,
    connection: Option<Client>,
}

/// Where the server is.
enum Place {
    /// The one that serves a data folder of this machine.
    OfFolder {
        folder: DataFolder,
        address: SocketAddr,
        server: String,
    },
    At(ServerUrl),
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ManagementError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the folder.
    #[error("cannot read {path}: {source}; {advice}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The token's file holds no token.
    #[error("{path} holds no token: {source}")]
    Token {
        path: PathBuf,
        /// What one looks like.
        source: TokenError,
    },
    /// The CA's file holds no certificate.
    #[error("{path}: {source}")]
    Tls {
        path: PathBuf,
        /// What is wrong.
        source: ClientTlsError,
    },
    /// Nobody is there.
    #[error("nothing answers at {address}; start it with: landfall serve --data {folder}")]
    NothingAnswers {
        address: SocketAddr,
        /// The data folder.
        folder: PathBuf,
    },
    /// Nobody is there, and no data folder of this machine is about it.
    #[error(
        "nothing answers at {server}: {source}; a server's management API has port 9443 and answers only its own machine \
         unless server.management_listen in its landfall.toml says otherwise"
    )]
    NothingAnswersAt { server: ServerUrl, source: std::io::Error },
    /// A server without a data folder, and no token for it.
    #[error(
        "no token: --server goes with --token-file FILE, or with LANDFALL_TOKEN_FILE or LANDFALL_TOKEN in the environment"
    )]
    NoToken,
    /// The text of the environment is no token.
    #[error("LANDFALL_TOKEN holds no token: {0}")]
    TokenInEnvironment(TokenError),
    /// The certificates that this machine trusts.
    #[error("{0}; name the CA of the server's certificate with --ca-file FILE")]
    PlatformTls(ClientTlsError),
    /// The server does not know the token.
    #[error(
        "the server does not take the token in {from}: it was revoked, has ended, or is another server's; --token-file FILE \
         names another, and where no operator has one any more, `landfall token recover` makes one"
    )]
    TokenNotTaken {
        /// Its file, or the variable of the environment.
        from: String,
    },
    /// Its certificate is of a CA that is not trusted here.
    #[error(
        "the certificate of {server} is not of the CA that is trusted here: {trusted}; where the server has a certificate of \
         another CA, put that CA's certificate there (PEM), or name it with --server and --ca-file"
    )]
    UnknownCa {
        server: String,
        /// The CA that is trusted, by its file.
        trusted: String,
    },
    /// The exchange failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server said no.
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl ManagementClient {
    /// A caller for the server of a data folder, as the operator of the folder or as the holder of the token in
    /// `token_file`. Nothing is called yet.
    ///
    /// # Errors
    ///
    /// When a file of the folder is not there or not what it should be.
    pub fn open(root: &Path, token_file: Option<&Path>) -> Result<Self, ManagementError> {
        let folder = DataFolder::at(root);
        let config = Config::load(&folder.config())?;
        Self::of_folder(folder, &config, token_file)
    }

    /// As [`ManagementClient::open`], with a configuration that was read already.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn of_folder(folder: DataFolder, config: &Config, token_file: Option<&Path>) -> Result<Self, ManagementError> {
        let (token, token_from) = token_of(token_file.map_or_else(|| folder.operator_token(), Path::to_owned))?;
        let ca = folder.ca_certificate();
        let tls = trusting(ca, "it is the CA that signed the server's certificate; `landfall init` makes it")?;
        let address = reachable(config.server.management_listen);
        let place = Place::OfFolder { folder, address, server: config.server.hostname.clone() };
        Ok(Self { place, tls, token, token_from, connection: None })
    }

    /// Reads something.
    ///
    /// # Errors
    ///
    /// A [`ManagementError`], as for all calls.
    pub async fn get(&mut self, path: &str) -> Result<Value, ManagementError> {
        self.json(Method::GET, path, HeaderMap::new(), ()).await
    }

    /// Reads something, and its entity tag as it came.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn get_tagged(&mut self, path: &str) -> Result<(Value, Option<HeaderValue>), ManagementError> {
        let answer = self.call(Method::GET, path, HeaderMap::new(), ()).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer));
        }
        let tag = answer.headers.get(ETAG).cloned();
        Ok((answer.json()?, tag))
    }

    /// Makes of what stands what is to stand, and puts that. It is made anew when somebody else changes the thing
    /// meanwhile, so that neither change is lost. `change` is given nothing where nothing stands.
    ///
    /// # Errors
    ///
    /// What `change` says, or as [`ManagementClient::get`].
    pub async fn change<E: From<ManagementError>>(
        &mut self,
        path: &str,
        mut change: impl FnMut(Option<&Value>) -> Result<Value, E>,
    ) -> Result<Changed, E> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (before, tag) = match self.get_tagged(path).await {
                Ok((value, tag)) => (Some(value), tag),
                Err(ManagementError::Problem(problem)) if problem.status == 404 => (None, None),
                Err(error) => return Err(error.into()),
            };
            let body = change(before.as_ref())?;
            let mut over = HeaderMap::new();
            match (&before, tag) {
                (Some(_), Some(tag)) => drop(over.insert(IF_MATCH, tag)),
                (Some(_), None) => {}
                (None, _) => drop(over.insert(IF_NONE_MATCH, HeaderValue::from_static("*"))),
            }
            match self.put_if(path, &body, over).await {
                Ok(answer) => return Ok(Changed { before, answer }),
                Err(ManagementError::Problem(problem)) if problem.status == 412 && tries < MOST_TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Puts something in its place.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn put(&mut self, path: &str, body: &Value) -> Result<Value, ManagementError> {
        self.json(Method::PUT, path, of_type("application/json"), body.to_string()).await
    }

    /// Puts something in its place, under preconditions in `headers` (`If-Match`, `If-None-Match`).
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn put_if(&mut self, path: &str, body: &Value, mut headers: HeaderMap) -> Result<Value, ManagementError> {
        headers.extend(of_type("application/json"));
        self.json(Method::PUT, path, headers, body.to_string()).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value, ManagementError> {
        self.json(Method::POST, path, of_type("application/json"), body.to_string()).await
    }

    /// Takes something away.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn delete(&mut self, path: &str) -> Result<Value, ManagementError> {
        self.json(Method::DELETE, path, HeaderMap::new(), ()).await
    }

    /// Takes something away, under preconditions in `headers` (`If-Match`).
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn delete_if(&mut self, path: &str, headers: HeaderMap) -> Result<Value, ManagementError> {
        self.json(Method::DELETE, path, headers, ()).await
    }

    /// Changes parts of a thing (RFC 7396).
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn patch(&mut self, path: &str, body: &Value) -> Result<Value, ManagementError> {
        self.json(Method::PATCH, path, of_type("application/json"), body.to_string()).await
    }

    /// Sends bytes or a file.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn upload(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: impl Into<RequestBody>,
    ) -> Result<Value, ManagementError> {
        self.upload_with(method, path, of_type(content_type), body).await
    }

    /// Sends bytes or a file with these headers, the content's type among them.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn upload_with(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<RequestBody>,
    ) -> Result<Value, ManagementError> {
        self.json(method, path, headers, body).await
    }

    /// The items of a list, page after page; `path` may have a query. At most `limit` items are read.
    ///
    /// # Errors
    ///
    /// As [`ManagementClient::get`].
    pub async fn list(&mut self, path: &str, limit: usize) -> Result<Page, ManagementError> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let left = limit.saturating_sub(items.len()).clamp(1, PAGE_ITEMS);
            let after = next.as_deref().map(|next| format!("&after={}", escaped(next))).unwrap_or_default();
            let page: PageJson = {
                let answer = self.get(&format!("{path}{joint}limit={left}{after}")).await?;
                serde_json::from_value(answer).map_err(|source| ClientError::Json { status: StatusCode::OK, source })?
            };
            items.extend(page.items);
            // A page may be empty though there is more: the server looks at a bounded number of things at once. A place
            // that does not move would never end.
            let stuck = page.next.is_some() && page.next == next;
            next = page.next;
            if next.is_none() || stuck || items.len() >= limit {
                let more = next.is_some() || items.len() > limit;
                items.truncate(limit);
                return Ok(Page { items, more });
            }
        }
    }

    async fn json(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<RequestBody>,
    ) -> Result<Value, ManagementError> {
        let answer = self.call(method, path, headers, body).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer));
        }
        if answer.bytes.is_empty() { Ok(Value::Null) } else { Ok(answer.json()?) }
    }

    /// The server said no.
    fn refused(&self, answer: &Answer) -> ManagementError {
        match answer.status {
            StatusCode::UNAUTHORIZED => ManagementError::TokenNotTaken { from: self.token_from.clone() },
            _ => problem::problem(answer).into(),
        }
    }

    /// A call with headers of one's own, and its answer of whatever status.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: impl Into<RequestBody>,
    ) -> Result<Answer, ManagementError> {
        let bearer = format!("Bearer {}", self.token.expose());
        if let Ok(mut bearer) = HeaderValue::from_str(&bearer) {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let mut client = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let answer = client.send(method, &format!("{BASE}{path}"), headers, body).await?;
        self.connection = Some(client);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Client, ManagementError> {
        let limits = ClientLimits { silence: SILENCE, ..ClientLimits::default() };
        let (folder, address, server) = match &self.place {
            Place::OfFolder { folder, address, server } => (folder, *address, server),
            Place::At(server) => return remote::connect(server, &self.tls, limits).await,
        };
        let connected = Client::connect_within(address, server, Arc::clone(&self.tls), limits).await;
        connected.map_err(|error| match error {
            ClientError::Connect { .. } => {
                ManagementError::NothingAnswers { address, folder: folder.root().to_owned() }
            }
            other => of_connection(other, &folder.ca_certificate().display().to_string()),
        })
    }
}

/// Why there is no connection, where somebody answers. `trusted` says which CA the server's certificate should be of.
fn of_connection(error: ClientError, trusted: &str) -> ManagementError {
    match error {
        ClientError::Tls { server, source, .. }
            if ["UnknownIssuer", "BadSignature"].iter().any(|word| source.to_string().contains(word)) =>
        {
            ManagementError::UnknownCa { server, trusted: trusted.to_owned() }
        }
        other => other.into(),
    }
}

/// A thing before and after a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What stood there; none when it is new.
    pub before: Option<Value>,
    /// What the server answered: what stands there now.
    pub answer: Value,
}

/// The token in a file, and where it is from.
fn token_of(path: PathBuf) -> Result<(Token, String), ManagementError> {
    let text = read(&path, "--token-file FILE names another file with a token in it")?;
    let token = std::str::from_utf8(&text).map_err(|_| TokenError).and_then(Token::parse);
    match token {
        Ok(token) => Ok((token, path.display().to_string())),
        Err(source) => Err(ManagementError::Token { path, source }),
    }
}

/// A client that trusts the CAs of a file.
fn trusting(path: PathBuf, advice: &'static str) -> Result<Arc<ClientConfig>, ManagementError> {
    tls::client(&read(&path, advice)?, None).map_err(|source| ManagementError::Tls { path, source })
}

fn read(path: &Path, advice: &'static str) -> Result<Vec<u8>, ManagementError> {
    std::fs::read(path).map_err(|source| ManagementError::Read { path: path.to_owned(), source, advice })
}

/// What a list has.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Page {
    pub items: Vec<Value>,
    /// Whether there are more.
    pub more: bool,
}

#[derive(Deserialize)]
struct PageJson {
    items: Vec<Value>,
    #[serde(default)]
    next: Option<String>,
}

/// A text as one segment of a path or one value of a query (RFC 3986, section 2.3: the unreserved characters stay).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn of_type(content_type: &'static str) -> HeaderMap {
    let entry: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static(content_type));
    HeaderMap::from_iter([entry])
}

/// Where a server that listens on all addresses can be called from the same machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

const BASE: &str = "/api/v1";

/// How often a change is made anew over what somebody else has written meanwhile.
const MOST_TRIES: u32 = 100;

/// Items that are asked for at once.
const PAGE_ITEMS: usize = 1_000;

/// How long a call may seem to do nothing: compiling an interpreter, or committing a large import in one go.
const SILENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
