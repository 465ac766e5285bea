//! `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

mod fields;
mod tmpfs;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::InvalidOption;
use fields::MountFields;

pub use fields::local_driver;

/// A mount in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// Where, as an absolute path without `..`.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Whether nothing can be written through it.
    pub read_only: bool,
    /// Which option asked for it.
    #[serde(default)]
    pub by: MountOption,
}

/// The option that a mount was asked for with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountOption {
    /// `--volume`.
    #[default]
    Volume,
    /// `--mount`.
    Mount,
    /// `--tmpfs`.
    Tmpfs,
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
        /// How it is made when it is not there, and what of it is mounted.
        #[serde(default)]
        options: VolumeOptions,
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

/// How a volume is made and mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeOptions {
    /// Its labels, if it is made.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver `local`, if it is made.
    pub driver_options: BTreeMap<String, String>,
    /// A directory or file in it, instead of all of it.
    pub part: Option<PathBuf>,
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

/// Docker's words for how mounts travel.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

impl MountRequest {
    /// Reads `--volume [SOURCE:]TARGET[:OPTIONS]`. A relative source is resolved by the caller.
    pub fn parse_volume(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--volume", text, why);
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => {
                let why = "invalid volume specification: use [SOURCE:]TARGET[:OPTIONS], as in /data:/data:ro";
                return Err(wrong(why.to_owned()));
            }
        };
        if parts.iter().any(|part| part.is_empty()) {
            let why = "invalid volume specification: empty section between colons; \
                       for an anonymous volume give the target alone";
            return Err(wrong(why.to_owned()));
        }
        let target = target("--volume", text, destination)?;
        let mode = VolumeMode::parse(options).map_err(|option| {
            wrong(format!(
                "invalid mode: {option}; use each once at most of ro or rw, nocopy, bind or rbind, \
                 and a propagation such as rshared"
            ))
        })?;
        let kind = match source {
            None => {
                MountKind::Volume { name: None, no_copy: mode.no_copy, options: VolumeOptions::default() }
            }
            Some(source) if source.starts_with(['/', '.']) => {
                if mode.no_copy {
                    return Err(wrong("invalid mode: nocopy; a bind mount copies nothing".to_owned()));
                }
                MountKind::Bind { source: source.into(), options: mode.bind() }
            }
            Some(name) => {
                if let Some(propagation) = &mode.propagation {
                    return Err(wrong(format!("invalid mode: {propagation}; a volume has no propagation")));
                }
                let name = Some(volume_name("--volume", name)?);
                MountKind::Volume { name, no_copy: mode.no_copy, options: VolumeOptions::default() }
            }
        };
        Ok(Self { target, kind, read_only: mode.read_only, by: MountOption::Volume })
    }

    /// Reads `--mount type=…,source=…,target=…`.
    pub fn parse_mount(text: &str) -> Result<Self, InvalidOption> {
        let mut fields = MountFields::default();
        for field in fields::split(text)? {
            fields.take(text, &field)?;
        }
        fields.finish(text)
    }

    /// Reads `--tmpfs TARGET[:OPTIONS]`.
    pub fn parse_tmpfs(text: &str) -> Result<Self, InvalidOption> {
        let (destination, options) = text.split_once(':').unwrap_or((text, ""));
        let target = target("--tmpfs", text, destination)?;
        let (tmpfs, read_only) = tmpfs::parse(text, options)?;
        Ok(Self { target, kind: MountKind::Tmpfs(tmpfs), read_only, by: MountOption::Tmpfs })
    }
}

/// What stands behind the second colon of `--volume`.
#[derive(Default)]
struct VolumeMode {
    read_only: bool,
    no_copy: bool,
    propagation: Option<String>,
    non_recursive: bool,
}

