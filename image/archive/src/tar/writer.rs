//! Writes an archive: ustar where it suffices, pax records for the rest.
//!
//! Equal entries give equal bytes: nothing of the clock or the process gets in.

use std::io::{self, Read, Write};

use super::block::{BLOCK_BYTES, checksum, padding};
use super::error::TarError;
use super::header::{Header, Kind};
use super::pax;

/// Writes an archive. Nothing is complete before [`Writer::finish`].
pub struct Writer<W> {
    sink: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes to `sink`, which should be buffered or take large pieces.
    pub fn new(sink: W) -> Self {
        Self { sink, buffer: Vec::new() }
    }

    /// Writes an entry and its content, which must have as many bytes as the header says.
    /// Only files have content. The map of a sparse file is ignored: its holes are written.
    pub fn append(&mut self, header: &Header, content: impl Read) -> Result<(), TarError> {
        self.append_header(header)?;
        let size = content_size(header);
        self.copy(header, size, content)?;
        self.zeros(padding(size))
    }

    /// Writes an entry whose content is in memory.
    pub fn append_bytes(&mut self, header: &Header, content: &[u8]) -> Result<(), TarError> {
        self.append(header, content)
    }

    /// Writes an entry that has no content.
    pub fn append_empty(&mut self, header: &Header) -> Result<(), TarError> {
        self.append(header, io::empty())
    }

    /// Writes the end of the archive and gives the sink back.
    pub fn finish(mut self) -> Result<W, TarError> {
        self.zeros(2 * BLOCK_BYTES as u64)?;
        self.sink.flush().map_err(TarError::Write)?;
        Ok(self.sink)
    }

    /// The sink.
    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    fn append_header(&mut self, header: &Header) -> Result<(), TarError> {
        let unencodable = |why| TarError::Unencodable { entry: header.path_lossy().into_owned(), why };
        if header.path.is_empty() || header.path.contains(&0) || header.link.contains(&0) {
            return Err(unencodable("its name is empty or has a NUL byte"));
        }
        let mut path = header.path.clone();
        if header.kind == Kind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let (block, records) = encode(header, &path).map_err(unencodable)?;
        if !records.is_empty() {
            let extended = extended_header(&path, records.len() as u64);
            self.write(&extended)?;
            self.write(&records)?;
            self.zeros(padding(records.len() as u64))?;
        }
        self.write(&block)
    }

