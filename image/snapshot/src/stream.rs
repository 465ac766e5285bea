//! The uncompressed archive of a layer as a stream that knows its digest.

use std::io::{self, Read};

use archive::compression::Decoder;
use base::Digest;
use base::digest::{Algorithm, DigestHasher};

use crate::Limits;
use oci_spec::image::Compression;

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
pub fn open_layer<R: Read>(blob: R, compression: Option<Compression>, limits: &Limits) -> io::Result<LayerReader<R>> {
    let _ = (blob, compression, limits);
    todo!()
}

/// An inflated stream within limits.
pub struct Inflated<R: Read> {
    decoder: Decoder<R>,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer)
    }
}
