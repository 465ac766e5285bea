//! `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

use std::path::{Component, Path, PathBuf};

use base::ByteSize;
use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// A mount in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// Where, as an absolute path without `..`.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Whether nothing can be written through it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path.
        source: PathBuf,
        /// How.
        options: BindOptions,
    },
    /// A volume.
    Volume {
        /// Its name; without one it is made for this container and goes with it.
        name: Option<String>,
        /// Whether it stays empty instead of receiving what the image has there.
        no_copy: bool,
    },
    /// An empty file system in memory.
    Tmpfs(TmpfsOptions),
    /// The files of an image, which cannot be changed.
    Image {
        /// The image, which is here.
        image: String,
        /// A path in it, if it is not all of it.
        #[serde(default)]
        part: Option<PathBuf>,
    },
}

/// How a host path is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// Propagation of mounts: `private`, `rshared`…; `rprivate` when missing.
    pub propagation: Option<String>,
    /// What happens when the source is missing.
    pub if_missing: Vanish,
    /// Whether mounts below the source stay out.
    pub non_recursive: bool,
    /// Whether mounts below the source are read-only too, when this one is.
    #[serde(default)]
    pub recursive_read_only: bool,
}

/// What to do about a missing source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vanish {
    /// It is an error, as `--mount` has it.
    #[default]
    Refuse,
    /// Make a directory, as `--volume` has it.
    MakeDirectory,
}

/// Options of a file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsOptions {
    /// Its limit.
    pub size_bytes: Option<u64>,
    /// Mode of its root directory; 1777 when missing.
    pub mode: Option<u32>,
    /// Further options as `mount(8)` knows them: `exec`, `uid=1`…
    pub options: Vec<String>,
}

/// Another container's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// The container.
    pub container: String,
    /// Whether they are read-only here.
    pub read_only: bool,
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

impl MountRequest {
    /// Reads `--volume [SOURCE:]TARGET[:OPTIONS]`. A relative source is resolved by the caller.
    pub fn parse_volume(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why: &'static str| InvalidOption::new("--volume", text, why);
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(wrong("use [SOURCE:]TARGET[:OPTIONS], as in /data:/data:ro")),
        };
        let target = target("--volume", text, destination)?;
        let mut read_only = false;
        let mut bind = BindOptions { if_missing: Vanish::MakeDirectory, ..BindOptions::default() };
        let mut no_copy = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" | "readonly" => read_only = true,
                // Labels (z, Z) and consistency mean nothing here; docker takes them on every host.
                "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                "nocopy" => no_copy = true,
                "bind" => bind.non_recursive = true,
                "rbind" => bind.non_recursive = false,
                other if PROPAGATIONS.contains(&other) => bind.propagation = Some(other.to_owned()),
                _ => {
                    return Err(wrong(
                        "an option is unknown; use ro, rw, nocopy, or a propagation such as rshared",
                    ));
                }
            }
        }
        let kind = match source {
            Some("") => {
                return Err(wrong("the source is empty; leave it and its colon out for an anonymous volume"));
            }
            None => MountKind::Volume { name: None, no_copy },
            Some(source) if source.starts_with(['/', '.']) => {
                MountKind::Bind { source: source.into(), options: bind }
            }
            Some(name) => {
                let name = Some(volume_name("--volume", name)?);
                MountKind::Volume { name, no_copy }
            }
        };
        Ok(Self { target, kind, read_only })
    }

    /// Reads `--mount type=…,source=…,target=…`.
    pub fn parse_mount(text: &str) -> Result<Self, InvalidOption> {
        let mut fields = MountFields::default();
        for field in text.split(',') {
            fields.take(text, field)?;
        }
        fields.finish(text)
    }

    /// Reads `--tmpfs TARGET[:OPTIONS]`.
    pub fn parse_tmpfs(text: &str) -> Result<Self, InvalidOption> {
        let (destination, options) = text.split_once(':').unwrap_or((text, ""));
        let target = target("--tmpfs", text, destination)?;
        let mut tmpfs = TmpfsOptions::default();
        let mut read_only = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", size)) => tmpfs.size_bytes = Some(tmpfs_size("--tmpfs", text, size)?),
                Some(("mode", mode)) => tmpfs.mode = Some(octal("--tmpfs", text, mode)?),
                None if option == "ro" => read_only = true,
                None if option == "rw" => read_only = false,
                _ if tmpfs_knows(option) => tmpfs.options.push(option.to_owned()),
                _ => {
                    return Err(InvalidOption::new("--tmpfs", text, format!("tmpfs has no option {option}")));
                }
            }
        }
        Ok(Self { target, kind: MountKind::Tmpfs(tmpfs), read_only })
    }
}

