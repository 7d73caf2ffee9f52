//! `landfall bench attestation`: the cost of verifying a proof on this machine, on one core, without network and disk.

use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, EphemeralPrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use landfall_attestation::symmetric_key::{GroupKey, SasToken, SymmetricKey};
use landfall_attestation::tpm::{PublicArea, hmac_key_blob};
use landfall_domain::clock::{Ambient, Stopwatch};
use landfall_domain::names::RegistrationId;
use serde::Serialize;

use super::BenchError;
use super::handshake::{self, Costs};
use crate::cli::output::say;

/// What `bench attestation` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Enrollment groups whose keys are tried.
    #[arg(long, default_value_t = 100)]
    groups: usize,
    /// Milliseconds for each figure.
    #[arg(long, default_value_t = 500)]
    millis: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    what: String,
    micros: f64,
}

/// Measures, and prints the result.
pub(super) fn run(options: &Options, json: bool) -> Result<(), BenchError> {
    let (ambient, span) = (Ambient::system(), Duration::from_millis(options.millis));
    let mut figures = Vec::new();
    let key = |_| GroupKey::new(&SymmetricKey::generate(ambient.random()));
    let keys: Vec<GroupKey> = (0..options.groups.saturating_mul(2)).map(key).collect();
    let signature = STANDARD.encode([7; 32]);
    let token = SasToken::parse(&format!("SharedAccessSignature sr=s/registrations/pump-1&sig={signature}&se=1"));
    let id: RegistrationId = "pump-1".parse()?;
    if let Ok(token) = token {
        let micros = each(span, || keys.iter().filter(|key| key.has_let_sign(&token, &id)).count());
        let what = format!("a token tried with the keys of {} groups, none of which has signed it", options.groups);
        figures.push(Figure { what, micros });
    }
    for (kind, area) in areas() {
        let Ok(area) = PublicArea::parse(&area) else { continue };
        let key = ambient.random();
        let micros = each(span, || hmac_key_blob(&area, &area, &key, &ambient).is_ok());
        figures.push(Figure { what: format!("a TPM's challenge, both keys {kind}"), micros });
    }
    let Costs { verifying, proving, judging } = handshake::measure(&ambient, span.saturating_mul(4))?;
    for (what, micros) in [
        ("a TLS 1.3 handshake that verifies the chain (P-256, one intermediate), the server's side", verifying),
        ("a handshake here, which proves the key", proving),
        ("its certificate judged: chain read, group found, path, strict rules, 1000 revoked", judging),
    ] {
        figures.push(Figure { what: what.to_owned(), micros });
    }
    let ratio = (proving + judging) / verifying;
    if json {
        say!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        for Figure { what, micros } in figures {
            say!("{micros:9.1} µs  {what}");
        }
        say!("\nhandshake and judgement take {ratio:.2} times a handshake that verifies the chain (aim: 1.15)");
    }
    Ok(())
}

/// The average microseconds of an operation, over a time span.
fn each<T>(span: Duration, mut what: impl FnMut() -> T) -> f64 {
    let began = Stopwatch::system();
    let mut times = 0_u32;
    while began.elapsed() < span || times == 0 {
        std::hint::black_box(what());
        times = times.saturating_add(1);
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

/// Public areas of new keys, one of each kind (the templates of the TCG's EK Credential Profile, without their
/// policies).
fn areas() -> Vec<(&'static str, Vec<u8>)> {
    let mut areas = Vec::new();
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes(), bytes].concat();
    // The attributes of a storage key, no policy, and the cipher suite.
    let head = |kind: u8, hash: u8, bits: [u8; 2]| {
        [&[0, kind, 0, hash, 0, 3, 4, 0x72, 0, 0, 0, 6], bits.as_slice(), &[0, 0x43, 0, 0x10]].concat()
    };
    if let Ok(pair) = KeyPair::generate(KeySize::Rsa2048) {
        let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
        let area = [head(1, 0x0b, [0, 128]), vec![8, 0, 0, 0, 0, 0], sized(&modulus)].concat();
        areas.push(("RSA-2048", sized(&area)));
    }
    for (name, curve, algorithm, hash, bits) in
        [("P-256", 3, &ECDH_P256, 0x0b, [0, 128]), ("P-384", 4, &ECDH_P384, 0x0c, [1, 0])]
    {
        let public =
            EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).and_then(|key| key.compute_public_key());
        let Ok(public) = public else { continue };
        let point = public.as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let area = [head(0x23, hash, bits), vec![0, curve, 0, 0x10], sized(x), sized(y)].concat();
        areas.push((name, sized(&area)));
    }
    areas
}
