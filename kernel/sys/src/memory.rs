//! This process's own memory: `madvise(2)`.
#![allow(unsafe_code)]

use std::fs;
use std::io;

/// Lets go of the pages of this program's code; they come back from its file when they are
/// needed. For a process that is about to sleep for long.
pub fn release_code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: a private mapping of a file that cannot be written to has no pages of its own:
        // the kernel drops its view of the file's and reads them again at the next access.
        let rc = unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Start and length of a mapping of code from a file: a line of `/proc/PID/maps`, `proc(5)`.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp";
    let is_file = fields.nth(2)? != "0";
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (is_code && is_file).then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_released() {
        let file = "00401000-00403000 r-xp 00001000 fe:00 11075611   /bin/x";
        assert_eq!(code(file), Some((0x401000, 0x2000)));
        for other in [
            "00400000-00401000 r--p 00000000 fe:00 11075611   /bin/x",
            "7f3057981000-7f3057983000 r-xp 00000000 00:00 0   [vdso]",
            "0235d000-0235e000 rw-p 00000000 00:00 0          [heap]",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }

    #[test]
    fn code_comes_back_when_it_is_needed() {
        release_code().unwrap();
        assert_eq!(code("1-2 r-xp 0 0 1"), Some((1, 1)));
    }
}