/// Options beyond size and mode that a user may set on a tmpfs.
fn tmpfs_knows(option: &str) -> bool {
    const FLAGS: [&str; 12] = [
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "relatime",
        "strictatime",
    ];
    const VALUES: [&str; 4] = ["uid", "gid", "nr_inodes", "nr_blocks"];
    FLAGS.contains(&option) || option.split_once('=').is_some_and(|(key, _)| VALUES.contains(&key))
}

fn tmpfs_size(option: &'static str, text: &str, size: &str) -> Result<u64, InvalidOption> {
    ByteSize::parse(size).map(|size| size.0).map_err(|why| InvalidOption::new(option, text, why.to_string()))
}

fn octal(option: &'static str, text: &str, mode: &str) -> Result<u32, InvalidOption> {
    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| InvalidOption::new(option, text, "the mode must be octal, as in 1777"))
}

/// The target as a clean absolute path; `/` and what climbs are refused.
fn target(option: &'static str, text: &str, destination: &str) -> Result<PathBuf, InvalidOption> {
    let wrong = |why: &'static str| InvalidOption::new(option, text, why);
    let path = Path::new(destination);
    if !path.is_absolute() {
        return Err(wrong("the target must be an absolute path in the container"));
    }
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(wrong("the target must not contain .."));
            }
        }
    }
    if clean == Path::new("/") {
        return Err(wrong("the target must not be /"));
    }
    Ok(clean)
}

/// Two or more of `[A-Za-z0-9][A-Za-z0-9_.-]*`: it becomes a directory's name.
pub(crate) fn volume_name(option: &'static str, name: &str) -> Result<String, InvalidOption> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let good = name.len() <= 255
        && name.len() > 1
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Ok(name.to_owned());
    }
    let why = "a volume's name has two or more of [A-Za-z0-9_.-]; a path begins with /";
    Err(InvalidOption::new(option, name, why))
}

/// The fields of `--mount` as they come.
#[derive(Default)]
struct MountFields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    no_copy: bool,
    bind: BindOptions,
    tmpfs: TmpfsOptions,
}

