//! Numbers that are the same on every machine, for ever.
//!
//! A decision is replayed years later and must come out the same, so nothing here may depend on the standard library's
//! hashers, which are free to change, or on a platform's mathematics. [`stable_hash`] is MurmurHash64A with seed 0 and
//! [`Random`] is SplitMix64: both are short, well studied, and easy to write again in another language.
//! Neither is cryptography: whoever may choose a registration id may choose its hash.

/// A 64-bit hash of some bytes: MurmurHash64A, seed 0.
///
/// ```
/// assert_eq!(landfall_plugin::stable_hash(b"pump-1"), landfall_plugin::stable_hash(b"pump-1"));
/// ```
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word = (word ^ (word >> SHIFT)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> SHIFT)
}

/// Where a key falls between 0 (included) and 1 (excluded), for ever. The salt keeps two uses of one key independent,
/// such as two canaries that must not hit the same devices.
///
/// ```
/// let in_canary = landfall_plugin::fraction("firmware-7", "SN-00041") < 0.05;
/// # let _ = in_canary;
/// ```
pub fn fraction(salt: &str, key: &str) -> f64 {
    unit(mix(stable_hash(salt.as_bytes()).wrapping_add(mix(stable_hash(key.as_bytes())))))
}

/// Random numbers for one decision; see [`Call::random`](crate::Call::random). SplitMix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers that belong to a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_RATIO);
        mix(self.state)
    }

    /// The next number between 0 (included) and 1 (excluded).
    pub fn next_unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// One of these, each as likely as the others; `None` when there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        // A number of 64 bits times the length, the upper half of the product: even to within 2^-32 for any real list.
        let product = u128::from(self.next_u64()) * from.len() as u128;
        from.get(usize::try_from(product >> 64).ok()?)
    }
}

/// SplitMix64's finaliser: every bit of the input changes every bit of the result with even odds.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The upper 53 bits as a fraction: exact, and never 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_draws_the_published_numbers() {
        // The first outputs for seed 1234567, as published with the reference implementation.
        let mut random = Random::from_seed(1_234_567);
        let drawn = [random.next_u64(), random.next_u64(), random.next_u64()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_hash_is_murmurhash64a() {
        // As the reference implementation in C++ answers: no bytes, a tail only, a word and a tail.
        let hashes = [b"".as_slice(), b"hello", b"hello, world!"].map(stable_hash);
        assert_eq!(hashes, [0, 2_191_231_550_387_646_743, 15_099_089_699_360_904_759]);
    }

    #[test]
    fn a_salt_makes_another_selection_of_the_same_devices() {
        let keys: Vec<_> = (0..10_000).map(|n| format!("SN-{n:05}")).collect();
        let both = keys.iter().filter(|key| fraction("a", key) < 0.1 && fraction("b", key) < 0.1).count();
        let one = keys.iter().filter(|key| fraction("a", key) < 0.1).count();
        assert!((900..1100).contains(&one), "{one}");
        assert!((60..140).contains(&both), "{both}");
    }

    #[test]
    fn picking_from_nothing_gives_nothing() {
        assert_eq!(Random::from_seed(1).pick::<u8>(&[]), None);
        assert_eq!(Random::from_seed(1).pick(&[7]), Some(&7));
    }
}
