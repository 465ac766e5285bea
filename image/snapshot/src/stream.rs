//! The uncompressed archive of a layer as a stream that knows its digest.

use std::io::{self, Read};

use archive::compression::Decoder;
use base::Digest;
use base::digest::{Algorithm, DigestHasher};
use oci_spec::image::Compression;

use crate::Limits;

/// An uncompressed archive, hashed on its way.
///
/// [`Hashing`] does it in the reading thread. A caller with a core to spare implements
/// it with a channel whose other end inflates and hashes.
pub trait DiffStream: Read {
    /// The digest of everything that was read. Called after the end was reached.
    fn finish(self) -> io::Result<Digest>;
}

/// Hashes what is read through it.
pub struct Hashing<R> {
    inner: R,
    hasher: DigestHasher,
}

impl<R: Read> Hashing<R> {
    /// Hashes what is read from `inner` with SHA-256.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: DigestHasher::new(Algorithm::Sha256) }
    }

    /// The source.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl<R: Read> DiffStream for Hashing<R> {
    fn finish(self) -> io::Result<Digest> {
        Ok(self.hasher.finish())
    }
}

/// A compressed layer, inflated and hashed while it is read, within the limits.
pub type LayerReader<R> = Hashing<Inflated<R>>;

/// Opens a compressed layer. The media type says how it is compressed, but what the
/// bytes are decides: `None` looks at them.
pub fn open_layer<R: Read>(
    blob: R,
    compression: Option<Compression>,
    limits: &Limits,
) -> io::Result<LayerReader<R>> {
    Ok(Hashing::new(Inflated::new(blob, compression, limits)?))
}

/// An inflated stream within limits.
pub struct Inflated<R: Read> {
    decoder: Decoder<Counted<R>>,
    inflated: u64,
    limits: Limits,
}

impl<R: Read> Inflated<R> {
    /// Inflates `blob`; see [`open_layer`].
    pub fn new(blob: R, compression: Option<Compression>, limits: &Limits) -> io::Result<Self> {
        let counted = Counted { inner: blob, count: 0 };
        let decoder = match compression {
            None => Decoder::detect(counted)?,
            Some(compression) => Decoder::new(counted, compression)?,
        };
        Ok(Self { decoder, inflated: 0, limits: *limits })
    }

    /// How many compressed bytes were taken.
    pub fn blob_bytes(&self) -> u64 {
        self.decoder.get_ref().count
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.inflated += count as u64;
        if self.inflated > self.limits.archive_bytes {
            return Err(bomb(Bomb::Bytes { limit: self.limits.archive_bytes }));
        }
        let allowed = self.blob_bytes().saturating_mul(self.limits.ratio);
        if self.inflated > self.limits.ratio_from && self.inflated > allowed {
            return Err(bomb(Bomb::Ratio { limit: self.limits.ratio }));
        }
        Ok(count)
    }
}

/// The stream grows beyond what a layer may be.
#[derive(Debug, thiserror::Error)]
enum Bomb {
    #[error("the uncompressed layer is beyond the limit of {limit} bytes")]
    Bytes { limit: u64 },
    #[error("the layer inflates more than {limit} times: it is made to fill the disk")]
    Ratio { limit: u64 },
}

fn bomb(bomb: Bomb) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, bomb)
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
