//! What the time of a refusal tells a stranger.
//!
//! A stranger asks for ids that are known here and for ids between them that are not, or in id scopes that are there and that
//! are not, in any order, and takes the time of each answer. How well the two can be told apart is the area under the ROC
//! curve: the chance that the answer about what is there takes longer. 0.5 is nothing at all; everything above 0.55 would be too
//! much.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use landfall::client::{self, Client};
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::{Ambient, Stopwatch};
use serde_json::json;

use crate::chance::Chance;
use crate::mutations::storage_key;
use crate::world::{World, group};

/// What was measured of one kind of question.
pub struct Figure {
    /// The question.
    pub what: &'static str,
    /// The area under the curve, at least 0.5: which of the two is slower does not matter.
    pub area: f64,
    /// The median of answers about what is there.
    pub known: Duration,
    /// The median of answers about what is not.
    pub unknown: Duration,
}

/// Sends so many requests for each kind of question.
///
/// # Errors
///
/// When an answer is not a refusal.
pub async fn measure(requests: usize, seed: u64) -> Result<Vec<Figure>, String> {
    let world = World::new().await;
    let mut shared = group("factory");
    if let Some(members) = shared.as_object_mut() {
        members.remove("x509");
    }
    shared["symmetricKey"] = json!({});
    for number in 0..20 {
        world.put(&format!("enrollment-groups/meters-{number}"), &shared).await;
    }
    let now = Ambient::system().now();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    for number in (0..IDS).map(|number| number * 2) {
        world.put(&format!("enrollments/shared-{number}"), &shared).await;
        let mut pinned = group("factory");
        let issued = world.factory.device(&format!("pinned-{number}"), now, 30).map_err(|error| failed(&error))?;
        pinned["x509"] = json!({ "certificates": { "primary": issued.certificate_pem } });
        world.put(&format!("enrollments/pinned-{number}"), &pinned).await;
        world.record(&format!("shared-{number}"), None).await;
        world.record(&format!("pinned-{number}"), None).await;
        let mut chip = shared.clone();
        chip.as_object_mut().map(|members| members.remove("symmetricKey"));
        chip["tpm"] = json!({ "endorsementKey": storage_key(0x81 + number) });
        world.put(&format!("enrollments/chips-{number}"), &chip).await;
        world.record(&format!("chips-{number}"), None).await;
    }
    let stranger = Authority::root("Somebody's CA", now, 30).map_err(|error| failed(&error))?;
    let shown = stranger.device("pinned-0", now, 30).map_err(|error| failed(&error))?;
    let certificate = || world.tls(Some(landfall::tls::Identity::of(&shown)));
    let nothing = || world.tls(None);
    let kinds = [
        ("an id, with a token that nobody's key has signed", Of::Id("shared"), Shows::Token, nothing()),
        ("an id, with a certificate of nobody's CA", Of::Id("pinned"), Shows::Certificate, certificate()),
        ("an id, with a TPM that nobody enrolled", Of::Id("chips"), Shows::Tpm, nothing()),
        ("an id scope, with a token that nobody's key has signed", Of::Scope, Shows::Token, nothing()),
        ("an id scope, with a certificate of nobody's CA", Of::Scope, Shows::Certificate, certificate()),
        ("an id scope, with a TPM that nobody enrolled", Of::Scope, Shows::Tpm, nothing()),
    ];
    let tpm = storage_key(0xf1);
    let tpm = json!({ "tpm": { "endorsementKey": tpm, "storageRootKey": tpm } }).to_string();
    let mut figures = Vec::new();
    for (what, of, shows, tls) in kinds {
        let mut asked = Asked { world: &world, of, shows, tls, tpm: &tpm, connection: None, sent: 0 };
        let mut chance = Chance::new(seed);
        for number in 0..WARMING {
            asked.time(number % 2 == 0, &mut chance).await?;
        }
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..requests {
            let is_known = chance.percent(50);
            let took = asked.time(is_known, &mut chance).await?;
            if is_known { known.push(took) } else { unknown.push(took) }
        }
        figures.push(figure(what, &mut known, &mut unknown));
    }
    Ok(figures)
}

