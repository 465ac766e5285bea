//! The archive's bytes through one large buffer, counted.

use std::io::{self, Read};

use super::block::BLOCK_BYTES;
use super::error::TarError;

pub(super) struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// How many bytes were taken.
    pub(super) offset: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0, offset: 0 }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The bytes at hand, at least one unless the archive has ended.
    pub(super) fn fill(&mut self) -> Result<&[u8], TarError> {
        while self.start == self.end {
            match self.inner.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => (self.start, self.end) = (0, count.min(self.buffer.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { offset: self.offset, source }),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The bytes that the last [`Source::fill`] showed.
    pub(super) fn at_hand(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// The next block; `None` when the archive ends before it.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        if self.fill()?.is_empty() {
            return Ok(None);
        }
        self.exactly(&mut block, "a header")?;
        Ok(Some(block))
    }

    pub(super) fn exactly(&mut self, target: &mut [u8], what: &'static str) -> Result<(), TarError> {
        let mut filled = 0;
        while filled < target.len() {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                return Err(TarError::Truncated { what, offset: self.offset });
            }
            let count = bytes.len().min(target.len() - filled);
            target[filled..filled + count].copy_from_slice(&bytes[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, mut count: u64, what: &'static str) -> Result<(), TarError> {
        while count > 0 {
            let at_hand = self.fill()?.len();
            if at_hand == 0 {
                return Err(TarError::Truncated { what, offset: self.offset });
            }
            let step = count.min(at_hand as u64);
            self.consume(step as usize);
            count -= step;
        }
        Ok(())
    }
}

/// Large enough that system calls and channel messages do not count.
const BUFFER_BYTES: usize = 256 << 10;
