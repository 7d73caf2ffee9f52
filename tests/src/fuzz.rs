//! Parsers of what strangers send, given what was changed in any place: each has seeds that are real, and whatever they
//! become is read or refused, soon.
//!
//! No coverage leads the changes; real seeds do. What runs here for a second on every change can run for a day.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use landfall_attestation::bearer::BearerToken;
use landfall_attestation::kerberos::{Keytab, NegotiateToken, accept};
use landfall_attestation::password::BasicCredential;
use landfall_attestation::symmetric_key::SasToken;
use landfall_attestation::tpm::PublicArea;
use landfall_attestation::x509::endorsement::EndorsementCertificate;
use landfall_attestation::x509::make::Authority;
use landfall_attestation::x509::request::CertificateRequest;
use landfall_attestation::x509::{Anchor, Crl, PresentedChain, VerifyPolicy, pem, verify_group};
use landfall_domain::clock::{Ambient, Stopwatch};
use rustls::pki_types::CertificateDer;

use crate::chance::Chance;
use crate::world::in_tests;

/// What came of one parser.
#[derive(Debug)]
pub struct Report {
    /// The parser.
    pub target: &'static str,
    /// How often it was asked.
    pub inputs: u64,
    /// How often it read what it was given.
    pub read: u64,
    /// The longest that it took.
    pub slowest: Duration,
    /// Inputs on which it panicked, or took too long, or that it believed although they were changed, base16.
    pub faults: Vec<String>,
}

/// Whether it could be read.
type Parser = Box<dyn Fn(&[u8]) -> bool>;

struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    parser: Parser,
    /// A signature covers all of it: what was changed is not to be read.
    signed: bool,
}

/// Gives each parser changed inputs for so long.
///
/// # Errors
///
/// When a seed cannot be made, or its parser does not read it as it is.
pub fn run(each: Duration, seed: u64) -> Result<Vec<Report>, String> {
    // A panic is caught, counted and shown with its input; it need not be told twice.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let reports = targets().and_then(|targets| targets.iter().map(|target| one(target, each, seed)).collect());
    std::panic::set_hook(told);
    reports
}

