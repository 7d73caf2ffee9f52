//! A place on the web, as a server on this machine: whatever is asked for, it answers the same.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The server. It serves until the test ends.
pub struct Place {
    /// Its port on 127.0.0.1; its name is `localhost`.
    pub port: u16,
    /// The certificate that it is trusted by, PEM.
    pub certificate: String,
    scheme: &'static str,
    answer: Arc<Mutex<(u16, Vec<u8>)>>,
    asked: Arc<Mutex<usize>>,
}

impl Place {
    /// Starts one that answers 404.
    pub async fn start() -> Self {
        Self::over("https").await
    }

    /// Starts one that speaks HTTP in the clear.
    pub async fn without_tls() -> Self {
        Self::over("http").await
    }

    async fn over(scheme: &'static str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (answer, asked) = (Arc::new(Mutex::new((404, Vec::new()))), Arc::new(Mutex::new(0)));
        let this =
            Self { port, certificate: made.cert.pem(), scheme, answer: Arc::clone(&answer), asked: Arc::clone(&asked) };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = match scheme {
                    "https" => match acceptor.accept(stream).await {
                        Ok(stream) => serve(stream, &answer, &asked).await,
                        Err(_) => continue,
                    },
                    _ => serve(stream, &answer, &asked).await,
                };
                drop(served);
            }
        });
        this
    }

    /// From now on it answers so.
    pub fn answers(&self, status: u16, body: &[u8]) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_vec());
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An address there.
    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.port)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<(u16, Vec<u8>)>,
    asked: &Mutex<usize>,
) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    *asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let (status, body) = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.into_bytes(), body].concat()).await?;
    stream.shutdown().await
}
