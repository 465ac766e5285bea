//! The archive that a kernel unpacks at boot: cpio, format "newc" (Documentation/driver-api/early-userspace).

/// What an entry is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    Directory,
    /// Executable, with these bytes.
    Program(&'a [u8]),
    /// The character device with this major and minor number.
    Device(u32, u32),
}

/// An archive of `entries`, in order: directories come before what is in them.
pub(crate) fn archive(entries: &[(&str, Entry<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (name, entry)) in entries.iter().enumerate() {
        let (mode, data, device) = match entry {
            Entry::Directory => (0o040_755, &[][..], (0, 0)),
            Entry::Program(bytes) => (0o100_755, *bytes, (0, 0)),
            Entry::Device(major, minor) => (0o020_600, &[][..], (*major, *minor)),
        };
        add(&mut out, number + 1, name, mode, data, device);
    }
    add(&mut out, 0, "TRAILER!!!", 0, &[], (0, 0));
    out
}

fn add(out: &mut Vec<u8>, inode: usize, name: &str, mode: usize, data: &[u8], device: (u32, u32)) {
    let (major, minor) = (device.0 as usize, device.1 as usize);
    // inode, mode, uid, gid, links, mtime, size, device of the file, device that it is, name with its zero, checksum
    let fields = [inode, mode, 0, 0, 1, 0, data.len(), 0, 0, major, minor, name.len() + 1, 0]
        .map(|n| format!("{n:08x}"));
    out.extend(b"070701");
    out.extend(fields.concat().bytes());
    out.extend(name.bytes());
    out.push(0);
    pad(out);
    out.extend(data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_each_other_on_words() {
        let archive = archive(&[("dev", Entry::Directory), ("init", Entry::Program(b"12345"))]);
        let text = String::from_utf8(archive.clone()).unwrap();
        assert_eq!(archive.len() % 4, 0);
        let starts: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert_eq!(&text[starts[1] + 54..starts[1] + 62], "00000005", "the size");
        assert_eq!(&text[starts[1] + 110..starts[1] + 121], "init\0\0".to_owned() + "12345");
    }
}
