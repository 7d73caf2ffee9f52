//! Requests of every kind of credential, changed in any place.
//!
//! A good request of each kind is changed (bytes flipped, cut, doubled, swapped with those of another) in its path, its
//! token or its body, and sent over the real listener. Whatever comes of it is an answer that is not "our fault": a panic
//! would close the connection, and a fault would be a 500.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, Method};
use landfall::client::{self, Client};
use landfall::config::DirectoryConfig;
use landfall::config::IssuerConfig;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_domain::names::{DirectoryName, IssuerName};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::https::Place;
use crate::world::{World, group};

/// What was answered.
#[derive(Debug, Default)]
pub struct Report {
    /// How often each status.
    pub statuses: BTreeMap<u16, u64>,
    /// What was our fault: the requests, as they were sent.
    pub faults: Vec<String>,
}

/// Sends so many changed requests.
///
/// # Errors
///
/// When nothing can be sent at all.
pub async fn send(requests: u64, seed: u64) -> Result<Report, String> {
    let mut world = World::with(|config| {
        config.passwords.enabled = true;
        // Each that is tried costs as much as a hundred of the others.
        config.limits.throttle.password_per_minute = 600;
        config.limits.throttle.password_address_per_minute = 600;
        config.limits.throttle.password_account_per_minute = 600;
    })
    .await;
    issue_certificates(&mut world).await?;
    trust_a_directory(&mut world).await?;
    let originals = originals(&world).await?;
    let mut report = Report::default();
    let mut tasks = tokio::task::JoinSet::new();
    let share = requests.div_ceil(LANES);
    let certified = world.device("certified").await;
    for lane in 0..LANES {
        let lane = Lane {
            address: world.server().device_addr,
            tls: if lane % 2 == 0 { world.tls(None) } else { Arc::clone(&certified.tls) },
            scope: world.scope.to_string(),
            originals: originals.clone(),
            chance: Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(lane)),
        };
        tasks.spawn(lane.run(share));
    }
    while let Some(done) = tasks.join_next().await {
        let lane = done.map_err(|error| error.to_string())??;
        for (status, count) in lane.statuses {
            *report.statuses.entry(status).or_default() += count;
        }
        report.faults.extend(lane.faults);
    }
    // It still serves.
    let device = world.device("after-all-of-it").await;
    if device.register().await.status != 200 {
        report.faults.push("a good device is not served any more".to_owned());
    }
    Ok(report)
}

/// A good request.
#[derive(Clone)]
struct Original {
    id: String,
    authorization: Option<String>,
    body: String,
}