fn one(target: &Target, each: Duration, seed: u64) -> Result<Report, String> {
    let mut report = Report { target: target.name, inputs: 0, read: 0, slowest: Duration::ZERO, faults: Vec::new() };
    if let Some(at) = target.seeds.iter().position(|seed| !(target.parser)(seed)) {
        return Err(format!("{}: the seed {at} is not read as it is", target.name));
    }
    let mut chance = Chance::new(seed);
    let began = Stopwatch::system();
    while began.elapsed() < each {
        let mut input = chance.pick(&target.seeds).cloned().unwrap_or_default();
        for _ in 0..chance.between(1, 5) {
            chance.change(&mut input);
        }
        input.truncate(MOST_BYTES);
        // Some changes change nothing.
        if target.seeds.contains(&input) {
            continue;
        }
        let at = Stopwatch::system();
        let read = catch_unwind(AssertUnwindSafe(|| (target.parser)(&input)));
        let took = at.elapsed();
        report.inputs += 1;
        report.read += u64::from(*read.as_ref().unwrap_or(&false));
        report.slowest = report.slowest.max(took);
        let forged = target.signed && matches!(read, Ok(true));
        if read.is_err() || took > TOO_LONG || forged {
            report.faults.push(input.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    Ok(report)
}

fn targets() -> Result<Vec<Target>, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let now = Ambient::system().now();
    let root = Authority::root("Root", now, 30).map_err(|error| failed(&error))?;
    let line = root.intermediate("Line", now, 30).map_err(|error| failed(&error))?;
    let device = line.device("pump-1", now, 30).map_err(|error| failed(&error))?;
    let anchor = Anchor::parse(&root.certificate_der).map_err(|error| failed(&error))?;
    let list = root.revocation_list(&[vec![1], vec![0x7f; 20]], now, 7).map_err(|error| failed(&error))?;
    let key = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "pump-1");
    let csr = params.serialize_request(&key).map_err(|error| failed(&error))?.der().to_vec();
    let keytab = read("vectors/kerberos/http.keytab")?;
    let parsed = Keytab::parse(&keytab).map_err(|error| failed(&error))?;
    let tickets = ["vectors/kerberos/dev-1.token", "vectors/kerberos/computer.token"];
    let negotiate = |path: &str| read(path).map(|text| [b"Negotiate ".to_vec(), text.trim_ascii().to_vec()].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let chain = move |bytes: &[u8]| PresentedChain::parse(&[CertificateDer::from(bytes.to_vec())]).is_ok();
    let above = CertificateDer::from(line.certificate_der.clone());
    let anchors = [anchor.clone()];
    let judged = move |bytes: &[u8]| {
        let shown = PresentedChain::parse(&[CertificateDer::from(bytes.to_vec()), above.clone()]);
        shown.is_ok_and(|shown| {
            drop(shown.leaf().registration_id());
            drop(shown.leaf().claims());
            verify_group(&shown, &anchors, &VerifyPolicy::at(now)).is_ok()
        })
    };
    let target = |name, seeds, parser: Parser| Target { name, seeds, parser, signed: false };
    let signed = |name, seeds, parser: Parser| Target { name, seeds, parser, signed: true };
    Ok(vec![
        target(
            "a shared access signature",
            vec![SAS.as_bytes().to_vec(), SAS_OF_C.as_bytes().to_vec()],
            Box::new(move |bytes| SasToken::parse(&text(bytes)).is_ok()),
        ),
        target(
            "a JSON Web Token",
            vec![BEARER.as_bytes().to_vec()],
            Box::new(move |bytes| BearerToken::parse(&text(bytes)).is_ok()),
        ),
        target(
            "a username and a password",
            vec![b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_vec()],
            Box::new(move |bytes| BasicCredential::parse(&text(bytes)).is_ok()),
        ),
        target(
            "a Kerberos ticket",
            tickets.into_iter().map(negotiate).collect::<Result<_, _>>()?,
            Box::new(move |bytes| {
                accept(NegotiateToken::parse(&text(bytes)).bytes(), &parsed, TICKETS_MADE, 300).is_ok()
            }),
        ),
        target("a keytab", vec![keytab], Box::new(|bytes| Keytab::parse(bytes).is_ok())),
        target("a TPM's public area", vec![area(1), area(0x23)], Box::new(|bytes| PublicArea::parse(bytes).is_ok())),
        target(
            "an endorsement certificate",
            vec![read("vectors/tpm-swtpm/ek-rsa2048.crt")?, read("vectors/tpm-swtpm/ek-secp384r1.crt")?],
            Box::new(|bytes| EndorsementCertificate::parse(bytes).is_ok_and(|read| !read.claims().is_empty())),
        ),
        target("a certificate, read", odd_certificates()?, Box::new(chain)),
        signed("a certificate, judged", vec![device.certificate_der.clone()], Box::new(judged)),
        target(
            "a certificate's text",
            vec![device.certificate_pem.into_bytes(), root.certificate_pem.into_bytes()],
            Box::new(|bytes| pem::certificate_from(bytes).is_ok()),
        ),
        signed(
            "a certificate request",
            vec![csr],
            Box::new(|bytes| {
                let id = "pump-1".parse();
                id.is_ok_and(|id| CertificateRequest::parse(bytes).is_ok_and(|read| read.proves_its_key(&id).is_ok()))
            }),
        ),
        signed("a revocation list", vec![list], Box::new(move |bytes| Crl::parse(bytes, &anchor).is_ok())),
    ])
}

/// Every certificate of the matrix that can be read.
fn odd_certificates() -> Result<Vec<Vec<u8>>, String> {
    let folder = in_tests("vectors/mtls-matrix");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let der = std::fs::read(&path).ok().and_then(|text| pem::certificate_from(text).ok());
        found.extend(der.filter(|der| PresentedChain::parse(&[CertificateDer::from(der.clone())]).is_ok()));
    }
    // Folders have no order, and the same seed must draw the same.
    found.sort_by_key(|der| digest(&SHA256, der).as_ref().to_vec());
    Ok(found)
}

/// The public area of a storage key: RSA-2048 (1) or P-256 (0x23).
fn area(kind: u8) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes(), bytes].concat();
    let mut area = vec![0, kind, 0, 0x0b, 0, 3, 4, 0x72, 0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10];
    match kind {
        1 => area.extend([vec![8, 0, 0, 0, 0, 0], sized(&[0xc1; 256])].concat()),
        _ => area.extend([vec![0, 3, 0, 0x10], sized(&[7; 32]), sized(&[9; 32])].concat()),
    }
    sized(&area)
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
    let path = path.as_ref();
    std::fs::read(in_tests(&path.to_string_lossy())).map_err(|error| format!("{}: {error}", path.display()))
}

/// What Node's and C's clients have sent.
const SAS: &str = "SharedAccessSignature sr=0ne00000001/registrations/ok-1&sig=M4Jphg4Atnj6QoCPfaTsneVZpAOor7cMaH45MLoIRnY%3D&skn=registration&se=1795408236";
const SAS_OF_C: &str = "SharedAccessSignature sr=0ne00000001%2fregistrations%2fcok-c-http&sig=3P91b5xXONtsvPIonvLjnK76lQtDty8FREEFOVH89zA%3d&se=1795407964&skn=registration";
const BEARER: &str = "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJhIiwiZXhwIjo0MDAwMDAwMDAwLCJzdWIiOiJwdW1wLTEifQ.AAAA";
/// When the tickets of the vectors were made.
const TICKETS_MADE: i64 = 1_795_486_123;
const MOST_BYTES: usize = 64 * 1024;
/// A certificate bomb takes longer; a busy machine takes long, too.
const TOO_LONG: Duration = Duration::from_millis(500);
