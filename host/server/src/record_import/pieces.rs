//! Reads the file as a blocking reader, from the pieces in which it arrives.

use std::io::{self, BufRead, BufReader, Read, Write as _};

use bytes::{Buf as _, Bytes};
use landfall_store::Staging;
use tokio::sync::mpsc;

use super::Piece;
use super::staged::FromTheBeginning;

/// Where the bytes come from.
pub(super) enum Source {
    /// From the network. It can be read once.
    Live(Pieces),
    /// From the network, and stored on disk, up to this number of bytes.
    Staged(Pieces, Staging, u64),
    File(FromTheBeginning),
}

impl Source {
    /// The number of bytes that are accepted.
    pub(super) fn max_bytes(&self) -> u64 {
        match self {
            Self::Staged(.., max_bytes) => *max_bytes,
            Self::Live(_) | Self::File(_) => u64::MAX,
        }
    }

    pub(super) fn reader(self) -> Box<dyn BufRead> {
        match self {
            Self::Live(pieces) => Box::new(pieces),
            Self::Staged(pieces, staging, max_bytes) => {
                let keeping = Keeping { pieces, staging, left: max_bytes, unwatched: 0 };
                Box::new(BufReader::with_capacity(STAGING_BYTES, keeping))
            }
            Self::File(file) => Box::new(BufReader::with_capacity(STAGING_BYTES, file)),
        }
    }
}

/// The pieces in their order. Reading blocks the caller's thread.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
}

impl Pieces {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => break,
                Some(Ok(piece)) => self.current = piece,
                Some(Err(reason)) => return Err(io::Error::other(reason)),
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount.min(self.current.len()));
    }
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

/// Stores on disk what is read.
struct Keeping {
    pieces: Pieces,
    staging: Staging,
    left: u64,
    /// The number of bytes since the free disk space was last checked.
    unwatched: u64,
}

impl Read for Keeping {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.pieces.read(out)?;
        let taken = u64::try_from(read).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(taken).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.unwatched = self.unwatched.saturating_add(taken);
        if self.unwatched >= WATCHED_BYTES {
            (self.staging.room)().map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error.to_string()))?;
            self.unwatched = 0;
        }
        self.staging.file.write_all(out.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}

/// The free disk space is checked again after this number of bytes.
const WATCHED_BYTES: u64 = 4 << 20;

/// The number of bytes that are written to or read from the disk at once.
const STAGING_BYTES: usize = 256 * 1024;
