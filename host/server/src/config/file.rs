//! The text of a new `landfall.toml`.
//!
//! Limits are written as comments with their defaults. So a later release can change a default for everybody who has
//! not chosen a value.

use super::Server;
use super::limits::{Fact, TABLES};

pub(super) fn text(server: &Server) -> String {
    let mut text = String::from(HEAD);
    let server_keys = [
        ("hostname", quoted(&server.hostname), "The host name that devices know. It is in the server's certificate."),
        ("scope", quoted(server.scope.as_str()), "The id scope that the command line means when it is told no other."),
        ("device_listen", quoted(&server.device_listen.to_string()), "Where devices are served."),
        (
            "management_listen",
            quoted(&server.management_listen.to_string()),
            "Where the management API is. The command line calls it there; keep it away from devices.",
        ),
    ];
    text.push_str("\n[server]\n");
    for (key, value, about) in server_keys {
        text.push_str(&format!("# {about}\n{key} = {value}\n"));
    }
    text.push_str(PLUGINS);
    text.push_str(GRANTS);
    text.push_str(ISSUING);
    text.push_str(DIRECTORY);
    text.push_str(PASSWORDS);
    for (table, about, facts) in TABLES {
        text.push_str(&format!("\n#{about}\n[{table}]\n"));
        for fact in facts {
            text.push_str(&described(fact));
        }
    }
    text
}

fn described(fact: &Fact) -> String {
    let Fact { key, default, lowest, highest, unit, bounds, beyond, .. } = fact;
    let bounds = bounds.trim();
    format!("#\n# {bounds}\n# {lowest} to {highest} {unit}. Beyond: {beyond}.\n# {key} = {default}\n")
}

/// Quotes a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const PLUGINS: &str = "
# Whose policy plugins are taken.
[plugins]
# Files with the Ed25519 public keys (PEM, RFC 8410) whose signatures count, named from this folder.
# `landfall plugin key` makes a key, `landfall plugin sign` signs with it.
# trusted_keys = []
# Whether a revision is taken only with the signature of a trusted key. What comes with the binary needs none.
# require_signature = false
";

const GRANTS: &str = "
# An enrollment may name an allocation function by its https: address. This plugin asks it, with {\"url\": ADDRESS} as its
# settings: any that chooses hubs and places devices will do.
# [policy]
# function_plugin = \"webhook\"

# What policies are granted of the network. Without a grant they have none, and most need none.
# Origins are https://HOST, https://HOST:PORT or https://*.HOST. Addresses that are not public need
# allow_private_networks. Certificates are judged by the platform's roots, or by those in ca_file.
[policy.http]
# ca_file = \"/etc/ssl/our-services.pem\"
#
# [policy.http.plugins.webhook]
# allow = [\"https://functions.example.net\"]
# allow_private_networks = false
";

const DIRECTORY: &str = "
# Active Directory, whose accounts devices are: they come with a Kerberos ticket (Negotiate) for HTTP/ and the name that
# they call, and the directory says whether the account is enabled and which groups it is in. Files are named from here.
# [directory.fleet]
# keytab = \"http.keytab\"
# ldaps = \"ldaps://dc1.example.com\"
# ca_file = \"directory-ca.pem\"
# base = \"dc=example,dc=com\"
# bind_dn = \"cn=landfall,cn=users,dc=example,dc=com\"
# password_file = \"directory.password\"
# Whose groups may name it: the server's own id scope, unless others are named.
# scopes = [\"0ne00A1B2C3D\"]
";

const PASSWORDS: &str = "
# Whether devices may prove themselves by a username and a password. Not recommended: for what can do nothing better.
[passwords]
# enabled = false
";

const ISSUING: &str = "
# Who issues certificates for devices that ask for one (csr). An enrollment names its issuer.
# Files are named from this folder. The certificate's file goes on with those above it, up to the root.
# [issuing.fleet]
# certificate = \"fleet-ca.pem\"
# key = \"fleet-ca.key\"
# lifetime_hours = 720
# Whose enrollments may name it: the server's own id scope, unless others are named.
# scopes = [\"0ne00A1B2C3D\"]
#
# With the key in a PKCS#11 token:
# [issuing.fleet]
# certificate = \"fleet-ca.pem\"
# pkcs11_module = \"/usr/lib/softhsm/libsofthsm2.so\"
# pkcs11_token = \"landfall\"
# pkcs11_key = \"fleet-ca\"
# pkcs11_pin_file = \"fleet-ca.pin\"
";

const HEAD: &str = "\
# The configuration of this Landfall. It is read when `landfall serve` starts.
#
# A limit that is commented out has its default, which is what the comment shows. To change it, take the `#` away
# and write another number. `landfall config` prints what is in force.
";
