//! Weighted rendezvous hashing: the same key always ranks the same hubs the same way, and a new hub takes devices only
//! for itself.
//!
//! Each hub gets, for each key, a number `u` between 0 and 1 that depends on nothing but the key and the hub's name, and
//! the score `-weight / ln(u)`; the highest score wins. Over many keys a hub wins in proportion to its weight (the
//! scores are such that hub *i* is first with probability `w_i / Σw`), and as no hub's score depends on another hub,
//! adding, removing or re-weighting one moves only devices to it or away from it.
//!
//! Bit for bit the same everywhere: the hash is [`stable_hash`], and the logarithm is computed here from additions,
//! multiplications and divisions, which IEEE 754 defines exactly. A platform's `ln` may differ in the last bit, and one
//! bit can move a device.

use crate::random::mix;
use crate::{Hub, stable_hash};

/// A hub and its score for one key.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ranked<'a> {
    pub hub: &'a Hub,
    /// Its score; higher is better. Comparable only for one key.
    pub score: f64,
}

/// The best `count` hubs for a key, best first.
///
/// The order of the candidates has no influence. Hubs are told apart by name; a weight of 0 ranks last.
pub fn rank<'a>(key: &str, hubs: impl IntoIterator<Item = &'a Hub>, count: usize) -> Vec<Ranked<'a>> {
    let key = stable_hash(key.as_bytes());
    let mut best: Vec<Ranked<'a>> = Vec::with_capacity(count.min(MOST_AT_ONCE) + 1);
    for hub in hubs {
        let ranked = Ranked { hub, score: score(key, hub) };
        // A handful of winners among many: an insertion is cheaper than sorting all.
        if best.len() < count || best.last().is_some_and(|last| ranked.beats(last)) {
            let place = best.partition_point(|other| other.beats(&ranked));
            best.insert(place, ranked);
            best.truncate(count);
        }
    }
    best
}

impl Ranked<'_> {
    fn beats(&self, other: &Self) -> bool {
        // Two equal scores are next to impossible; the name makes the order total all the same.
        self.score.total_cmp(&other.score).then_with(|| other.hub.name.cmp(&self.hub.name)).is_gt()
    }
}

fn score(key: u64, hub: &Hub) -> f64 {
    let bits = mix(key.wrapping_add(mix(stable_hash(hub.name.as_bytes()))));
    // 52 bits and a half: exact in an f64, and neither 0 nor 1.
    let u = ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    f64::from(hub.weight) / -ln(u)
}

/// The natural logarithm of a positive, normal number, off by less than one unit in the last place: the classic
/// algorithm of Sun's fdlibm (`e_log.c`).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i32) - 1023;
    let mut mantissa = f64::from_bits((bits & MANTISSA) | ONE);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln(1 + f) = 2 atanh(s), with s = f / (2 + f), as a polynomial in s².
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = LG.iter().rev().fold(0.0, |sum, factor| (sum + factor) * z);
    let half_square = 0.5 * f * f;
    let k = f64::from(exponent);
    k * LN2_HIGH - ((half_square - (s * (half_square + series) + k * LN2_LOW)) - f)
}

const MOST_AT_ONCE: usize = 64;
const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;
/// ln 2 in two pieces: the first has so few bits that its product with an exponent is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const LG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Catalogue;

    proptest! {
        #[test]
        fn the_logarithm_is_right_to_two_units_in_the_last_place(bits in 0..1_u64 << 52) {
            let u = (bits as f64 + 0.5) / (1_u64 << 52) as f64;
            let apart = ln(u).to_bits().abs_diff(u.ln().to_bits());
            prop_assert!(apart <= 2, "ln({u}) is {apart} units off");
        }

        #[test]
        fn the_order_of_the_candidates_has_no_influence(key in ".*", turn in 0_usize..9) {
            let mut hubs = Catalogue::of(["a", "b", "c", "d", "e", "f", "g", "h", "i"]).candidates();
            let names = |hubs: &[Hub]| -> Vec<String> {
                rank(&key, hubs, 4).iter().map(|ranked| ranked.hub.name.clone()).collect()
            };
            let before = names(&hubs);
            hubs.rotate_left(turn);
            prop_assert_eq!(before, names(&hubs));
        }
    }

    #[test]
    fn scores_are_the_same_bit_for_bit_on_every_machine() {
        let hubs = Catalogue::of(["hub-1.example", "hub-2.example", "hub-3.example"]).candidates();
        let scores: Vec<_> =
            rank("pump-1", &hubs, 3).iter().map(|ranked| (ranked.hub.handle, ranked.score.to_bits())).collect();
        assert_eq!(scores, GOLDEN);
    }

    #[test]
    fn more_is_asked_for_than_there_is() {
        let hubs = Catalogue::of(["a", "b"]).candidates();
        assert_eq!(rank("d", &hubs, usize::MAX).len(), 2);
        assert!(rank("d", &hubs, 0).is_empty());
        assert!(rank("d", [], 3).is_empty());
    }

    /// Written once, from this code, and never to be changed: they are where the world's devices are.
    const GOLDEN: [(u32, u64); 3] =
        [(0, 4_613_824_361_790_068_170), (2, 4_608_055_487_818_076_599), (1, 4_607_552_190_105_731_287)];
}
