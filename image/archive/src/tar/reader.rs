//! Reads an archive from its beginning to its end, one entry at a time.

use std::io::{self, Read};

use super::block::{BLOCK_BYTES, Block, Dialect, padding, until_nul};
use super::error::TarError;
use super::header::{Extent, Header, Kind, Timestamp};
use super::pax::{self, Records};
use super::source::Source;
use super::sparse;

/// What an archive may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a name or a link target.
    pub name_bytes: usize,
    /// Bytes of one extended header.
    pub pax_bytes: usize,
    /// Pieces of one sparse file.
    pub extents: usize,
    /// Entries of the archive.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // Linux: a path has 4 KiB, an attribute's value 64 KiB, and their names 64 KiB together.
        Self { name_bytes: 64 << 10, pax_bytes: 1 << 20, extents: 1 << 18, entries: u64::MAX }
    }
}

/// Reads an archive.
pub struct Reader<R> {
    source: Source<R>,
    limits: Limits,
    entries: u64,
    content: Content,
    ended: bool,
}

/// What of the current entry's content is still to come.
#[derive(Default)]
struct Content {
    /// Where the file has data; the first `extent` of them are done.
    extents: Vec<Extent>,
    extent: usize,
    /// How much of the current extent is done.
    done: u64,
    /// Stored bytes to come.
    stored: u64,
    /// And the padding after them.
    padding: u64,
    /// For `Read`: where in the file, holes included, and where it ends.
    position: u64,
    size: u64,
}

/// An entry and its content. Dropped early, the rest of the content is skipped.
pub struct Entry<'a, R> {
    header: Header,
    reader: &'a mut Reader<R>,
}

/// A piece of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where it belongs in the file.
    pub offset: u64,
    /// The bytes, straight from the reader's buffer.
    pub bytes: &'a [u8],
}

/// What stood before an entry's own header.
#[derive(Default)]
struct Extensions {
    records: Records,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    count: u32,
}

impl<R: Read> Reader<R> {
    /// Reads `source` with the default limits.
    pub fn new(source: R) -> Self {
        Self::with_limits(source, Limits::default())
    }

