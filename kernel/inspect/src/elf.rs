//! The program interpreter of an ELF file: which libc's loader starts it, if any.

/// What the head of a program file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Not an ELF file of 64 bits, or too broken to tell.
    Unknown,
    /// No interpreter: everything is inside the file.
    Static,
    /// Started through this loader, as in `/lib64/ld-linux-x86-64.so.2`.
    Dynamic(String),
}

/// Reads the head of a file, of which `bytes` should be the first pages: `elf(5)`.
pub fn linkage(bytes: &[u8]) -> Linkage {
    match interpreter(bytes) {
        None => Linkage::Unknown,
        Some(None) => Linkage::Static,
        Some(Some(path)) => Linkage::Dynamic(path),
    }
}

fn interpreter(bytes: &[u8]) -> Option<Option<String>> {
    let ident = bytes.get(..6)?;
    // ELFCLASS64 and little endian: x86-64, aarch64, riscv64.
    if ident != [0x7f, b'E', b'L', b'F', 2, 1] {
        return None;
    }
    let table = usize::try_from(word(bytes, 32)?).ok()?;
    let size = usize::from(half(bytes, 54)?);
    let count = usize::from(half(bytes, 56)?);
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        let kind = u32::from_le_bytes(slice(bytes, header)?);
        if kind != PT_INTERP {
            continue;
        }
        let start = usize::try_from(word(bytes, header.checked_add(8)?)?).ok()?;
        let length = usize::try_from(word(bytes, header.checked_add(32)?)?).ok()?;
        let path = bytes.get(start..start.checked_add(length)?)?;
        let path = path.split(|byte| *byte == 0).next()?;
        return Some(Some(String::from_utf8_lossy(path).into_owned()));
    }
    Some(None)
}

fn slice<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    slice(bytes, at).map(u64::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    slice(bytes, at).map(u16::from_le_bytes)
}

const PT_INTERP: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_programs_are_dynamic() {
        let bytes = std::fs::read("/bin/true").unwrap();
        let Linkage::Dynamic(loader) = linkage(&bytes) else { panic!("not dynamic") };
        assert!(loader.contains("/ld-linux"), "{loader}");
    }

    #[test]
    fn truncated_and_hostile_files_never_panic() {
        let mut bytes = std::fs::read("/bin/true").unwrap();
        bytes.truncate(1024);
        for end in 0..bytes.len() {
            let _ = linkage(&bytes[..end]);
        }
        assert_eq!(linkage(b"#!/bin/sh\n"), Linkage::Unknown);
        for at in 0..64 {
            let mut bent = bytes.clone();
            bent[at] = 0xff;
            let _ = linkage(&bent);
        }
        let mut huge = bytes.clone();
        huge[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(linkage(&huge), Linkage::Unknown);
    }
}
