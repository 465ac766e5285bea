//! Names and numbers of system calls.

mod table;

use super::policy::Arch;
use table::SYSCALLS;

/// A call's numbers on all architectures.
#[derive(Clone, Copy)]
pub(super) struct Numbers(&'static [i32; 5]);

impl Numbers {
    /// The number on `arch`, as the kernel reports it to a filter (with x32's marker bit).
    pub(super) fn on(self, arch: Arch) -> Option<u32> {
        u32::try_from(self.0[column(arch)]).ok().map(|number| number | arch.number_base())
    }
}

/// The numbers of a call; `None` when no architecture has one of this name.
pub(super) fn lookup(name: &str) -> Option<Numbers> {
    let mut slot = hash(name.as_bytes()) % SLOTS;
    while INDEX[slot] != EMPTY {
        let (candidate, numbers) = &SYSCALLS[usize::from(INDEX[slot])];
        if *candidate == name {
            return Some(Numbers(numbers));
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// The call's number on `arch`, as the kernel reports it to a filter (with x32's marker
/// bit). `None` when the architecture has no such call or the name is unknown.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    lookup(name)?.on(arch)
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

fn column(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 => 0,
        Arch::X86 => 1,
        Arch::X32 => 2,
        Arch::Aarch64 => 3,
        Arch::Arm => 4,
    }
}

/// FNV-1a.
const fn hash(name: &[u8]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    (hash ^ hash >> 32) as usize
}

/// A hash table over the names, made by the compiler: a profile has some 400 of them to look
/// up each time a container starts.
static INDEX: [u16; SLOTS] = {
    let mut index = [EMPTY; SLOTS];
    let mut row = 0;
    while row < SYSCALLS.len() {
        let mut slot = hash(SYSCALLS[row].0.as_bytes()) % SLOTS;
        while index[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = row as u16;
        row += 1;
    }
    index
};

/// Twice as many as names, and a power of two.
const SLOTS: usize = 1024;
const EMPTY: u16 = u16::MAX;

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