impl VolumeMode {
    /// Reads them; or the one that is unknown, or given again.
    fn parse(options: &str) -> Result<Self, String> {
        let mut mode = Self::default();
        let mut seen = [0_u8; 6];
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let kind = match option {
                "ro" | "readonly" | "rw" => 0,
                // Labels (z, Z) and consistency mean nothing here; docker takes them on every host.
                "z" | "Z" => 1,
                "consistent" | "cached" | "delegated" | "default" => 2,
                "nocopy" => 3,
                "bind" | "rbind" => 4,
                other if PROPAGATIONS.contains(&other) => 5,
                other => return Err(other.to_owned()),
            };
            seen[kind] += 1;
            if seen[kind] > 1 {
                return Err(options.to_owned());
            }
            match kind {
                0 => mode.read_only = option != "rw",
                3 => mode.no_copy = true,
                4 => mode.non_recursive = option == "bind",
                5 => mode.propagation = Some(option.to_owned()),
                _ => {}
            }
        }
        Ok(mode)
    }

    fn bind(&self) -> BindOptions {
        BindOptions {
            propagation: self.propagation.clone(),
            if_missing: Vanish::MakeDirectory,
            non_recursive: self.non_recursive,
            // As docker has it since 25: what is mounted below can be written no more than this.
            recursive_read_only: self.read_only,
        }
    }
}

/// The target as a clean absolute path; `/` and what climbs are refused.
fn target(option: &'static str, text: &str, destination: &str) -> Result<PathBuf, InvalidOption> {
    let wrong = |why: String| InvalidOption::new(option, text, why);
    let path = Path::new(destination);
    if !path.is_absolute() {
        return Err(wrong(format!(
            "invalid mount path: '{destination}' mount path must be absolute: begin it with /"
        )));
    }
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(wrong("the target must not contain ..".to_owned()));
            }
        }
    }
    if clean == Path::new("/") {
        return Err(wrong(
            "invalid specification: destination can't be '/': name a path below it".to_owned(),
        ));
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
    let why = if name.len() == 1 {
        format!("volume name is too short, names should be at least two alphanumeric characters: {name}")
    } else {
        format!(
            "{name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
             absolute path"
        )
    };
    Err(InvalidOption::new(option, name, why))
}

impl VolumesFrom {
    /// Reads `CONTAINER[:ro|rw]`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let wrong = |why: String| Err(InvalidOption::new("--volumes-from", text, why));
        if container.is_empty() {
            return wrong("malformed volumes-from specification: name a container".to_owned());
        }
        match mode {
            "rw" | "z" | "Z" => Ok(Self { container: container.to_owned(), read_only: false }),
            "ro" => Ok(Self { container: container.to_owned(), read_only: true }),
            mode => wrong(format!("invalid mode: {mode}; use ro or rw")),
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
                let depth = match (options.non_recursive, options.recursive_read_only) {
                    (true, _) => " flat",
                    (false, true) => " rro",
                    (false, false) => "",
                };
                format!("bind {}{missing}{propagation}{depth}", source.display())
            }
            MountKind::Volume { name, no_copy, options } => {
                let labels: String = options.labels.iter().map(|(k, v)| format!(" label:{k}={v}")).collect();
                let driver: String =
                    options.driver_options.iter().map(|(k, v)| format!(" opt:{k}={v}")).collect();
                let part = options.part.as_ref().map_or(String::new(), |p| format!(" part:{}", p.display()));
                let nocopy = if *no_copy { " nocopy" } else { "" };
                format!("volume {}{nocopy}{labels}{driver}{part}", name.as_deref().unwrap_or("-"))
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
        check(MountRequest::parse_volume("/a:/b/./c/:ro,rshared"), "bind /a mkdir rshared rro at /b/c ro");
        check(MountRequest::parse_volume("/a:/b:ro,bind"), "bind /a mkdir flat at /b ro");
        check(MountRequest::parse_volume("data:/b:nocopy"), "volume data nocopy at /b");
        check(MountRequest::parse_volume("/b"), "volume - at /b");
        check(MountRequest::parse_volume("./x:/b:Z"), "bind ./x mkdir at /b");
    }

