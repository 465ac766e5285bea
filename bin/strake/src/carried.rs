//! The small binaries that `strake` carries behind its own image.
//!
//! ```text
//! ELF │ part │ part │ … │ table: one line a part, "NAME OFFSET SIZE\n" │ table size, u64 LE │ magic
//! ```
//!
//! The kernel loads an ELF file by its headers and ignores what follows, so that one file is all a user
//! has to copy. `cargo xtask build` appends; `strake` reads.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"strake\0\x01";

/// More than this is no table of ours.
const TABLE_SIZE_MAX: u64 = 4096;

/// Appends `parts` (name, content) to an executable's bytes.
///
/// A name must not have white space in it.
pub(crate) fn append(executable: &mut Vec<u8>, parts: &[(String, Vec<u8>)]) {
    let mut table = String::new();
    for (name, content) in parts {
        assert!(!name.contains(char::is_whitespace), "a part's name is one word: {name:?}");
        table += &format!("{name} {} {}\n", executable.len(), content.len());
        executable.extend_from_slice(content);
    }
    executable.extend_from_slice(table.as_bytes());
    executable.extend_from_slice(&(table.len() as u64).to_le_bytes());
    executable.extend_from_slice(MAGIC);
}

/// The content of part `name` of the executable open as `file`; `None` when it carries no such part.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read(file: &mut (impl Read + Seek), name: &str) -> io::Result<Option<Vec<u8>>> {
    let end = file.seek(SeekFrom::End(0))?;
    let Some(tail_at) = end.checked_sub(16) else { return Ok(None) };
    let mut tail = [0; 16];
    file.seek(SeekFrom::Start(tail_at))?;
    file.read_exact(&mut tail)?;
    let (size, magic) = tail.split_at(8);
    let size = u64::from_le_bytes(size.try_into().unwrap_or([0xff; 8]));
    if magic != MAGIC || size > TABLE_SIZE_MAX || size > tail_at {
        return Ok(None);
    }
    let mut table = vec![0; size as usize];
    file.seek(SeekFrom::Start(tail_at - size))?;
    file.read_exact(&mut table)?;
    let Some((offset, size)) =
        find(&table, name).filter(|(offset, size)| offset.saturating_add(*size) <= tail_at)
    else {
        return Ok(None);
    };
    let mut content = vec![0; size as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut content)?;
    Ok(Some(content))
}

/// Offset and size of part `name`.
fn find(table: &[u8], name: &str) -> Option<(u64, u64)> {
    let table = std::str::from_utf8(table).ok()?;
    let mut words =
        table.lines().map(str::split_whitespace).find(|words| words.clone().next() == Some(name))?;
    let (_, offset, size) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((offset, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn parts() -> Vec<u8> {
        let mut file = b"ELF".to_vec();
        append(&mut file, &[("shim".to_owned(), b"one".to_vec()), ("runtime".to_owned(), b"three".to_vec())]);
        file
    }

    #[test]
    fn what_was_appended_is_read() {
        let mut file = Cursor::new(parts());
        assert_eq!(read(&mut file, "shim").unwrap().unwrap(), b"one");
        assert_eq!(read(&mut file, "runtime").unwrap().unwrap(), b"three");
        assert_eq!(read(&mut file, "shi").unwrap(), None);
    }

    #[test]
    fn foreign_and_cut_files_carry_nothing() {
        for bytes in [&b""[..], b"short", &[0xff; 64], &parts()[..20]] {
            assert_eq!(read(&mut Cursor::new(bytes), "shim").unwrap(), None);
        }
        let mut lying = b"shim 999999 5\n".to_vec();
        lying.extend_from_slice(&14u64.to_le_bytes());
        lying.extend_from_slice(MAGIC);
        assert_eq!(read(&mut Cursor::new(lying), "shim").unwrap(), None);
    }
}
