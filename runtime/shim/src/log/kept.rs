//! One of a log's files, plain or compressed, as it is read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::read::GzDecoder;

use super::{packed, rotated, tail};

/// More rotated files than this are not looked for.
pub(super) const FILES_MAX: u32 = 1000;

const CHUNK: usize = 32 * 1024;

/// A file of a log, open.
#[derive(Debug)]
pub(super) struct KeptFile {
    /// Which it is on the disk.
    pub(super) inode: u64,
    /// Which it was when it was written: of a compressed one, that of the plain one.
    origin: u64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Plain(File),
    Packed {
        decoder: Box<GzDecoder<File>>,
        /// Decompressed already, to be read first.
        ahead: Vec<u8>,
    },
}

impl KeptFile {
    /// The `index`th file of the log at `path`, if there is one. Of a plain file and a compressed
    /// one with the same number the plain one is whole.
    pub(super) fn open(path: &Path, index: u32) -> io::Result<Option<Self>> {
        if let Some(file) = open_if_there(&rotated(path, index))? {
            let inode = file.metadata()?.ino();
            return Ok(Some(Self { inode, origin: inode, form: Form::Plain(file) }));
        }
        if index == 0 {
            return Ok(None);
        }
        let Some(file) = open_if_there(&packed(path, index))? else { return Ok(None) };
        let inode = file.metadata()?.ino();
        let decoder = Box::new(GzDecoder::new(file));
        let origin = decoder.header().and_then(|header| origin_of(header.extra()?));
        let form = Form::Packed { decoder, ahead: Vec::new() };
        Ok(Some(Self { inode, origin: origin.unwrap_or(inode), form }))
    }

    /// Whether `other`, opened later, is this file, which may have been compressed since.
    ///
    /// The number of a plain file that is open is given to no other; one that was compressed
    /// before may have had it, but is older: the newest that matches is this one.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.inode == other.inode || (matches!(self.form, Form::Plain(_)) && self.inode == other.origin)
    }

    /// Goes back to the beginning if the file was emptied: a log of one file only.
    pub(super) fn rewind_if_emptied(&mut self) -> io::Result<bool> {
        let Form::Plain(file) = &mut self.form else { return Ok(false) };
        let emptied = file.stream_position()? > file.metadata()?.size();
        if emptied {
            file.rewind()?;
        }
        Ok(emptied)
    }

    /// Goes to where the last `wanted` lines begin; how many there are.
    pub(super) fn skip_to_last(&mut self, wanted: u64) -> io::Result<u64> {
        match &mut self.form {
            Form::Plain(file) => {
                let found = tail::last_lines(file, file.metadata()?.size(), wanted)?;
                file.seek(SeekFrom::Start(found.offset))?;
                Ok(found.lines)
            }
            Form::Packed { .. } => {
                let all = self.skip_lines(u64::MAX)?;
                self.rewind()?;
                self.skip_lines(all.saturating_sub(wanted))?;
                Ok(all.min(wanted))
            }
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        let Form::Packed { decoder, ahead } = &mut self.form else { return Ok(()) };
        ahead.clear();
        let mut file = decoder.get_ref().try_clone()?;
        file.rewind()?;
        **decoder = GzDecoder::new(file);
        Ok(())
    }

    /// Reads past `lines` lines at most; how many there were.
    fn skip_lines(&mut self, lines: u64) -> io::Result<u64> {
        let mut passed = 0;
        let mut buffer = vec![0; CHUNK];
        while passed < lines {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            for (at, _) in buffer[..count].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                passed += 1;
                if passed == lines {
                    if let Form::Packed { ahead, .. } = &mut self.form {
                        *ahead = buffer[at + 1..count].to_vec();
                    }
                    break;
                }
            }
        }
        Ok(passed)
    }
}

impl Read for KeptFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.form {
            Form::Plain(file) => file.read(buffer),
            Form::Packed { decoder, ahead } if ahead.is_empty() => match decoder.read(buffer) {
                // Damaged: what came before it was read, and there is no more.
                Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    Ok(0)
                }
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
            Form::Packed { ahead, .. } => {
                let count = ahead.as_slice().read(buffer)?;
                ahead.drain(..count);
                Ok(count)
            }
        }
    }
}

/// A subfield of the header that says which file was compressed (RFC 1952, 2.3.1.1).
pub(super) fn origin(inode: u64) -> Vec<u8> {
    [&SUBFIELD[..], &inode.to_le_bytes()].concat()
}

fn origin_of(extra: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(extra.strip_prefix(&SUBFIELD)?.try_into().ok()?))
}

/// The subfield's two letters, and its length.
const SUBFIELD: [u8; 4] = [b'S', b'i', 8, 0];

/// Removes a file that may be missing.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