    /// Reads `source` with the given limits.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        Self { source: Source::new(source), limits, entries: 0, content: Content::default(), ended: false }
    }

    /// The next entry; `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_, R>>, TarError> {
        match self.next_header()? {
            Some(header) => Ok(Some(Entry { header, reader: self })),
            None => Ok(None),
        }
    }

    /// How many bytes of the archive were taken.
    pub fn offset(&self) -> u64 {
        self.source.offset
    }

    /// Reads what stands after the archive's end, up to the end of the source; how many
    /// bytes that were. A digest over the source needs them.
    pub fn drain(&mut self) -> Result<u64, TarError> {
        let start = self.source.offset;
        loop {
            match self.source.fill()?.len() {
                0 => return Ok(self.source.offset - start),
                count => self.source.consume(count),
            }
        }
    }

    /// The source.
    pub fn get_ref(&self) -> &R {
        self.source.get_ref()
    }

    /// The source; what is in the buffer is lost.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let rest = self.content.stored + self.content.padding;
        self.content = Content::default();
        self.source.skip(rest, "an entry's content")?;
        let mut extensions = Extensions::default();
        loop {
            let offset = self.source.offset;
            let Some(bytes) = self.next_block()? else {
                self.ended = true;
                return match extensions.count {
                    0 => Ok(None),
                    _ => Err(TarError::Truncated { what: "an entry after its extended header", offset }),
                };
            };
            let block = Block::new(&bytes, offset)?;
            if !self.take_extension(&block, &mut extensions, offset)? {
                self.entries += 1;
                if self.entries > self.limits.entries {
                    return Err(TarError::Limit { what: "entries", limit: self.limits.entries, offset });
                }
                return self.entry_header(&block, extensions, offset).map(Some);
            }
        }
    }

    /// The next block that is not zero. Two zero blocks end the archive, and so does the
    /// end of the source, with or without one of them before it.
    fn next_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let is_zero = |block: &[u8; BLOCK_BYTES]| block.iter().all(|b| *b == 0);
        match self.source.block()? {
            Some(block) if is_zero(&block) => {}
            other => return Ok(other),
        }
        let offset = self.source.offset;
        match self.source.block()? {
            // Readers differ about what follows a single zero block: nobody gets to choose.
            Some(block) if !is_zero(&block) => Err(TarError::Checksum { offset }),
            _ => Ok(None),
        }
    }

    /// Takes a block that speaks about the next one; whether it was one.
    fn take_extension(
        &mut self,
        block: &Block<'_>,
        to: &mut Extensions,
        offset: u64,
    ) -> Result<bool, TarError> {
        let limit = match block.type_flag() {
            b'x' | b'X' | b'g' => self.limits.pax_bytes,
            b'L' | b'K' => self.limits.name_bytes + BLOCK_BYTES,
            b'V' => 0,
            _ => return Ok(false),
        };
        to.count += 1;
        if to.count > EXTENSIONS_MAX {
            return Err(TarError::Limit {
                what: "headers before an entry",
                limit: u64::from(EXTENSIONS_MAX),
                offset,
            });
        }
        let size = block.size()?;
        if size > limit as u64 {
            return Err(TarError::Limit { what: "bytes of an extended header", limit: limit as u64, offset });
        }
        let mut text = vec![0; size as usize];
        self.source.exactly(&mut text, "an extended header")?;
        self.source.skip(padding(size), "an extended header")?;
        match block.type_flag() {
            b'x' | b'X' => {
                pax::parse(&text, &mut to.records).map_err(|why| TarError::Pax { why, offset })?;
            }
            b'L' => to.long_path = Some(until_nul(&text).to_vec()),
            b'K' => to.long_link = Some(until_nul(&text).to_vec()),
            // Global records (git puts the commit there) and volume labels say nothing
            // about a file. They may stand at the end of an archive.
            _ => to.count -= 1,
        }
        Ok(true)
    }

    fn entry_header(
        &mut self,
        block: &Block<'_>,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Header, TarError> {
        let Extensions { mut records, long_path, long_link, .. } = extensions;
        let path = long_path.or(records.path.take()).unwrap_or_else(|| block.path());
        let mut header = Header {
            kind: kind(block, &path)?,
            path,
            link: long_link.or(records.link.take()).unwrap_or_else(|| block.link().to_vec()),
            mode: block.mode()?,
            uid: records.uid.map_or_else(|| block.uid(), Ok)?,
            gid: records.gid.map_or_else(|| block.gid(), Ok)?,
            user: records.user.take().unwrap_or_else(|| block.user().to_vec()),
            group: records.group.take().unwrap_or_else(|| block.group().to_vec()),
            size: records.size.map_or_else(|| block.size(), Ok)?,
            mtime: records
                .mtime
                .map_or_else(|| block.mtime().map(|seconds| Timestamp { seconds, nanos: 0 }), Ok)?,
            xattrs: std::mem::take(&mut records.xattrs),
            extents: None,
        };
        // The size of a pax record is the length of what is stored, whatever the header
        // block says: a reader that skips the other length sees other entries.
        self.start_content(block, &mut header, records, offset)?;
        let limit = self.limits.name_bytes;
        if header.path.len() > limit || header.link.len() > limit {
            return Err(TarError::Limit { what: "bytes of a name", limit: limit as u64, offset });
        }
        Ok(header)
    }

    fn start_content(
        &mut self,
        block: &Block<'_>,
        header: &mut Header,
        records: Records,
        offset: u64,
    ) -> Result<(), TarError> {
        let mut stored = match header.kind {
            Kind::File | Kind::Other(_) => header.size,
            // Some writers give links and directories a size, none gives them content.
            _ => 0,
        };
        header.size = stored;
        if stored > LENGTH_MAX {
            return Err(TarError::Number { field: "size", offset });
        }
        let pad = padding(stored);
        let mut sparse_records = records.sparse;
        let map = if header.kind != Kind::File {
            None
        } else if block.type_flag() == b'S' {
            Some(sparse::read_old_gnu(block, &mut self.source, self.limits.extents, offset)?)
        } else if sparse_records.map_is_in_data() || sparse_records.has_map {
            let real_size = sparse_records.real_size;
            let real_size =
                real_size.ok_or(TarError::Sparse { why: "the file's length is missing", offset })?;
            if let Some(name) = sparse_records.name.take() {
                header.path = name;
            }
            let map = if sparse_records.map_is_in_data() {
                let (map, taken) =
                    sparse::read_in_data(&mut self.source, stored, self.limits.extents, offset)?;
                stored -= taken;
                map
            } else {
                sparse_records.map
            };
            Some((map, real_size))
        } else {
            None
        };
        if let Some((map, real_size)) = map {
            if map.len() > self.limits.extents {
                let limit = self.limits.extents as u64;
                return Err(TarError::Limit { what: "pieces of a sparse file", limit, offset });
            }
            if real_size > LENGTH_MAX {
                return Err(TarError::Number { field: "real size", offset });
            }
            sparse::validate(&map, real_size, stored, offset)?;
            header.size = real_size;
            header.extents = Some(map);
        }
        let whole = || vec![Extent { offset: 0, length: stored }];
        let extents = header.extents.clone().unwrap_or_else(whole);
        self.content = Content { extents, stored, padding: pad, size: header.size, ..Content::default() };
        Ok(())
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, TarError> {
        let content = &mut self.content;
        while let Some(extent) = content.extents.get(content.extent) {
            let left = extent.length - content.done;
            if left == 0 {
                content.extent += 1;
                content.done = 0;
                continue;
            }
            let at_hand = self.source.fill()?.len();
            if at_hand == 0 {
                return Err(TarError::Truncated { what: "an entry's content", offset: self.source.offset });
            }
            let count = left.min(at_hand as u64) as usize;
            return Ok(Some(Chunk {
                offset: extent.offset + content.done,
                bytes: &self.source.at_hand()[..count],
            }));
        }
        Ok(None)
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.content.done += count as u64;
        self.content.stored -= count as u64;
    }
}

