//! The factory of the demo: makes the CA, the devices and the import file.

use landfall_attestation::x509::make::{Authority, Issued, MakeError};
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use serde_json::json;

/// The CA and the devices of a factory.
pub(super) struct Factory {
    pub(super) authority: Authority,
    /// The devices that must be admitted, by registration id.
    pub(super) devices: Vec<(String, Issued)>,
    /// The devices that must be refused, each with what is wrong.
    pub(super) unwelcome: Vec<(&'static str, (String, Issued))>,
    foreign: String,
}

/// The device whose record is quarantined after the import.
pub(super) const QUARANTINED: &str = "pump-91";

impl Factory {
    /// Makes the CA, twelve devices that must be admitted, and four that must be refused.
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

    /// The import file: JSON Lines, one device on each line. The first refused device has no record. The device of a
    /// foreign factory has one, because it uses a name of this factory.
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

/// The number of devices that must be admitted.
const WELCOME: usize = 12;

/// Customers and their sites.
const PLACES: [(&str, &str); 4] =
    [("northwind", "oslo"), ("northwind", "bergen"), ("contoso", "austin"), ("tailwind", "osaka")];
