//! The file as a blocking reader of the pieces in which it comes.

use std::io::{self, BufRead, BufReader, Read, Write as _};

use bytes::{Buf as _, Bytes};
use landfall_store::Staging;
use tokio::sync::mpsc;

use super::Piece;
use super::staged::FromTheBeginning;

/// Where the bytes come from.
pub(super) enum Source {
    /// From the network, once.
    Live(Pieces),
    /// From the network, and kept on disk up to so many bytes.
    Staged(Pieces, Staging, u64),
    File(FromTheBeginning),
}

impl Source {
    /// How many bytes are taken.
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

/// The pieces as they come. Waits on the thread of the caller.
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

/// Keeps what is read.
struct Keeping {
    pieces: Pieces,
    staging: Staging,
    left: u64,
    /// Bytes since it was asked whether there is room on the disk.
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

/// After so many bytes it is asked again whether there is room on the disk.
const WATCHED_BYTES: u64 = 4 << 20;

/// Bytes that are moved to or from the disk at once.
const STAGING_BYTES: usize = 256 * 1024;