impl<R: Read> Entry<'_, R> {
    /// What the archive says about it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The same, to keep.
    pub fn into_header(self) -> Header {
        self.header
    }

    /// The next piece of data, straight from the buffer; holes are left out. Say with
    /// [`Entry::consume`] how much of it was taken. Not to be mixed with `Read`.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, TarError> {
        self.reader.next_chunk()
    }

    /// Takes the first `count` bytes of the last chunk.
    pub fn consume(&mut self, count: usize) {
        self.reader.consume(count);
    }
}

/// The content with its holes filled with zeros.
impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (position, size) = (self.reader.content.position, self.reader.content.size);
        let wanted = (size - position).min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let count = match self.reader.next_chunk().map_err(io::Error::other)? {
            Some(chunk) if chunk.offset <= position => {
                let count = wanted.min(chunk.bytes.len());
                buffer[..count].copy_from_slice(&chunk.bytes[..count]);
                self.reader.consume(count);
                count
            }
            hole => {
                let end = hole.map_or(size, |chunk| chunk.offset);
                let count = (end - position).min(wanted as u64) as usize;
                buffer[..count].fill(0);
                count
            }
        };
        self.reader.content.position += count as u64;
        Ok(count)
    }
}

fn kind(block: &Block<'_>, path: &[u8]) -> Result<Kind, TarError> {
    Ok(match block.type_flag() {
        // Before POSIX a directory was a file whose name ends with a slash.
        0 if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' => Kind::File,
        b'S' if block.dialect() == Dialect::Gnu => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => block.device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
        b'4' => block.device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    })
}

/// Lengths of files are signed 64-bit numbers in the kernel.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// One of each kind, twice, with room.
const EXTENSIONS_MAX: u32 = 16;