    #[test]
    fn volumes_are_refused_in_dockers_words() {
        for (text, why) in [
            ("", "empty section between colons"),
            (":/b", "empty section between colons"),
            ("a:b", "mount path must be absolute"),
            ("/a:/", "destination can't be '/'"),
            ("/a:/../b", "must not contain .."),
            ("ab:/b:frob", "invalid mode: frob"),
            ("ab:/b:ro,rw", "invalid mode: ro,rw"),
            ("ab:/b:rshared", "invalid mode: rshared"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("/a:/b:ro:x", "invalid volume specification"),
            ("a/b:/c", "includes invalid characters for a local volume name"),
            ("x:/c", "volume name is too short"),
        ] {
            let error = MountRequest::parse_volume(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn mounts() {
        let good = |text: &str, expected: &str| check(MountRequest::parse_mount(text), expected);
        good("type=bind,src=/a,dst=/b,readonly", "bind /a rro at /b ro");
        good("type=bind,src=/a,dst=/b,ro=false", "bind /a at /b");
        good("type=bind,src=/a,dst=/b,ro,bind-recursive=writable", "bind /a at /b ro");
        good("type=bind,src=/a,dst=/b,bind-recursive=disabled", "bind /a flat at /b");
        good(
            "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate",
            "bind /a rprivate rro at /b ro",
        );
        good("source=v1,target=/b,volume-nocopy", "volume v1 nocopy at /b");
        good(
            "source=v1,target=/b,volume-label=a=1,volume-label=c,volume-opt=type=tmpfs,volume-subpath=x/y",
            "volume v1 label:a=1 label:c= opt:type=tmpfs part:x/y at /b",
        );
        good("type=volume,volume-driver=local,dst=/b", "volume - at /b");
        good("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", "tmpfs Some(1048576) Some(448) [] at /t");
        good("type=image,src=busybox,dst=/i,image-subpath=etc", "image busybox at /i ro");
        good(r#"type=bind,"src=/a,b",dst=/b"#, "bind /a,b at /b");
    }

    #[test]
    fn mounts_are_refused_in_dockers_words() {
        for (text, why) in [
            ("type=bind,dst=/b", "field Source must not be empty"),
            ("type=bind,src=/a", "target is required"),
            ("type=bind,src=a,dst=/b", "mount path must be absolute"),
            ("type=nfs,dst=/b", "mount type unknown: \"nfs\""),
            ("type=bind,src=/a,dst=/b,frob=1", "unexpected key 'frob' in 'frob=1'"),
            ("type=bind,src=/a,dst=/b,frob", "invalid field 'frob' must be a key=value pair"),
            ("type=bind,src=/a,dst=/b,ro=maybe", "invalid value for readonly: maybe"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            (
                "type=volume,dst=/b,bind-propagation=shared",
                "cannot mix 'bind-*' options with mount type 'volume'",
            ),
            ("type=volume,dst=/b,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("type=volume,dst=/b,image-subpath=x", "cannot mix 'image-*' options with mount type 'volume'"),
            ("type=tmpfs,src=/a,dst=/b", "field Source must not be specified"),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("type=tmpfs,dst=/b,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=bind,src=/a,dst=/b,bind-propagation=up", "invalid propagation mode: up"),
            ("type=bind,src=/a,dst=/b,bind-recursive=maybe", "invalid value for bind-recursive: maybe"),
            ("type=bind,src=/a,dst=/b,bind-recursive=writable", "requires 'readonly' to be specified"),
            ("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
            (
                "type=volume,src=v1,dst=/b,volume-subpath=../x",
                "subpath must be a relative path within the volume",
            ),
            ("type=volume,dst=/b,volume-subpath=x", "must not set Subpath when using anonymous volumes"),
            ("type=volume,src=v1,dst=/b,volume-driver=nfs", "plugin \"nfs\" not found"),
            ("type=image,dst=/b", "field Source must not be empty"),
            ("type=bind,src=/a,dst=/b,\"x", "bare or unclosed \""),
        ] {
            let error = MountRequest::parse_mount(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn tmpfs() {
        check(MountRequest::parse_tmpfs("/t"), "tmpfs None None [] at /t");
        check(
            MountRequest::parse_tmpfs("/t:size=64k,mode=1777,exec,ro"),
            "tmpfs Some(65536) Some(1023) [\"exec\"] at /t ro",
        );
        for (text, why) in [
            ("/t:lowerdir=/x", "invalid tmpfs option \"lowerdir=/x\""),
            ("t", "mount path must be absolute"),
            ("/t:mode=9", "octal"),
        ] {
            let error = MountRequest::parse_tmpfs(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn volumes_of_others() {
        assert!(VolumesFrom::parse("web:ro").unwrap().read_only);
        assert!(VolumesFrom::parse("web:x").unwrap_err().to_string().contains("invalid mode: x"));
        assert!(VolumesFrom::parse(":ro").unwrap_err().to_string().contains("malformed volumes-from"));
    }
}
