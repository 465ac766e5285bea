//! This process's own memory: `madvise(2)`.
#![allow(unsafe_code)]

use std::fs;
use std::io;

/// Lets go of what only this program's past has needed: pages of its code, which come back from its
/// file, and of the first thread's stack below what is in use. For a process that is about to sleep for
/// long.
pub fn release_past() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: a private mapping of a file that cannot be written to has no pages of its own:
        // the kernel drops its view of the file's and reads them again at the next access.
        release(unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) })?;
    }
    let here = 0_u8;
    let in_use = (std::ptr::from_ref(&here) as usize).saturating_sub(STACK_KEPT);
    // SAFETY: a number that does not change.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    if let Some((start, length)) = maps.lines().find_map(|line| unused_stack(line, in_use, page)) {
        // SAFETY: a stack grows downwards. What lies below `in_use` is below the frame of this function
        // and of all that it calls from here on, so that nothing there is live.
        release(unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) })?;
    }
    Ok(())
}

fn release(rc: libc::c_int) -> io::Result<()> {
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Start and length of the whole pages of the first thread's stack that lie below `in_use`: from its line
/// of `/proc/PID/maps`. Another thread's stack has no such line.
fn unused_stack(line: &str, in_use: usize, page: usize) -> Option<(usize, usize)> {
    let range = line.strip_suffix("[stack]")?.split_ascii_whitespace().next()?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let length = in_use.checked_sub(start)? / page * page;
    (in_use < end && length > 0).then_some((start, length))
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

/// Of the stack below the caller's frame: far more than the calls of [`release_past`] take.
const STACK_KEPT: usize = 4096;

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
        release_past().unwrap();
        assert_eq!(code("1-2 r-xp 0 0 1"), Some((1, 1)));
    }

    #[test]
    fn only_the_unused_part_of_the_first_stack_is_released() {
        let stack = "7ffc5f0a0000-7ffc5f0d0000 rw-p 00000000 00:00 0                          [stack]";
        assert_eq!(unused_stack(stack, 0x7ffc_5f0c_1234, 4096), Some((0x7ffc_5f0a_0000, 0x21000)));
        assert_eq!(unused_stack(stack, 0x7ffc_5f0a_0234, 4096), None, "not a whole page");
        for elsewhere in [0x7ffc_5f0e_0000, 0x7ffc_0000_0000] {
            assert_eq!(unused_stack(stack, elsewhere, 4096), None, "another thread's");
        }
        assert_eq!(
            unused_stack("0235d000-0235e000 rw-p 00000000 00:00 0          [heap]", 0x0235_d800, 4096),
            None
        );
    }
}
