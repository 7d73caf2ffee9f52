//! Reads the TPM's structures: big-endian numbers and sized buffers, and never past the end.

use super::public::PublicError;

/// The bytes that are left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], PublicError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(PublicError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PublicError> {
        let bytes = self.take(2)?;
        bytes.try_into().map(u16::from_be_bytes).map_err(|_| PublicError::Short)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PublicError> {
        let bytes = self.take(4)?;
        bytes.try_into().map(u32::from_be_bytes).map_err(|_| PublicError::Short)
    }

    /// Reads a buffer that is preceded by its size (`TPM2B`).
    pub(super) fn sized(&mut self) -> Result<&'a [u8], PublicError> {
        let size = self.u16()?;
        self.take(size.into())
    }

    pub(super) fn end(self) -> Result<(), PublicError> {
        if self.0.is_empty() { Ok(()) } else { Err(PublicError::Long) }
    }
}

/// Writes a buffer, preceded by its size. All buffers of this module are shorter than 64 KiB.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&size.to_be_bytes(), bytes].concat()
}
