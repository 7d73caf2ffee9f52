//! `landfall demo`: the main job from start to end, on this machine, without any set-up and without mocks.
//!
//! A factory makes a CA and devices. A server is started in a temporary folder, as `init` and `serve` would. The
//! manufacturer imports its records with its own token. An operator links hubs and makes a group. Then the devices
//! register over mutual TLS 1.3, each over its own connection, all at once. At last four devices come that must be
//! refused.

use landfall_domain::clock::{Ambient, Stopwatch};
use landfall_domain::names::NameError;
use landfall_store::StoreError;
use serde_json::{Value, json};

use crate::client::ClientError;
use crate::client::management::ManagementError;
use crate::client::tls::ClientTlsError;
use crate::config::{ConfigError, Server as Addresses};
use crate::folder::DataFolder;
use crate::init;
use crate::server::{ServeError, Server};
use crate::telemetry::{self, LogSettingError};
use crate::tls::TlsError;

mod device;
mod factory;
mod operator;
mod print;

use device::{Device, Told};
use factory::Factory;
use operator::Operator;

/// Why the demo did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("a file of the demo: {0}")]
    Io(#[from] std::io::Error),
    /// A data folder.
    #[error(transparent)]
    Init(#[from] init::InitError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] landfall_attestation::x509::make::MakeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A client's certificate.
    #[error(transparent)]
    ClientTls(#[from] ClientTlsError),
    /// The management API.
    #[error(transparent)]
    Management(#[from] ManagementError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A generated name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The log's settings in the environment are not valid.
    #[error(transparent)]
    Log(LogSettingError),
    /// A device's task ended early.
    #[error("a device's task ended: {0}")]
    Interrupted(tokio::task::JoinError),
    /// Something is not as the demo expects; this is a bug.
    #[error("{0}; this is a bug in Landfall, please report it")]
    Unexpected(String),
}

impl DemoError {
    fn unexpected(what: &str, instead: &Value) -> Self {
        Self::Unexpected(format!("no {what} in {instead}"))
    }
}

/// Runs the demo.
pub(super) async fn run() -> Result<(), DemoError> {
    // Refusals are a part of the demo, and are printed at the right place.
    telemetry::start("off").map_err(DemoError::Log)?;
    let began = Stopwatch::system();
    let ambient = Ambient::system();
    let place = tempfile::tempdir().map_err(DemoError::Io)?;
    print::title();

    let factory = Factory::build(ambient.now())?;
    print::step(
        "factory",
        &format!("a CA and {} devices with certificates of their own (P-256)", factory.devices.len()),
    );

    let scope = "0neDEMO".parse()?;
    let any_port = ([127, 0, 0, 1], 0).into();
    let addresses =
        Addresses { hostname: "localhost".to_owned(), scope, device_listen: any_port, management_listen: any_port };
    let made = init::init(&place.path().join("landfall-data"), &addresses, &ambient).await?;
    let config = super::config_to_serve(&made.folder)?;
    let server = Server::start(&made.folder, config, ambient).await?;
    print::step(
        "server",
        &format!("devices at https://{}, management at https://{}", server.device_addr, server.management_addr),
    );

    let shown = play(&factory, &made.folder, &server).await;
    server.stop().await?;
    shown?;
    print::last(began.elapsed());
    Ok(())
}

async fn play(factory: &Factory, folder: &DataFolder, server: &Server) -> Result<(), DemoError> {
    let mut operator = Operator::of(folder, server)?;
    let mut manufacturer = operator.manufacturer(MANUFACTURER, &folder.root().join("acme.token")).await?;

    let imported = manufacturer.import(factory.records()).await?;
    operator.put(&format!("records/{}/state", factory::QUARANTINED), &json!({ "state": "quarantined" })).await?;
    print::step(
        "records",
        &format!("{imported} manufacturing records, imported with the token of {MANUFACTURER}; one quarantined since"),
    );

    for (name, weight, capacity, region) in HUBS {
        let hub = json!({ "weight": weight, "capacity": capacity, "labels": { "region": region } });
        operator.put(&format!("hubs/{name}"), &hub).await?;
    }
    print::step("hubs", "eu-1 (weight 3, room for 6), us-1 (weight 2, room for 4), ap-1 (weight 1, room for 2)");

    operator.upload_authority("factory", &factory.authority).await?;
    operator.put("enrollment-groups/pumps", &group()).await?;
    print::step("group", "pumps: certificates of the factory's CA; `weighted` chooses the hub, `table` the place");

    let devices = Device::all(folder, server, &factory.devices)?;
    let mut told = Vec::new();
    for registering in devices.into_iter().map(|device| tokio::spawn(device.register())) {
        told.push(registering.await.map_err(DemoError::Interrupted)??);
    }
    told.sort_by(|a: &Told, b: &Told| a.device.cmp(&b.device));
    let mut rows = Vec::new();
    for told in told {
        let decision = operator.decision(&told.tracking_id).await?;
        rows.push(print::Row::of(&told, &decision)?);
    }
    print::registered(&rows);

    let mut refusals = Vec::new();
    for (what, issued) in &factory.unwelcome {
        let told = Device::one(folder, server, issued)?.register().await?;
        let entry = operator.decision(&told.tracking_id).await?;
        refusals.push(print::Refusal::of(what, &told, &entry)?);
    }
    print::refused(&refusals);
    Ok(())
}

/// The enrollment group, as an operator would send it.
fn group() -> Value {
    json!({
        "x509": { "authorities": { "primary": "factory" } },
        "allocation": {
            "selection": { "plugin": "weighted", "settings": { "alternates": 2 } },
            "grouping": [{ "plugin": "table", "settings": { "rules": [
                {
                    "name": "prototypes",
                    "when": [{ "fact": "serial", "prefix": "X" }],
                    "group": ["lab"],
                    "desired": { "telemetry": { "seconds": 5 } }
                },
                {
                    "name": "customers",
                    "group": ["{fact.customer}", "{fact.site}"],
                    "tags": { "model": "{fact.model}" },
                    "desired": { "telemetry": { "seconds": 60 } }
                }
            ] } }]
        }
    })
}

/// The manufacturer of the devices.
const MANUFACTURER: &str = "acme";

/// Name, weight, capacity and region. The hubs have room for exactly the devices that must be admitted.
const HUBS: [(&str, u32, u64, &str); 3] =
    [("eu-1.hubs.example", 3, 6, "eu"), ("us-1.hubs.example", 2, 4, "us"), ("ap-1.hubs.example", 1, 2, "ap")];
