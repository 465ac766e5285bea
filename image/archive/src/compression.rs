//! gzip (RFC 1952), zstd (RFC 8878) and plain streams.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
pub use oci_spec::image::Compression;

/// How a stream is compressed, from its first bytes; four of them suffice.
pub fn detect(first: &[u8]) -> Compression {
    match first {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame: zstd:chunked puts its table of contents into one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Inflates a stream.
pub enum Decoder<R: Read> {
    /// Nothing to do.
    Plain(BufReader<R>),
    /// gzip, any number of members.
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    /// zstd, any number of frames.
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Inflates `source` as its first bytes say.
    pub fn detect(source: R) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        let compression = detect(source.fill_buf()?);
        Self::buffered(source, compression)
    }

    /// Inflates `source`, which is compressed as told.
    pub fn new(source: R, compression: Compression) -> io::Result<Self> {
        Self::buffered(BufReader::with_capacity(BUFFER_BYTES, source), compression)
    }

    fn buffered(source: BufReader<R>, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(source),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// How the stream is compressed.
    pub fn compression(&self) -> Compression {
        match self {
            Self::Plain(_) => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// The source. Some bytes of it may already be in a buffer here.
    pub fn get_ref(&self) -> &R {
        match self {
            Self::Plain(source) => source.get_ref(),
            Self::Gzip(decoder) => decoder.get_ref().get_ref(),
            Self::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Compresses a stream. Nothing is complete before [`Encoder::finish`].
pub enum Encoder<W: Write> {
    /// Nothing to do.
    Plain(W),
    /// gzip without name and time, so that equal content gives equal bytes.
    Gzip(Box<GzEncoder<W>>),
    /// zstd.
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Encoder<W> {
    /// Compresses into `sink` at the algorithm's usual level (gzip 6, zstd 3).
    pub fn new(sink: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(sink),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(sink, flate2::Compression::default()))),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Writes the end of the stream and gives the sink back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(mut sink) => sink.flush().map(|()| sink),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Bytes read from the source at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The window of `zstd --ultra -22`, 128 MiB: the most that a decoder must be ready for.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(compression: Compression) {
        let content: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut encoder = Encoder::new(Vec::new(), compression).unwrap();
        encoder.write_all(&content).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(detect(&packed), compression);
        let mut decoder = Decoder::detect(&packed[..]).unwrap();
        assert_eq!(decoder.compression(), compression);
        let mut back = Vec::new();
        decoder.read_to_end(&mut back).unwrap();
        assert!(back == content);
        if compression != Compression::None {
            let cut = Decoder::detect(&packed[..packed.len() / 2]).unwrap().read_to_end(&mut Vec::new());
            assert!(cut.is_err(), "a cut stream is an error");
        }
    }

    #[test]
    fn round_trips() {
        check(Compression::None);
        check(Compression::Gzip);
        check(Compression::Zstd);
    }

    #[test]
    fn reads_all_members() {
        let member = |text: &str| {
            let mut encoder = Encoder::new(Vec::new(), Compression::Gzip).unwrap();
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let packed = [member("one "), member("two")].concat();
        let mut text = String::new();
        Decoder::detect(&packed[..]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn takes_short_streams_as_plain() {
        for bytes in [&b""[..], b"\x1f", b"abc"] {
            assert_eq!(Decoder::detect(bytes).unwrap().compression(), Compression::None);
        }
    }
}
