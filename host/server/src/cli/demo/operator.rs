//! The operator of the demo. Everything goes through the management API, as from another machine.

use std::path::Path;

use http::{HeaderMap, HeaderValue, Method};
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::IdScope;
use serde_json::{Value, json};

use super::DemoError;
use crate::client::management::{ManagementClient, ManagementError};
use crate::config::Config;
use crate::folder::DataFolder;
use crate::server::Server;

/// A caller of the management API with a token.
pub(super) struct Operator {
    client: ManagementClient,
    folder: DataFolder,
    config: Config,
    scope: IdScope,
    now: Timestamp,
}

impl Operator {
    /// The operator of a server that this process runs.
    pub(super) fn of(folder: &DataFolder, server: &Server) -> Result<Self, DemoError> {
        let mut config = server.service.config().clone();
        config.server.management_listen = server.management_addr;
        let client = ManagementClient::of_folder(folder.clone(), &config, None)?;
        let (scope, now) = (config.server.scope.clone(), server.service.ambient().now());
        Ok(Self { client, folder: folder.clone(), config, scope, now })
    }

    /// A caller whose token can only import one manufacturer's records. The token is handed over in a file.
    pub(super) async fn manufacturer(&mut self, name: &str, file: &Path) -> Result<Self, DemoError> {
        let wish = json!({ "role": "manufacturer", "manufacturer": name, "scope": self.scope, "note": "demo" });
        let token = text(&self.client.post("/tokens", &wish).await?, "token")?;
        DataFolder::write_new(file, token.as_bytes(), true)?;
        let client = ManagementClient::of_folder(self.folder.clone(), &self.config, Some(file))?;
        let (folder, config, scope) = (self.folder.clone(), self.config.clone(), self.scope.clone());
        Ok(Self { client, folder, config, scope, now: self.now })
    }

    /// Imports records. Answers the number of new ones.
    pub(super) async fn import(&mut self, lines: String) -> Result<u64, DemoError> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let path = format!("/scopes/{}/records", self.scope);
        let answer = self.client.call(Method::POST, &path, headers, lines.into_bytes()).await?;
        let report: Value = answer.json()?;
        report.get("added").and_then(Value::as_u64).ok_or_else(|| DemoError::unexpected("an import report", &report))
    }

    /// Creates or changes something in the id scope.
    pub(super) async fn put(&mut self, what: &str, content: &Value) -> Result<Value, DemoError> {
        Ok(self.client.put(&format!("/scopes/{}/{what}", self.scope), content).await?)
    }

    /// Uploads a CA and proves the possession of its key.
    pub(super) async fn upload_authority(&mut self, name: &str, authority: &Authority) -> Result<(), DemoError> {
        self.put(&format!("authorities/{name}"), &json!({ "certificate": authority.certificate_pem })).await?;
        let path = format!("/scopes/{}/authorities/{name}", self.scope);
        let code = self.client.post(&format!("{path}/verification-code"), &json!({})).await?;
        let proof = authority.device(&text(&code, "verificationCode")?, self.now, 1)?;
        self.client.post(&format!("{path}/verify"), &json!({ "certificate": proof.certificate_pem })).await?;
        Ok(())
    }

    /// The ledger entry of a request. A refusal is written shortly after its answer, so this waits for it.
    pub(super) async fn decision(&mut self, tracking_id: &str) -> Result<Value, DemoError> {
        let path = format!("/decisions/{tracking_id}");
        for _ in 0..LEDGER_TRIES {
            match self.client.get(&path).await {
                Err(ManagementError::Problem(problem)) if problem.status == 404 => {
                    tokio::time::sleep(LEDGER_PAUSE).await
                }
                answer => return Ok(answer?),
            }
        }
        Ok(self.client.get(&path).await?)
    }
}

fn text(answer: &Value, member: &str) -> Result<String, DemoError> {
    let found = answer.get(member).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| DemoError::unexpected(member, answer))
}

const LEDGER_TRIES: usize = 50;
const LEDGER_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
