//! Chance that can be had again: everything a harness draws follows from its seed.

/// A generator of numbers (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `first` to before `end`.
    pub fn between(&mut self, first: u64, end: u64) -> u64 {
        first + self.draw() % (end - first).max(1)
    }

    /// Whether something happens that does in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).ok()?;
        of.get(usize::try_from(self.between(0, count)).ok()?)
    }

    /// Puts these into any order.
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            let end = u64::try_from(last).map_or(u64::MAX, |last| last + 1);
            of.swap(last, usize::try_from(self.between(0, end)).unwrap_or(last));
        }
    }

    /// Changes some bytes.
    pub fn change(&mut self, bytes: &mut Vec<u8>) {
        let length = u64::try_from(bytes.len()).unwrap_or_default();
        let at = usize::try_from(self.between(0, length.max(1))).unwrap_or_default();
        let count = usize::try_from(self.between(1, 9)).unwrap_or_default();
        let end = at.saturating_add(count).min(bytes.len());
        let drawn = self.draw().to_le_bytes();
        match self.between(0, 6) {
            0 => {
                if let (Some(byte), [mask, ..]) = (bytes.get_mut(at), drawn) {
                    *byte ^= mask.max(1);
                }
            }
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at.min(end)..end)),
            3 => {
                let copied = bytes.get(at.min(end)..end).unwrap_or_default().to_vec();
                let many = usize::try_from(self.between(1, 200)).unwrap_or_default();
                let inserted = copied.repeat(many);
                drop(bytes.splice(at.min(bytes.len())..at.min(bytes.len()), inserted));
            }
            4 => drop(bytes.splice(at.min(end)..end, drawn)),
            _ => {
                let odd = [&b"\0"[..], b"\"", b"{", b"[[[[", b"%00", b"%", b"=", b"&", b"..", b"-1", b"1e999", b"null"];
                let inserted = self.pick(&odd).copied().unwrap_or_default();
                let at = at.min(bytes.len());
                drop(bytes.splice(at..at, inserted.iter().copied()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn the_same_seed_draws_the_same() {
        let drawn = |seed| {
            let mut chance = Chance::new(seed);
            let mut order: Vec<u64> = (0..20).collect();
            chance.shuffle(&mut order);
            (order, chance.between(5, 9), chance.percent(50))
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
