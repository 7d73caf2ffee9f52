//! What a victim acknowledged, written down where it cannot be lost with the victim.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use landfall_domain::names::{HubName, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;
use serde_json::{Value, json};

/// One acknowledged registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledged {
    /// Its tenant.
    pub scope: IdScope,
    /// The device.
    pub registration_id: RegistrationId,
    /// The hub that it was told, if any.
    pub hub: Option<HubName>,
    /// Which state of the registration this is.
    pub generation: u64,
    /// What explains it.
    pub decision: TrackingId,
}

impl Acknowledged {
    /// What a victim says when a registration was acknowledged.
    pub fn of(scope: &IdScope, registration: &Registration) -> Self {
        Self {
            scope: scope.clone(),
            registration_id: registration.registration_id.clone(),
            hub: registration.hub().cloned(),
            generation: registration.generation,
            decision: registration.decision,
        }
    }

    /// Whether a registration is in this state.
    pub fn is(&self, registration: &Registration) -> bool {
        registration.generation == self.generation
            && registration.decision == self.decision
            && registration.hub() == self.hub.as_ref()
            && registration.registration_id == self.registration_id
    }

    /// As one line, without its end.
    pub fn to_line(&self) -> String {
        json!({
            "scope": self.scope,
            "id": self.registration_id,
            "hub": self.hub,
            "generation": self.generation,
            "decision": self.decision.to_string(),
        })
        .to_string()
    }

    /// From a line.
    pub fn from_line(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value.get(name)?.as_str();
        Some(Self {
            scope: text("scope")?.parse().ok()?,
            registration_id: text("id")?.parse().ok()?,
            hub: text("hub").map(str::parse).transpose().ok()?,
            generation: value.get("generation")?.as_u64()?,
            decision: text("decision")?.parse().ok()?,
        })
    }
}

/// The file in which they are written down.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// A new file.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().create(true).append(true).open(path)?))
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, line: &Acknowledged) -> io::Result<()> {
        let mut text = line.to_line();
        text.push('\n');
        self.0.write_all(text.as_bytes())
    }

    /// Puts all on disk.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Everything in a file, in the order in which it was acknowledged.
pub(super) fn read(path: &Path) -> Result<Vec<Acknowledged>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines()
        .map(|line| Acknowledged::from_line(line).ok_or_else(|| format!("{}: not understood: {line}", path.display())))
        .collect()
}
