//! The operator of the demo: everything goes through the management API, as it would from another machine.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::client::{self, Client};
use crate::clock::Timestamp;
use crate::folder::DataFolder;
use crate::names::IdScope;
use crate::server::Server;
use crate::tls::make::Authority;

/// Somebody with a token.
pub(super) struct Operator {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: String,
    scope: IdScope,
    now: Timestamp,
}

impl Operator {
    /// The operator of a server that this process runs.
    pub(super) fn of(folder: &DataFolder, token: &str, server: &Server) -> Result<Self, CliError> {
        Ok(Self {
            address: server.management_addr,
            tls: client::tls::trusting(&folder.ca_certificate(), None)?,
            token: token.to_owned(),
            scope: server.service.config.server.scope.clone(),
            now: server.service.ambient.now(),
        })
    }

    /// Somebody with a token that can only import one manufacturer's records.
    pub(super) async fn manufacturer(&self, name: &str) -> Result<Self, CliError> {
        let wish = json!({ "role": "manufacturer", "manufacturer": name, "scope": self.scope, "note": "demo" });
        let answer = self.call(Method::POST, "/api/v1/tokens", "application/json", wish.to_string()).await?;
        let token = text(&answer, "token")?;
        Ok(Self { address: self.address, tls: Arc::clone(&self.tls), token, scope: self.scope.clone(), now: self.now })
    }

    /// Imports records; answers how many are new.
    pub(super) async fn import(&self, lines: &str) -> Result<u64, CliError> {
        let path = format!("/api/v1/scopes/{}/records", self.scope);
        let report = self.call(Method::POST, &path, "application/x-ndjson", lines.to_owned()).await?;
        report.get("added").and_then(Value::as_u64).ok_or_else(|| CliError::unexpected("an import report", &report))
    }

    /// Makes or changes something of the scope.
    pub(super) async fn put(&self, what: &str, content: &Value) -> Result<Value, CliError> {
        let path = format!("/api/v1/scopes/{}/{what}", self.scope);
        self.call(Method::PUT, &path, "application/json", content.to_string()).await
    }

    /// Changes the state of a record.
    pub(super) async fn set_state(&self, id: &str, state: &str) -> Result<(), CliError> {
        self.put(&format!("records/{id}/state"), &json!({ "state": state })).await.map(drop)
    }

    /// Uploads a CA and proves that its key is at hand.
    pub(super) async fn upload_authority(&self, name: &str, authority: &Authority) -> Result<(), CliError> {
        self.put(&format!("authorities/{name}"), &json!({ "certificate": authority.certificate_pem })).await?;
        let path = format!("/api/v1/scopes/{}/authorities/{name}", self.scope);
        let code = self.call(Method::POST, &format!("{path}/verification-code"), "application/json", String::new()).await?;
        let proof = authority.device(&text(&code, "verificationCode")?, self.now, 1)?;
        let proof = json!({ "certificate": proof.certificate_pem });
        self.call(Method::POST, &format!("{path}/verify"), "application/json", proof.to_string()).await.map(drop)
    }

    /// The ledger entry of a request. A refusal is written a moment after its answer.
    pub(super) async fn decision(&self, tracking_id: &str) -> Result<Value, CliError> {
        let path = format!("/api/v1/decisions/{tracking_id}");
        for _ in 0..LEDGER_TRIES {
            match self.call(Method::GET, &path, "application/json", String::new()).await {
                Err(CliError::Problem { status: 404, .. }) => tokio::time::sleep(LEDGER_PAUSE).await,
                answer => return answer,
            }
        }
        self.call(Method::GET, &path, "application/json", String::new()).await
    }

    async fn call(&self, method: Method, path: &str, content_type: &str, body: String) -> Result<Value, CliError> {
        let mut client = Client::connect(self.address, "localhost", Arc::clone(&self.tls)).await?;
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        let answer = client.send(method, path, &headers, body.into_bytes()).await?;
        CliError::of_answer(&answer)
    }
}

fn text(answer: &Value, member: &str) -> Result<String, CliError> {
    let found = answer.get(member).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| CliError::unexpected(member, answer))
}

const LEDGER_TRIES: usize = 50;
const LEDGER_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