/// Of what a stranger wants to know whether it is there.
#[derive(Clone, Copy)]
enum Of {
    /// Ids that begin so.
    Id(&'static str),
    /// The id scope; the id is not there.
    Scope,
}

/// What a stranger shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Token,
    Certificate,
    Tpm,
}

struct Asked<'a> {
    world: &'a World,
    of: Of,
    shows: Shows,
    tpm: &'a str,
    tls: std::sync::Arc<rustls::ClientConfig>,
    connection: Option<Client>,
    sent: usize,
}

impl Asked<'_> {
    async fn time(&mut self, known: bool, chance: &mut Chance) -> Result<Duration, String> {
        // A connection carries 1000 requests.
        if self.sent.is_multiple_of(900) {
            let address = self.world.server().device_addr;
            let connection = Client::connect(address, "localhost", std::sync::Arc::clone(&self.tls)).await;
            self.connection = Some(connection.map_err(|error| error.to_string())?);
        }
        self.sent += 1;
        let connection = self.connection.as_mut().ok_or("no connection")?;
        // Serial numbers: every other one is there.
        let number = chance.between(0, u64::from(IDS)) * 2;
        let (scope, id) = match self.of {
            Of::Id(names) => (self.world.scope.as_str(), format!("{names}-{}", number + u64::from(!known))),
            Of::Scope if known => (self.world.scope.as_str(), format!("nobody-{number}")),
            Of::Scope => ("0neGONE", format!("nobody-{number}")),
        };
        let path = format!("/{scope}/registrations/{id}/register?api-version=2021-06-01");
        let token = token(&format!("{scope}/registrations/{id}"));
        let mut headers = vec![("content-type", "application/json")];
        if self.shows == Shows::Token {
            headers.push(("authorization", &token));
        }
        let body = if self.shows == Shows::Tpm { self.tpm } else { "{}" };
        let began = Stopwatch::system();
        let answer = connection.send(Method::PUT, &path, client::headers(&headers), body.as_bytes().to_vec()).await;
        let took = began.elapsed();
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status == 401 { Ok(took) } else { Err(format!("{id} was not refused: {answer:?}")) }
    }
}

fn token(resource: &str) -> String {
    let expires = Ambient::system().now().as_secs() + 600;
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"nobody's key"), resource.as_bytes());
    let signature = STANDARD.encode(signed).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration")
}

fn figure(what: &'static str, known: &mut [Duration], unknown: &mut [Duration]) -> Figure {
    known.sort_unstable();
    unknown.sort_unstable();
    let median = |sorted: &[Duration]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let area = area(known, unknown);
    Figure { what, area: area.max(1.0 - area), known: median(known), unknown: median(unknown) }
}

/// The chance that one of the first is larger than one of the second, of two sorted lists; an equal pair counts half.
fn area(first: &[Duration], second: &[Duration]) -> f64 {
    let mut larger = 0.0;
    for one in first {
        let (below, to) = (second.partition_point(|other| other < one), second.partition_point(|other| other <= one));
        #[expect(clippy::cast_precision_loss, reason = "counts of measurements")]
        let share = (below + to) as f64 / 2.0;
        larger += share;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of measurements")]
    let pairs = (first.len() * second.len()) as f64;
    if pairs > 0.0 { larger / pairs } else { 0.5 }
}

const IDS: u8 = 50;
const WARMING: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_chance_of_being_larger() {
        let of = |numbers: &[u64]| numbers.iter().copied().map(Duration::from_micros).collect::<Vec<_>>();
        assert!((area(&of(&[3, 4]), &of(&[1, 2])) - 1.0).abs() < 1e-9);
        assert!((area(&of(&[1, 2]), &of(&[1, 2])) - 0.5).abs() < 1e-9);
        assert!((area(&of(&[1, 4]), &of(&[2, 3])) - 0.5).abs() < 1e-9);
    }
}
