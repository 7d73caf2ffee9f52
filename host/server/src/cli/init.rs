//! `landfall init`.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use landfall_domain::clock::Ambient;
use serde_json::json;

use super::{CliError, Common};
use crate::config::Server;
use crate::init::{init, random_scope};

/// What `init` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall init --data ./dps --hostname dps.example.com --scope 0ne00A1B2C3
  landfall init --data ./dps --hostname 192.0.2.7 --device-listen 0.0.0.0:443

Nothing that is there is written over. Without --scope a scope is made up. Without --data the folder is ./landfall-data.")]
pub(super) struct InitArgs {
    /// The host name, or the IP address, under which devices call this server.
    #[arg(long, value_name = "NAME")]
    hostname: String,
    /// Where devices are served; by default on every address, port 8443 (0.0.0.0:8443).
    #[arg(long, value_name = "ADDRESS:PORT")]
    device_listen: Option<SocketAddr>,
    /// Where the management API is; by default on this machine only, port 9443 (127.0.0.1:9443).
    #[arg(long, value_name = "ADDRESS:PORT")]
    management_listen: Option<SocketAddr>,
}

/// Makes the folder and prints what to do next.
pub(super) async fn run(common: &Common, args: InitArgs) -> Result<(), CliError> {
    let ambient = Ambient::system();
    let scope = match &common.scope {
        Some(scope) => scope.clone(),
        None => random_scope(&ambient)?,
    };
    let mut server = Server::new(args.hostname, scope);
    server.device_listen = args.device_listen.unwrap_or(server.device_listen);
    server.management_listen = args.management_listen.unwrap_or(server.management_listen);
    let (devices, management) = (server.device_listen, server.management_listen);
    if devices.port() == management.port() && devices.port() != 0 && overlap(devices.ip(), management.ip()) {
        return Err(CliError::Usage(format!(
            "devices ({devices}) and management ({management}) cannot both have port {}: choose another with \
             --device-listen or --management-listen",
            devices.port()
        )));
    }
    let made = init(&common.data, &server, &ambient).await?;

    let out = common.output();
    // JSON must be UTF-8, but a path need not be.
    let path_text = |path: std::path::PathBuf| path.display().to_string();
    let (root, folder) = (made.folder.root().display(), &made.folder);
    out.say(format!(
        "{root} is ready.\n\n\
         id scope       {}\n\
         configuration  {}\n\
         server's CA    {}  (devices trust this)\n\
         operator       {}  (keep this secret)\n\n\
         Next:\n  landfall serve --data {root}",
        made.scope,
        folder.config().display(),
        folder.ca_certificate().display(),
        folder.operator_token().display(),
    ))?;
    out.value(&json!({
        "dataFolder": path_text(folder.root().to_owned()),
        "scope": made.scope,
        "configuration": path_text(folder.config()),
        "caCertificate": path_text(folder.ca_certificate()),
        "operatorToken": path_text(folder.operator_token()),
    }))
}

/// Whether two listeners on the same port would conflict.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}