impl MountFields {
    fn take(&mut self, text: &str, field: &str) -> Result<(), InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--mount", text, why);
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let needed = || value.ok_or_else(|| wrong(format!("{key} needs a value")));
        let truth = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(wrong(format!("{key} is true or false"))),
        };
        match key.to_ascii_lowercase().as_str() {
            "type" => self.kind = Some(needed()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(needed()?.to_owned()),
            "target" | "destination" | "dst" => self.target = Some(needed()?.to_owned()),
            "readonly" | "ro" => self.read_only = truth()?,
            "volume-nocopy" => self.no_copy = truth()?,
            "bind-propagation" => {
                let propagation = needed()?;
                if !PROPAGATIONS.contains(&propagation) {
                    return Err(wrong(format!("bind-propagation is one of {}", PROPAGATIONS.join(", "))));
                }
                self.bind.propagation = Some(propagation.to_owned());
            }
            "bind-nonrecursive" => self.bind.non_recursive = truth()?,
            "bind-recursive" => self.bind.non_recursive = needed()? == "disabled",
            "bind-create-host-path" if truth()? => self.bind.if_missing = Vanish::MakeDirectory,
            "bind-create-host-path" | "consistency" => {}
            "tmpfs-size" => self.tmpfs.size_bytes = Some(tmpfs_size("--mount", text, needed()?)?),
            "tmpfs-mode" => self.tmpfs.mode = Some(octal("--mount", text, needed()?)?),
            other => return Err(wrong(format!("there is no field {other}"))),
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<MountRequest, InvalidOption> {
        let wrong = |why: &'static str| InvalidOption::new("--mount", text, why);
        let target =
            target("--mount", text, self.target.as_deref().ok_or_else(|| wrong("target= is missing"))?)?;
        let kind = match self.kind.as_deref().unwrap_or("volume") {
            "bind" => {
                let source = PathBuf::from(self.source.ok_or_else(|| wrong("a bind mount needs source="))?);
                MountKind::Bind { source, options: self.bind }
            }
            "volume" => {
                let name = self.source.map(|name| volume_name("--mount", &name)).transpose()?;
                MountKind::Volume { name, no_copy: self.no_copy }
            }
            "tmpfs" if self.source.is_some() => return Err(wrong("a tmpfs mount has no source")),
            "tmpfs" => MountKind::Tmpfs(self.tmpfs),
            _ => return Err(wrong("type is bind, volume or tmpfs")),
        };
        Ok(MountRequest { target, kind, read_only: self.read_only })
    }
}

impl VolumesFrom {
    /// Reads `CONTAINER[:ro|rw]`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
        match mode {
            "rw" | "z" | "Z" => Ok(Self { container: container.to_owned(), read_only: false }),
            "ro" => Ok(Self { container: container.to_owned(), read_only: true }),
            _ => Err(InvalidOption::new("--volumes-from", text, "the mode is ro or rw")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(mount: &MountRequest) -> String {
        let ro = if mount.read_only { " ro" } else { "" };
        let kind = match &mount.kind {
            MountKind::Bind { source, options } => {
                let missing = if options.if_missing == Vanish::MakeDirectory { " mkdir" } else { "" };
                let propagation = options.propagation.as_ref().map_or(String::new(), |p| format!(" {p}"));
                format!("bind {}{missing}{propagation}", source.display())
            }
            MountKind::Volume { name, no_copy } => {
                format!("volume {}{}", name.as_deref().unwrap_or("-"), if *no_copy { " nocopy" } else { "" })
            }
            MountKind::Image { image, .. } => format!("image {image}"),
            MountKind::Tmpfs(o) => format!("tmpfs {:?} {:?} {:?}", o.size_bytes, o.mode, o.options),
        };
        format!("{kind} at {}{ro}", mount.target.display())
    }

    #[track_caller]
    fn check(parsed: Result<MountRequest, InvalidOption>, expected: &str) {
        let shown = parsed.map_or_else(|error| error.why.to_string(), |mount| show(&mount));
        assert_eq!(shown, expected);
    }

    #[test]
    fn volumes() {
        check(MountRequest::parse_volume("/a:/b"), "bind /a mkdir at /b");
        check(MountRequest::parse_volume("/a:/b/./c/:ro,rshared"), "bind /a mkdir rshared at /b/c ro");
        check(MountRequest::parse_volume("data:/b:nocopy"), "volume data nocopy at /b");
        check(MountRequest::parse_volume("/b"), "volume - at /b");
        check(MountRequest::parse_volume("./x:/b:Z"), "bind ./x mkdir at /b");
        for text in ["", "b", "a:b", "/a:/", "/a:/../b", "a:/b:frob", "/a:/b:ro:x", ":/b", "a/b:/c", "x:/c"] {
            assert!(MountRequest::parse_volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts() {
        check(MountRequest::parse_mount("type=bind,src=/a,dst=/b,readonly"), "bind /a at /b ro");
        check(MountRequest::parse_mount("source=v1,target=/b,volume-nocopy"), "volume v1 nocopy at /b");
        check(
            MountRequest::parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700"),
            "tmpfs Some(1048576) Some(448) [] at /t",
        );
        check(MountRequest::parse_mount("type=bind,dst=/b"), "a bind mount needs source=");
        check(MountRequest::parse_mount("type=bind,src=/a"), "target= is missing");
        check(MountRequest::parse_mount("type=nfs,dst=/b"), "type is bind, volume or tmpfs");
        check(MountRequest::parse_mount("type=bind,src=/a,dst=/b,frob=1"), "there is no field frob");
    }

    #[test]
    fn tmpfs() {
        check(MountRequest::parse_tmpfs("/t"), "tmpfs None None [] at /t");
        check(
            MountRequest::parse_tmpfs("/t:size=64k,mode=1777,exec,ro"),
            "tmpfs Some(65536) Some(1023) [\"exec\"] at /t ro",
        );
        check(MountRequest::parse_tmpfs("/t:lowerdir=/x"), "tmpfs has no option lowerdir=/x");
    }
}
