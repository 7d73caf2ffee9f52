//! Hubs in the order in which they are preferred.

use landfall_plugin::rendezvous;
use landfall_plugin::{Hub, Location};

/// A hub and how far it is, when that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) km: Option<f64>,
}

/// The best `count` hubs, best first: by distance, in bands of those that are equally near, and in a band by weighted
/// rendezvous. Hubs without a location make the band after the last; without a place to measure from, all do. Hubs that
/// have no room once those under way are counted come after all that have.
pub(crate) fn rank<'a>(key: &str, from: Option<Location>, hubs: &'a [Hub], tie_km: f64, count: usize) -> Vec<Near<'a>> {
    let mut order = Vec::with_capacity(count.min(hubs.len()));
    for has_room in [true, false] {
        let mut near: Vec<_> = hubs
            .iter()
            .filter(|hub| (hub.room() > 0) == has_room)
            .map(|hub| Near { hub, km: from.and_then(|from| hub.distance_km(from)) })
            .collect();
        // The name makes the order total, so that the candidates' own order has no influence.
        near.sort_by(|a, b| measure(a).total_cmp(&measure(b)).then_with(|| a.hub.name.cmp(&b.hub.name)));
        let mut rest = near.as_slice();
        while let Some(first) = rest.first()
            && order.len() < count
        {
            // A band begins with its nearest hub, so that a chain of small differences does not become one large band.
            let reach = measure(first) + tie_km;
            let (band, beyond) = rest.split_at(rest.partition_point(|near| measure(near) <= reach));
            let ranked = rendezvous::rank(key, band.iter().map(|near| near.hub), count - order.len());
            let km_of = |hub: &Hub| band.iter().find(|near| near.hub.handle == hub.handle).and_then(|near| near.km);
            order.extend(ranked.into_iter().map(|ranked| Near { hub: ranked.hub, km: km_of(ranked.hub) }));
            rest = beyond;
        }
    }
    order
}

/// Farther than any place on Earth when it is not known.
fn measure(near: &Near<'_>) -> f64 {
    near.km.unwrap_or(f64::INFINITY)
}
