//! Names and numbers of system calls.

mod table;

use super::policy::Arch;
use table::SYSCALLS;

/// The call's number on `arch`, as the kernel reports it to a filter (with x32's marker
/// bit). `None` when the architecture has no such call or the name is unknown.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    let row = SYSCALLS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    u32::try_from(SYSCALLS[row].1[column(arch)]).ok().map(|number| number | arch.number_base())
}

/// All calls of `arch`: name and number, by name.
pub fn names(arch: Arch) -> impl Iterator<Item = (&'static str, u32)> {
    SYSCALLS.iter().filter_map(move |(name, numbers)| {
        let number = u32::try_from(numbers[column(arch)]).ok()?;
        Some((*name, number | arch.number_base()))
    })
}

/// How many calls `arch` has in our table.
pub fn syscall_count(arch: Arch) -> usize {
    names(arch).count()
}

/// Whether any architecture has a call of this name.
pub(super) fn is_known(name: &str) -> bool {
    SYSCALLS.binary_search_by_key(&name, |(name, _)| name).is_ok()
}

fn column(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 => 0,
        Arch::X86 => 1,
        Arch::X32 => 2,
        Arch::Aarch64 => 3,
        Arch::Arm => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_each_number_has_one_name() {
        assert!(SYSCALLS.is_sorted_by(|a, b| a.0 < b.0));
        for arch in Arch::ALL {
            let mut numbers: Vec<u32> = names(arch).map(|(_, number)| number).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "{arch:?}");
        }
    }

    #[test]
    fn agrees_with_libc() {
        for (name, native) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("seccomp", libc::SYS_seccomp),
            ("futex_waitv", libc::SYS_futex_waitv),
        ] {
            assert_eq!(number(Arch::NATIVE, name), Some(native as u32), "{name}");
        }
        assert_eq!(number(Arch::X32, "execve"), Some(0x4000_0000 | 520));
        assert_eq!(number(Arch::X86, "socketcall"), Some(102));
        assert_eq!(number(Arch::Aarch64, "open"), None);
        assert_eq!(number(Arch::Arm, "set_tls"), Some(0x000f_0005));
    }
}
