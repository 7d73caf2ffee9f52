//! A disk in memory whose power can fail.
//!
//! What was written and not yet flushed is kept apart, write by write. When the power fails, every operation fails,
//! and what is found afterwards is what was flushed plus whatever chance makes of the rest: each sector of each
//! write may have arrived or not, in any order, and the file may have its old length or the new one.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_store::redb::StorageBackend;

use crate::chance::Chance;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What a read sees.
    live: Vec<u8>,
    /// What is there after a power failure for certain.
    durable: Vec<u8>,
    /// What may be.
    unsynced: Vec<Change>,
    /// After so many operations the power fails.
    left: u64,
    /// Whether flushing does nothing.
    lying: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Disk {
    /// A disk with these bytes, whose power fails after so many operations.
    pub fn new(bytes: Vec<u8>, operations: u64, lying: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            live: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
            left: operations,
            lying,
        })))
    }

    /// All that was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().live.clone()
    }

    /// How many operations are left before the power fails.
    pub fn operations_left(&self) -> u64 {
        self.lock().left
    }

    /// Whether the power has failed.
    pub fn is_dead(&self) -> bool {
        self.lock().left == 0
    }

    /// Ends the power now, and answers what is found on the disk.
    pub fn fail(&self, chance: &mut Chance) -> Vec<u8> {
        let mut state = self.lock();
        state.left = 0;
        let unsynced = std::mem::take(&mut state.unsynced);
        let survives = *chance.pick(&[0, 50, 90, 100]).unwrap_or(&0);
        let sector = *chance.pick(&[512, 4096]).unwrap_or(&512);
        let mut found = std::mem::take(&mut state.durable);
        for change in &unsynced {
            if let Change::Length(length) = change
                && chance.percent(survives)
            {
                found.resize(*length, 0);
            }
        }
        let mut sectors: Vec<(usize, &[u8])> = Vec::new();
        for change in &unsynced {
            if let Change::Write { offset, data } = change {
                sectors.extend(cut(*offset, data, sector));
            }
        }
        sectors.retain(|_| chance.percent(survives));
        if chance.percent(50) {
            chance.shuffle(&mut sectors);
        }
        for (offset, data) in sectors {
            let room = found.len().saturating_sub(offset).min(data.len());
            put(&mut found, offset, data.get(..room).unwrap_or_default());
        }
        found
    }

    // Holds while the harness itself panics, and is then of no more use.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation, unless the power has failed or fails with it. A write during which it fails may arrive, whole
    /// or in part.
    fn powered(&self, change: Option<Change>) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.left > 0 {
            state.left -= 1;
            state.unsynced.extend(change);
        }
        if state.left == 0 { Err(io::Error::other("the power has failed")) } else { Ok(state) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.powered(None)?.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.powered(None)?;
        let offset = position(offset)?;
        let bytes = state.live.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = position(length)?;
        self.powered(Some(Change::Length(length)))?.live.resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered(None)?;
        if state.lying {
            return Ok(());
        }
        for change in std::mem::take(&mut state.unsynced) {
            match change {
                Change::Write { offset, data } => put(&mut state.durable, offset, &data),
                Change::Length(length) => state.durable.resize(length, 0),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let mut state = self.powered(Some(Change::Write { offset, data: data.to_vec() }))?;
        put(&mut state.live, offset, data);
        Ok(())
    }
}

/// The sectors of a write. Each arrives as a whole or not at all.
fn cut(offset: usize, data: &[u8], sector: usize) -> Vec<(usize, &[u8])> {
    let mut sectors = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let (first, more) = rest.split_at((sector - at % sector).min(rest.len()));
        sectors.push((at, first));
        at += first.len();
        rest = more;
    }
    sectors
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_is_found_and_the_rest_by_chance() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = Disk::new(vec![0; 8192], 100, false);
            disk.write(0, &[1; 512]).unwrap();
            disk.sync_data().unwrap();
            disk.write(512, &[2; 8192 - 512]).unwrap();
            let found = disk.fail(&mut Chance::new(seed));
            assert_eq!(found[..512], [1; 512]);
            assert!(found[512..].chunks(512).all(|sector| sector == [0; 512] || sector == [2; 512]));
            outcomes.insert(found.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            assert!(disk.read(0, &mut [0]).is_err() && disk.sync_data().is_err());
        }
        assert!(outcomes.len() > 5, "writes are torn in many ways");
    }

    #[test]
    fn a_lying_disk_loses_what_it_said_it_had_flushed() {
        let lost = (0..20).any(|seed| {
            let disk = Disk::new(vec![0; 512], 100, true);
            disk.write(0, &[1; 512]).unwrap();
            disk.sync_data().unwrap();
            disk.fail(&mut Chance::new(seed)) == [0; 512]
        });
        assert!(lost);
    }

    #[test]
    fn a_new_length_may_be_lost_and_takes_what_is_beyond_with_it() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let disk = Disk::new(vec![7; 512], 100, false);
            disk.set_len(1024).unwrap();
            disk.write(512, &[8; 512]).unwrap();
            lengths.insert(disk.fail(&mut Chance::new(seed)).len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [512, 1024]);
    }
}
