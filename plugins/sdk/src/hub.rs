//! Reading a hub, and asking the host about it.

use crate::{Hub, Label, Location, catalog};

impl Hub {
    /// How many devices it still takes, registrations under way included.
    pub fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.assigned).saturating_sub(self.pending.into())
    }

    /// How full it is: 0.0 for empty, 1.0 for full.
    pub fn fullness(&self) -> f64 {
        if self.capacity == 0 {
            return 1.0;
        }
        1.0 - self.room() as f64 / self.capacity as f64
    }

    /// One label. Asks the host, about 0.1 µs each time.
    pub fn label(&self, key: &str) -> Option<String> {
        catalog::hub_label(self.handle, key)
    }

    /// All labels, sorted by key. Asks the host.
    pub fn labels(&self) -> Vec<Label> {
        catalog::hub_labels(self.handle)
    }

    /// Kilometres on the great circle, when it is known where the hub stands.
    pub fn distance_km(&self, from: Location) -> Option<f64> {
        self.location.map(|here| here.distance_km(from))
    }
}

impl Location {
    /// Kilometres to another place on the great circle, the Earth taken as a sphere (haversine): off by 0.5 % at most.
    pub fn distance_km(self, other: Self) -> f64 {
        let half_chord = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let parallels = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let h = half_chord(other.latitude - self.latitude) + parallels * half_chord(other.longitude - self.longitude);
        2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
    }
}

/// Mean radius of the Earth (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn room_counts_registrations_under_way() {
        let hub = testing::hub("a").capacity(10).assigned(7).pending(2).alone();
        assert_eq!(hub.room(), 1);
        assert!((hub.fullness() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn a_hub_over_its_capacity_has_no_room() {
        let hub = testing::hub("a").capacity(10).assigned(12).alone();
        assert_eq!(hub.room(), 0);
        assert_eq!(hub.fullness(), 1.0);
    }

    #[test]
    fn berlin_is_878_km_from_paris() {
        let berlin = Location { latitude: 52.52, longitude: 13.405 };
        let paris = Location { latitude: 48.8566, longitude: 2.3522 };
        assert!((berlin.distance_km(paris) - 877.5).abs() < 1.0);
    }
}