    fn copy(&mut self, header: &Header, size: u64, mut content: impl Read) -> Result<(), TarError> {
        let entry = || header.path_lossy().into_owned();
        if self.buffer.is_empty() && size > 0 {
            self.buffer = vec![0; BUFFER_BYTES];
        }
        let mut done: u64 = 0;
        while done < size {
            let wanted = (size - done).min(self.buffer.len() as u64) as usize;
            match content.read(&mut self.buffer[..wanted]) {
                Ok(0) => return Err(TarError::ContentSize { entry: entry(), expected: size, actual: done }),
                Ok(count) => {
                    self.sink.write_all(&self.buffer[..count]).map_err(TarError::Write)?;
                    done += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Content { entry: entry(), source }),
            }
        }
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> Result<(), TarError> {
        let zeros = [0; 2 * BLOCK_BYTES];
        self.write(&zeros[..count as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.sink.write_all(bytes).map_err(TarError::Write)
    }
}

fn content_size(header: &Header) -> u64 {
    if header.kind == Kind::File { header.size } else { 0 }
}

/// The header block, and the pax records for what does not fit into it.
fn encode(header: &Header, path: &[u8]) -> Result<([u8; BLOCK_BYTES], Vec<u8>), &'static str> {
    let mut block = [0; BLOCK_BYTES];
    let mut records = Vec::new();
    match split_path(path) {
        Some((prefix, name)) => {
            put(&mut block, 0, name);
            put(&mut block, 345, prefix);
        }
        None => {
            put(&mut block, 0, &path[..path.len().min(100)]);
            records.extend(pax::record(b"path", path));
        }
    }
    put(&mut block, 157, &header.link[..header.link.len().min(100)]);
    if header.link.len() > 100 || !header.link.is_ascii() {
        records.extend(pax::record(b"linkpath", &header.link));
    }
    put_octal(&mut block, 100, 8, u64::from(header.mode & 0o7777));
    let mut number = |at, width, value: u64, key: &[u8]| {
        if !put_octal(&mut block, at, width, value) {
            records.extend(pax::record(key, value.to_string().as_bytes()));
        }
    };
    number(108, 8, header.uid, b"uid");
    number(116, 8, header.gid, b"gid");
    number(124, 12, content_size(header), b"size");
    let seconds = u64::try_from(header.mtime.seconds).ok();
    let fits = seconds.is_some_and(|seconds| put_octal(&mut block, 136, 12, seconds));
    if !fits || header.mtime.nanos != 0 {
        records.extend(pax::record(b"mtime", time_text(header).as_bytes()));
    }
    for (at, text, key) in [(265, &header.user, &b"uname"[..]), (297, &header.group, b"gname")] {
        put(&mut block, at, &text[..text.len().min(31)]);
        if text.len() > 31 || !text.is_ascii() {
            records.extend(pax::record(key, text));
        }
    }
    block[156] = type_flag(header.kind);
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = header.kind {
        let both = put_octal(&mut block, 329, 8, u64::from(major))
            && put_octal(&mut block, 337, 8, u64::from(minor));
        if !both {
            return Err("its device number is beyond what the format holds");
        }
    }
    let mut xattrs: Vec<_> = header.xattrs.iter().collect();
    xattrs.sort_unstable();
    for xattr in xattrs {
        if xattr.name.contains(&b'=') || xattr.name.contains(&0) {
            return Err("the name of an attribute has an equals sign or a NUL byte");
        }
        records.extend(pax::record(&[pax::XATTR_PREFIX, &xattr.name].concat(), &xattr.value));
    }
    seal(&mut block);
    Ok((block, records))
}

fn extended_header(path: &[u8], size: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let base = trimmed.rsplit(|b| *b == b'/').next().unwrap_or(trimmed);
    // Readers without pax would make a file of it: its name must do no harm.
    let harmless = |b: &u8| if b.is_ascii_graphic() { *b } else { b'_' };
    let base: Vec<u8> = base.iter().map(harmless).take(80).collect();
    put(&mut block, 0, &[b"PaxHeaders.0/", &base[..]].concat());
    put_octal(&mut block, 100, 8, 0o644);
    put_octal(&mut block, 108, 8, 0);
    put_octal(&mut block, 116, 8, 0);
    put_octal(&mut block, 124, 12, size);
    put_octal(&mut block, 136, 12, 0);
    block[156] = b'x';
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; BLOCK_BYTES]) {
    put(block, 257, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(block));
    put(block, 148, sum.as_bytes());
}

fn put(block: &mut [u8; BLOCK_BYTES], at: usize, text: &[u8]) {
    block[at..at + text.len()].copy_from_slice(text);
}

/// Writes an octal number with a NUL byte after it; whether it fits. Zero when not.
fn put_octal(block: &mut [u8; BLOCK_BYTES], at: usize, width: usize, value: u64) -> bool {
    let digits = width - 1;
    let text = format!("{value:0digits$o}");
    let fits = text.len() == digits;
    let zero = "0".repeat(digits);
    put(block, at, if fits { text.as_bytes() } else { zero.as_bytes() });
    fits
}

/// Prefix and name of a path that ustar can hold.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= 100 {
        return Some((&[], path));
    }
    // The first slash that leaves a short enough name; the slash itself is implied.
    let from = path.len() - 101;
    let at = from + path[from..path.len() - 1].iter().position(|b| *b == b'/')?;
    (at > 0 && at <= 155).then(|| (&path[..at], &path[at + 1..]))
}

fn time_text(header: &Header) -> String {
    let (seconds, nanos) = (header.mtime.seconds, header.mtime.nanos);
    match (seconds < 0, nanos) {
        (_, 0) => seconds.to_string(),
        (false, nanos) => format!("{seconds}.{nanos:09}"),
        (true, nanos) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
    }
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice { .. } => b'3',
        Kind::BlockDevice { .. } => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Other(flag) => flag,
    }
}

/// Bytes copied at a time.
const BUFFER_BYTES: usize = 256 << 10;
