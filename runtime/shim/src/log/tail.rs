//! Finds where the last `n` lines of a file begin, reading backwards.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: usize = 16 * 1024;

/// Where the last lines begin, and how many there are at most `wanted`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) offset: u64,
    pub(super) lines: u64,
}

/// The last `wanted` newline-ended lines of the first `size` bytes. A broken line at the
/// end is not counted.
pub(super) fn last_lines(file: &File, size: u64, wanted: u64) -> io::Result<Tail> {
    let mut lines = 0;
    let mut end = size;
    let mut block = vec![0; BLOCK];
    // The newline that ends line k from the back precedes line k-1: count one more.
    let mut newlines = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let bytes = &mut block[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        for (at, _) in bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            if newlines == wanted {
                return Ok(Tail { offset: start + at as u64 + 1, lines });
            }
            newlines += 1;
            lines = newlines;
        }
        end = start;
    }
    Ok(Tail { offset: 0, lines })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> (testkit::TempDir, File) {
        let dir = testkit::TempDir::new();
        let path = dir.path().join("log");
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let file = File::open(&path).unwrap();
        (dir, file)
    }

    #[track_caller]
    fn check(bytes: &[u8], wanted: u64, offset: u64, lines: u64) {
        let (_dir, file) = file(bytes);
        let tail = last_lines(&file, bytes.len() as u64, wanted).unwrap();
        assert_eq!(tail, Tail { offset, lines });
    }

    #[test]
    fn counts_from_the_end() {
        check(b"", 3, 0, 0);
        check(b"a\nb\nc\n", 0, 6, 0);
        check(b"a\nb\nc\n", 1, 4, 1);
        check(b"a\nb\nc\n", 2, 2, 2);
        check(b"a\nb\nc\n", 3, 0, 3);
        check(b"a\nb\nc\n", 9, 0, 3);
        check(b"a\nb\nbro", 1, 2, 1);
    }

    #[test]
    fn crosses_blocks() {
        let mut bytes = vec![b'x'; 3 * BLOCK];
        bytes.push(b'\n');
        bytes.extend(b"end\n");
        check(&bytes, 1, 3 * BLOCK as u64 + 1, 1);
        check(&bytes, 2, 0, 2);
    }
}
