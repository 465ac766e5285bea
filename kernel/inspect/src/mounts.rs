//! `/proc/PID/mountinfo` and the options of an overlay: `proc_pid_mountinfo(5)`.

use serde::Serialize;

use crate::error::{Error, Malformed};
use crate::procfs::Process;
use crate::sourced::Sourced;

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Unique while mounted.
    pub id: u64,
    /// The mount it sits on.
    pub parent: u64,
    /// Device number `major:minor`.
    pub device: String,
    /// Which part of the filesystem is mounted.
    pub root: String,
    /// Where, relative to the process's root.
    pub mount_point: String,
    /// Options of this mount (`ro`, `nosuid`…).
    pub options: Vec<String>,
    /// `shared:N`, `master:N`…; empty is private.
    pub propagation: Vec<String>,
    /// Kind of filesystem, with subtype.
    pub fs_type: String,
    /// Device or other source.
    pub source: String,
    /// Options of the filesystem.
    pub super_options: Vec<String>,
}

/// What an overlay is made of, from its `super_options`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overlay {
    /// Read-only layers, **topmost first**, as the kernel keeps them.
    pub lower: Vec<String>,
    /// Layers that only hold data (`::` or `datadir+`).
    pub data: Vec<String>,
    /// Where writes go; none on a read-only overlay.
    pub upper: Option<String>,
    /// The staging directory beside it.
    pub work: Option<String>,
    /// The rest: `metacopy=on`, `volatile`…
    pub flags: Vec<String>,
}

impl Mount {
    /// Reads one line.
    fn parse(line: &str, number: usize) -> Result<Self, Malformed> {
        let bad = |what| Malformed { line: number, what };
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let mut next = |what| words.next().ok_or(bad(what));
        let id = next("mount id")?.parse().map_err(|_| bad("mount id is not a number"))?;
        let parent = next("parent id")?.parse().map_err(|_| bad("parent id is not a number"))?;
        let device = next("device number")?.to_owned();
        let root = unescape(next("root")?);
        let mount_point = unescape(next("mount point")?);
        let options = split_options(next("mount options")?);
        let mut propagation = Vec::new();
        loop {
            match next("the separator -")? {
                "-" => break,
                word => propagation.push(word.to_owned()),
            }
        }
        let fs_type = unescape(next("filesystem type")?);
        // A mount may have an empty source: then the words are one fewer.
        let rest: Vec<&str> = words.collect();
        let (source, super_options) = match rest.as_slice() {
            [] => return Err(bad("filesystem options")),
            [options] => (String::new(), split_options(options)),
            [source, options @ ..] => {
                (unescape(source), options.iter().flat_map(|o| split_options(o)).collect())
            }
        };
        Ok(Self {
            id,
            parent,
            device,
            root,
            mount_point,
            options,
            propagation,
            fs_type,
            source,
            super_options,
        })
    }

    /// Is it mounted read-only (the mount or the whole filesystem)?
    pub fn is_read_only(&self) -> bool {
        self.options.iter().chain(&self.super_options).any(|option| option == "ro")
    }

    /// Its parts if it is an overlay.
    pub fn overlay(&self) -> Option<Overlay> {
        (self.fs_type == "overlay").then(|| Overlay::of(&self.super_options))
    }
}

/// Reads the whole table.
pub fn parse(text: &str) -> Result<Vec<Mount>, Malformed> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(index, line)| Mount::parse(line, index + 1)).collect()
}

impl Overlay {
    fn of(options: &[String]) -> Self {
        let mut overlay = Self::default();
        for option in options {
            match option.split_once('=') {
                Some(("lowerdir", list)) => overlay.take_lowerdir(list),
                // Since Linux 6.5 layers may be given one by one, unescaped.
                Some(("lowerdir+", dir)) => overlay.lower.push(dir.to_owned()),
                Some(("datadir+", dir)) => overlay.data.push(dir.to_owned()),
                Some(("upperdir", dir)) => overlay.upper = Some(dir.to_owned()),
                Some(("workdir", dir)) => overlay.work = Some(dir.to_owned()),
                _ if option == "ro" || option == "rw" => {}
                _ => overlay.flags.push(option.clone()),
            }
        }
        overlay
    }

    /// `a:b::data`, where `\:` is a colon in a name.
    fn take_lowerdir(&mut self, list: &str) {
        let mut data = false;
        let mut current = String::new();
        let mut chars = list.chars().peekable();
        loop {
            match chars.next() {
                Some('\\') => current.extend(chars.next()),
                Some(':') => {
                    self.push_lower(&mut current, data);
                    data |= chars.next_if_eq(&':').is_some();
                }
                Some(other) => current.push(other),
                None => return self.push_lower(&mut current, data),
            }
        }
    }