/// One of each kind. Every other connection shows a certificate, which no change reaches: certificates have their own tests.
async fn originals(world: &World) -> Result<Vec<Original>, String> {
    let without_x509 = |member: &str, value: Value| {
        let mut enrollment = group("factory");
        if let Some(members) = enrollment.as_object_mut() {
            members.remove("x509");
        }
        enrollment[member] = value;
        enrollment
    };
    let told = world.put("enrollments/shared", &without_x509("symmetricKey", json!({}))).await;
    world.put("enrollment-groups/shared", &without_x509("symmetricKey", json!({}))).await;
    world.record("shared", None).await;
    let key = told["symmetricKey"]["primaryKey"].as_str().and_then(|key| STANDARD.decode(key).ok()).unwrap_or_default();
    let expires = Ambient::system().now().as_secs() + 100_000;
    let resource = format!("{}%2Fregistrations%2Fshared", world.scope);
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), format!("{resource}\n{expires}").as_bytes());
    let signature = STANDARD.encode(signed).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let shared = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration");
    let (rules, bearer) = bearer(expires).await?;
    world.put("enrollment-groups/tokens", &without_x509("token", rules)).await;
    world.record("token", None).await;
    let accounts = json!({ "name": "fleet", "accounts": "users", "anyAccount": true });
    world.put("enrollment-groups/accounts", &without_x509("directory", accounts)).await;
    // It is of another day; what is changed in it is read all the same.
    let ticket = std::fs::read_to_string(crate::world::in_tests("vectors/kerberos/dev-1.token"));
    let ticket = format!("Negotiate {}", ticket.map_err(|error| error.to_string())?.trim());
    let area = storage_key(0xc1);
    world.put("enrollments/chip", &without_x509("tpm", json!({ "endorsementKey": area }))).await;
    let chip = json!({ "registrationId": "chip", "tpm": { "endorsementKey": area, "storageRootKey": area } });
    let password = json!({ "password": "a long enough password" });
    world.put("enrollments/basic", &without_x509("password", password)).await;
    let basic = format!("Basic {}", STANDARD.encode("basic:a long enough password"));
    let failed = |error: rcgen::Error| error.to_string();
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "certified");
    let csr = STANDARD.encode(params.serialize_request(&key).map_err(failed)?.der());
    let csr = json!({ "registrationId": "certified", "csr": csr });
    let certificate =
        |name: &str| std::fs::read(crate::world::in_tests("vectors/tpm-swtpm").join(name)).unwrap_or_default();
    let made_chip = json!({ "registrationId": "made-chip", "tpm": {
        "endorsementKey": area, "storageRootKey": area, "endorsementCertificate": STANDARD.encode(certificate("ek-rsa2048.crt")),
    } });
    let root = landfall_attestation::x509::pem::text_of(&certificate("root.der"));
    world.put("enrollment-groups/makers", &without_x509("tpm", json!({ "roots": [root] }))).await;
    let plain = |id: &str| json!({ "registrationId": id, "payload": { "a": [1, 2.5, "x", null] } }).to_string();
    Ok(vec![
        Original { id: "basic".to_owned(), authorization: Some(basic), body: plain("basic") },
        Original { id: "certified".to_owned(), authorization: None, body: csr.to_string() },
        Original { id: "made-chip".to_owned(), authorization: None, body: made_chip.to_string() },
        Original { id: "nobody".to_owned(), authorization: None, body: plain("nobody") },
        Original { id: "certified".to_owned(), authorization: None, body: plain("certified") },
        Original { id: "shared".to_owned(), authorization: Some(shared.clone()), body: plain("shared") },
        Original { id: "token".to_owned(), authorization: Some(bearer), body: plain("token") },
        Original { id: "dev-1".to_owned(), authorization: Some(ticket), body: plain("dev-1") },
        Original { id: "chip".to_owned(), authorization: None, body: chip.to_string() },
        Original { id: "chip".to_owned(), authorization: Some(shared), body: chip.to_string() },
    ])
}

