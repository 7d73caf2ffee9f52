//! The devices that broke a policy while others may not break it.
//!
//! A device whose payload breaks a policy comes again and again. It counts against the policy once. After that, only
//! this device is affected: each further time that it breaks the policy, the policy is not called for it for twice as
//! long. An answer clears the device, and so does time.

use std::collections::HashMap;
use std::time::Duration;

use super::machine::BreakerLimits;

/// The policy is not called for a device for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How often the device broke the policy.
    pub times: u32,
    /// The time until its next call is tried.
    pub left: Duration,
}

/// The devices that broke a policy lately.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    devices: HashMap<String, Suspect>,
    /// When the last of them is forgotten.
    until: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    times: u32,
    until: Duration,
    forgotten: Duration,
}

impl Suspects {
    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Whether the policy is not to be called for a device now.
    pub(super) fn held(&self, device: &str, now: Duration) -> Option<Held> {
        let suspect = self.devices.get(device).filter(|suspect| now < suspect.until)?;
        Some(Held { times: suspect.times, left: suspect.until - now })
    }

    /// Records that a device's call was answered.
    pub(super) fn clear(&mut self, device: &str, now: Duration) {
        if now >= self.until {
            self.devices.clear();
        }
        self.devices.remove(device);
    }

    /// Records that a device's call broke. Returns whether one broke before.
    pub(super) fn strike(&mut self, device: &str, now: Duration, limits: &BreakerLimits) -> bool {
        if self.devices.len() >= MOST {
            self.devices.retain(|_, suspect| now < suspect.forgotten);
        }
        let before = self.devices.get(device).filter(|suspect| now < suspect.forgotten).map(|suspect| suspect.times);
        let Some(before) = before else {
            // Beyond the limit, a device counts as new each time: with so many devices, the policy is at fault.
            if self.devices.len() < MOST {
                self.put(device, Suspect { times: 1, until: now, forgotten: now + limits.open_most });
            }
            return false;
        };
        let held = limits.open.saturating_mul(1_u32.checked_shl(before - 1).unwrap_or(u32::MAX)).min(limits.open_most);
        let until = now + held;
        self.put(device, Suspect { times: before.saturating_add(1), until, forgotten: until + limits.open_most });
        true
    }

    fn put(&mut self, device: &str, suspect: Suspect) {
        self.until = self.until.max(suspect.forgotten);
        self.devices.insert(device.to_owned(), suspect);
    }
}

/// How many devices are remembered for one policy.
const MOST: usize = 1024;