    fn push_lower(&mut self, dir: &mut String, data: bool) {
        let dir = std::mem::take(dir);
        if !dir.is_empty() {
            if data { &mut self.data } else { &mut self.lower }.push(dir);
        }
    }
}

impl Process {
    /// `/proc/PID/mountinfo`: its whole mount namespace, as far as its root reaches.
    pub fn mounts(&self) -> Result<Sourced<Vec<Mount>>, Error> {
        self.parsed("mountinfo", parse)
    }
}

/// The mount that `path` (absolute, as the process names it) is on: the last of
/// those with the longest matching mount point, as later mounts cover earlier ones.
pub fn covering<'a>(table: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let matches = |mount: &&Mount| {
        let point = mount.mount_point.trim_end_matches('/');
        path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    table.iter().filter(matches).max_by_key(|mount| mount.mount_point.len())
}

fn split_options(word: &str) -> Vec<String> {
    // The kernel escapes a comma inside a value, so split first.
    word.split(',').filter(|option| !option.is_empty()).map(unescape).collect()
}

/// `\040` and the like: three octal digits for a byte.
fn unescape(word: &str) -> String {
    if !word.contains('\\') {
        return word.to_owned();
    }
    let bytes = word.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match bytes.get(at + 1..at + 4).and_then(octal) {
            Some(value) if *byte == b'\\' => {
                out.push(value);
                at += 4;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let value = digits.iter().try_fold(0u16, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext4 /dev/root rw,errors=continue
40 36 0:41 / / rw,relatime - overlay overlay rw,lowerdir=/l/top:/l/mid\\:x:/l/base,upperdir=/u,workdir=/w,metacopy=on
41 40 0:42 / /with\\040space ro,nosuid - tmpfs  rw,size=64k
";

    #[test]
    fn reads_the_table() {
        let table = parse(SAMPLE).unwrap();
        assert_eq!((table[0].id, table[0].parent, table[0].root.as_str()), (36, 35, "/mnt1"));
        assert_eq!(table[0].propagation, ["master:1", "shared:7"]);
        assert_eq!(table[0].source, "/dev/root");
        assert!(table[0].overlay().is_none());
        assert_eq!(table[2].mount_point, "/with space");
        assert_eq!((table[2].source.as_str(), table[2].is_read_only()), ("", true));
        assert_eq!(table[2].super_options, ["rw", "size=64k"]);
    }

    #[track_caller]
    fn check_overlay(options: &str, lower: &[&str], data: &[&str], upper: Option<&str>) {
        let overlay = Overlay::of(&split_options(options));
        assert_eq!(overlay.lower, lower, "{options}");
        assert_eq!(overlay.data, data, "{options}");
        assert_eq!(overlay.upper.as_deref(), upper, "{options}");
    }

    #[test]
    fn reads_overlay_options() {
        check_overlay("rw,lowerdir=/a:/b,upperdir=/u,workdir=/w", &["/a", "/b"], &[], Some("/u"));
        check_overlay("ro,lowerdir=/a", &["/a"], &[], None);
        check_overlay("lowerdir=/a:/b::/d1::/d2", &["/a", "/b"], &["/d1", "/d2"], None);
        check_overlay("lowerdir+=/a,lowerdir+=/b:c,datadir+=/d", &["/a", "/b:c"], &["/d"], None);
        check_overlay("lowerdir=/a\\134:b:/c\\054d", &["/a:b", "/c,d"], &[], None);
        check_overlay("lowerdir=:::,upperdir", &[], &[], None);
    }

    #[test]
    fn many_layers_are_all_read() {
        let list: Vec<String> =
            (0..500).map(|n| format!("/var/lib/strake/snapshots/layer-{n:04}/fs")).collect();
        let overlay = Overlay::of(&split_options(&format!("lowerdir={}", list.join(":"))));
        assert_eq!(overlay.lower, list);
    }

    #[test]
    fn the_covering_mount_is_the_deepest_then_the_last() {
        let table =
            parse("1 0 0:1 / / rw - a a rw\n2 1 0:2 / /x rw - b b rw\n3 2 0:3 / /x rw - c c rw\n").unwrap();
        let id = |path| covering(&table, path).map(|mount| mount.id);
        assert_eq!((id("/"), id("/x"), id("/x/y"), id("/xy")), (Some(1), Some(3), Some(3), Some(1)));
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..SAMPLE.len() {
            let _ = parse(&SAMPLE[..end]);
        }
        assert!(parse("").unwrap().is_empty());
        for bad in
            ["x", "1 2 3 4", "1 2 0:1 / / rw shared:1", "1 2 0:1 / / rw - ext4", "-1 2 0:1 / / rw - a b c"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        for word in ["\\", "\\0", "\\04", "\\999", "\\777", "a\\040", "\\é00"] {
            let _ = unescape(word);
        }
        assert_eq!(unescape("a\\040b\\134"), "a b\\");
    }
}
