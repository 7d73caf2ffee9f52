//! The factory of the demo.

use landfall_attestation::x509::make::{Authority, Issued, MakeError};
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use serde_json::json;

/// What a factory has made.
pub(super) struct Factory {
    pub(super) authority: Authority,
    /// The devices that are welcome, by registration id.
    pub(super) devices: Vec<(String, Issued)>,
    /// Those that are not, each with what is wrong.
    pub(super) unwelcome: Vec<(&'static str, (String, Issued))>,
    foreign: String,
}

/// The device whose record is quarantined after the import.
pub(super) const QUARANTINED: &str = "pump-91";

impl Factory {
    /// Makes the CA, twelve devices that are welcome and four that are not.
    pub(super) fn build(now: Timestamp) -> Result<Self, MakeError> {
        let authority = Authority::root("Demo Factory CA", now, 365)?;
        let foreign = Authority::root("Somebody Else's CA", now, 365)?;
        let device = |from: &Authority, name: &str| Ok::<_, MakeError>((name.to_owned(), from.device(name, now, 365)?));
        let devices: Result<Vec<_>, _> =
            (1..=WELCOME).map(|number| device(&authority, &format!("pump-{number:02}"))).collect();
        let unwelcome = vec![
            ("no manufacturing record", device(&authority, "pump-90")?),
            ("quarantined record", device(&authority, QUARANTINED)?),
            ("foreign certificate", device(&foreign, "pump-92")?),
            ("no hub with room", device(&authority, "pump-93")?),
        ];
        Ok(Self { authority, devices: devices?, unwelcome, foreign: "pump-92".to_owned() })
    }

    /// The import file: JSON Lines, one device a line. The first has none, the foreign one is the factory's own device
    /// in name only.
    pub(super) fn records(&self) -> String {
        let known = self.unwelcome.iter().skip(1).map(|(_, device)| device);
        let lines = self.devices.iter().chain(known).enumerate().map(|(number, (id, issued))| {
            let (customer, site) = PLACES.get(number % PLACES.len()).copied().unwrap_or_default();
            let serial = if number % 6 == 5 { format!("X{number:04}") } else { format!("A{number:04}") };
            let mut record = json!({
                "registrationId": id,
                "facts": { "model": "P200", "serial": serial, "customer": customer, "site": site }
            });
            if *id != self.foreign {
                let digest = Digest::of(&issued.certificate_der).to_string();
                if let Some(members) = record.as_object_mut() {
                    members.insert("certificateSha256".to_owned(), digest.into());
                }
            }
            format!("{record}\n")
        });
        lines.collect()
    }
}

/// Devices that are welcome.
const WELCOME: usize = 12;

/// Customers and sites of theirs.
const PLACES: [(&str, &str); 4] =
    [("northwind", "oslo"), ("northwind", "bergen"), ("contoso", "austin"), ("tailwind", "osaka")];