/// An identity provider whose keys can be had, as a group relies on it, and one of its tokens.
async fn bearer(expires: u64) -> Result<(Value, String), String> {
    let provider = Place::start().await;
    let issuer = provider.url("");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|error| error.to_string())?;
    let (x, y) = pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k1" });
    // One answer for both questions: what the issuer is, and what its keys are.
    let said = json!({ "issuer": issuer, "jwks_uri": provider.url("/keys"), "keys": [key] });
    provider.answers(200, said.to_string().as_bytes());
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" }));
    let text = format!("{head}.{}", part(json!({ "iss": issuer, "aud": "a", "exp": expires, "sub": "token" })));
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).map_err(|error| error.to_string())?;
    let rules = json!({ "issuer": issuer, "audiences": ["a"], "caCertificate": provider.certificate });
    Ok((rules, format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Has a directory opened tickets with a keytab; nobody answers where it is asked.
async fn trust_a_directory(world: &mut World) -> Result<(), String> {
    let root = world.folder.root();
    std::fs::write(root.join("directory-ca.pem"), &world.factory.certificate_pem).map_err(|error| error.to_string())?;
    std::fs::write(root.join("directory.password"), "a password").map_err(|error| error.to_string())?;
    let name: DirectoryName = "fleet".parse().map_err(|error| format!("{error}"))?;
    let config = DirectoryConfig {
        keytab: crate::world::in_tests("vectors/kerberos/http.keytab"),
        ldaps: "ldaps://localhost:1".to_owned(),
        ca_file: "directory-ca.pem".into(),
        base: "dc=fleet,dc=test".to_owned(),
        bind_dn: "cn=reader,dc=fleet,dc=test".to_owned(),
        password_file: "directory.password".into(),
        scopes: None,
    };
    world.restart_with(|all| drop(all.directory.insert(name, config))).await;
    Ok(())
}

/// Has the group of the factory's devices give certificates.
async fn issue_certificates(world: &mut World) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let authority = Authority::root("Fleet CA", Ambient::system().now(), 30).map_err(|error| failed(&error))?;
    let root = world.folder.root();
    std::fs::write(root.join("fleet-ca.pem"), &authority.certificate_pem).map_err(|error| failed(&error))?;
    std::fs::write(root.join("fleet-ca.key"), authority.key_pem()).map_err(|error| failed(&error))?;
    let name: IssuerName = "fleet".parse().map_err(|error| failed(&error))?;
    world
        .restart_with(|config| {
            drop(config.issuing.insert(name, IssuerConfig::of_files("fleet-ca.pem", "fleet-ca.key")))
        })
        .await;
    let mut devices = group("factory");
    devices["certificateIssuer"] = "fleet".into();
    world.put("enrollment-groups/devices", &devices).await;
    Ok(())
}

/// The public area of a storage key (RSA-2048) whose modulus is this byte over and over, base64.
pub fn storage_key(byte: u8) -> String {
    let mut area = vec![0, 1, 0, 0x0b, 0, 3, 4, 0x72, 0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 1, 0];
    area.extend([byte; 256]);
    let size = u16::try_from(area.len()).unwrap_or_default().to_be_bytes();
    STANDARD.encode([size.as_slice(), &area].concat())
}

struct Lane {
    address: std::net::SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    scope: String,
    originals: Vec<Original>,
    chance: Chance,
}

impl Lane {
    async fn run(mut self, requests: u64) -> Result<Report, String> {
        let mut report = Report::default();
        let mut connection: Option<Client> = None;
        for number in 0..requests {
            // A connection carries 1000 requests.
            if number % 900 == 0 || connection.is_none() {
                let opened = Client::connect(self.address, "localhost", Arc::clone(&self.tls)).await;
                connection = Some(opened.map_err(|error| error.to_string())?);
            }
            let (method, path, authorization, body) = self.draw();
            let mut headers = client::headers(&[("content-type", "application/json")]);
            if let Some(value) = authorization.as_ref().and_then(|text| HeaderValue::from_bytes(text).ok()) {
                headers.insert(http::header::AUTHORIZATION, value);
            }
            let Some(open) = connection.as_mut() else { continue };
            let shown = || {
                let token = authorization.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
                format!("{method} {path} {token:?} {:?}", String::from_utf8_lossy(&body))
            };
            match open.send(method.clone(), &path, headers, body.clone()).await {
                Ok(answer) => {
                    *report.statuses.entry(answer.status.as_u16()).or_default() += 1;
                    if answer.status == 500 {
                        report.faults.push(shown());
                    }
                    if matches!(answer.status.as_u16(), 400 | 408 | 413 | 431) {
                        // The server may close after these.
                        connection = None;
                    }
                }
                // The path is none that a client could send.
                Err(client::ClientError::Request(_)) => {}
                Err(error) => {
                    report.faults.push(format!("{error}: {}", shown()));
                    connection = None;
                }
            }
        }
        Ok(report)
    }

    fn draw(&mut self) -> (Method, String, Option<Vec<u8>>, Vec<u8>) {
        let original = self.chance.pick(&self.originals).cloned();
        let Some(original) = original else { return (Method::GET, "/".to_owned(), None, Vec::new()) };
        let mut path = format!("/{}/registrations/{}/register?api-version=2021-06-01", self.scope, original.id);
        let mut method = Method::PUT;
        if self.chance.percent(20) {
            method = Method::GET;
            path = path.replace("/register?", "/operations/4.0123456789abcdef.01a20a56-fd99-7734-b34b-85351176fcfe?");
        } else if self.chance.percent(10) {
            method = Method::POST;
            path = path.replace("/register?", "?");
        }
        let mut authorization = original.authorization.map(String::into_bytes);
        let mut body = original.body.into_bytes();
        for _ in 0..self.chance.between(1, 4) {
            match self.chance.between(0, 10) {
                0..4 => self.chance.change(&mut body),
                4..9 => match &mut authorization {
                    Some(text) => self.chance.change(text),
                    None => self.chance.change(&mut body),
                },
                _ => {
                    let mut bytes = path.into_bytes();
                    self.chance.change(&mut bytes);
                    path = bytes
                        .iter()
                        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '~' })
                        .collect();
                    if !path.starts_with('/') {
                        path.insert(0, '/');
                    }
                }
            }
        }
        (method, path, authorization, body)
    }
}

/// Connections at once.
const LANES: u64 = 8;
