//! The fields of `--mount`, as docker's command line reads them.

use std::path::{Component, Path, PathBuf};

use base::ByteSize;

use super::{
    BindOptions, MountKind, MountOption, MountRequest, PROPAGATIONS, TmpfsOptions, Vanish, VolumeOptions,
    target, tmpfs, volume_name,
};
use crate::request::InvalidOption;

/// Cuts a line of comma-separated values; one with a comma stands in double quotes.
pub(super) fn split(text: &str) -> Result<Vec<String>, InvalidOption> {
    let wrong = || {
        InvalidOption::new("--mount", text, "bare or unclosed \" in a field: put the whole field in quotes")
    };
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) =
                rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
            if field.contains('"') {
                return Err(wrong());
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, after) = unquote(quoted).ok_or_else(wrong)?;
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(wrong()),
        }
    }
}

/// What stands before the closing quote, two of which are one, and what comes after it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

/// How far a bind mount reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recursive {
    Enabled,
    Disabled,
    Writable,
    ReadOnly,
}

/// The fields as they come.
#[derive(Default)]
pub(super) struct MountFields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    no_copy: bool,
    if_missing: Vanish,
    propagation: Option<String>,
    recursive: Option<Recursive>,
    volume: VolumeOptions,
    tmpfs: TmpfsOptions,
    image_part: Option<PathBuf>,
    /// The families of options that were used: `bind`, `volume`…
    families: Vec<&'static str>,
}

impl MountFields {
    pub(super) fn take(&mut self, text: &str, field: &str) -> Result<(), InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--mount", text, why);
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let key = key.to_ascii_lowercase();
        let needed =
            || value.ok_or_else(|| wrong(format!("invalid field '{field}' must be a key=value pair")));
        let truth = |name: &str| match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(value) => Err(wrong(format!("invalid value for {name}: {value}; use true or false"))),
        };
        self.families.extend(FAMILIES.iter().find(|family| key.starts_with(&format!("{family}-"))));
        match key.as_str() {
            "type" => self.kind = Some(needed()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(needed()?.to_owned()),
            "target" | "destination" | "dst" => self.target = Some(needed()?.to_owned()),
            "readonly" | "ro" => self.read_only = truth("readonly")?,
            "consistency" => drop(needed()?),
            "bind-propagation" => self.propagation = Some(needed()?.to_ascii_lowercase()),
            "bind-nonrecursive" => {
                self.recursive = truth("bind-nonrecursive")?.then_some(Recursive::Disabled);
            }
            "bind-recursive" => {
                self.recursive = Some(match needed()? {
                    "enabled" => Recursive::Enabled,
                    "disabled" => Recursive::Disabled,
                    "writable" => Recursive::Writable,
                    "readonly" => Recursive::ReadOnly,
                    value => {
                        let known = "use enabled, disabled, writable or readonly";
                        return Err(wrong(format!("invalid value for bind-recursive: {value}; {known}")));
                    }
                });
            }
            "bind-create-host-path" | "bind-create-src" => {
                self.if_missing = if truth(&key)? { Vanish::MakeDirectory } else { Vanish::Refuse };
            }
            "volume-nocopy" => self.no_copy = truth("volume-nocopy")?,
            "volume-subpath" => self.volume.part = Some(needed()?.into()),
            "volume-driver" => local_driver("--mount", text, needed()?)?,
            "volume-label" => drop(insert(&mut self.volume.labels, needed()?)),
            "volume-opt" => drop(insert(&mut self.volume.driver_options, needed()?)),
            "tmpfs-size" => {
                let size = ByteSize::parse(needed()?).ok();
                let why =
                    || wrong(format!("invalid value for tmpfs-size: {}; as in 64m", value.unwrap_or("")));
                self.tmpfs.size_bytes = Some(size.ok_or_else(why)?.0);
            }
            "tmpfs-mode" => {
                let why = || {
                    wrong(format!(
                        "invalid value for tmpfs-mode: {}; in octal, as in 1777",
                        value.unwrap_or("")
                    ))
                };
                self.tmpfs.mode = Some(tmpfs::octal(needed()?).ok_or_else(why)?);
            }
            "image-subpath" => self.image_part = Some(needed()?.into()),
            _ if value.is_none() => {
                return Err(wrong(format!("invalid field '{field}' must be a key=value pair")));
            }
            _ => return Err(wrong(format!("unexpected key '{key}' in '{field}'"))),
        }
        Ok(())
    }

    pub(super) fn finish(self, text: &str) -> Result<MountRequest, InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--mount", text, why);
        let kind = self.kind.clone().unwrap_or_else(|| "volume".to_owned());
        let named = self.target.as_deref().ok_or_else(|| wrong("target is required".to_owned()))?;
        let target = target("--mount", text, named)?;
        if let Some(family) = self.families.iter().find(|family| **family != kind) {
            return Err(wrong(format!("cannot mix '{family}-*' options with mount type '{kind}'")));
        }
        let source = self.source.clone().filter(|source| !source.is_empty());
        let needed = || source.clone().ok_or_else(|| wrong("field Source must not be empty".to_owned()));
        let read_only = self.read_only || kind == "image";
        let kind = match kind.as_str() {
            "bind" => {
                let source = PathBuf::from(needed()?);
                if !source.is_absolute() && !source.starts_with(".") && !source.starts_with("..") {
                    let source = source.display();
                    return Err(wrong(format!(
                        "invalid mount path: '{source}' mount path must be absolute: begin it with / or ./"
                    )));
                }
                MountKind::Bind { source, options: self.bind().map_err(wrong)? }
            }
            "volume" => {
                let name = source.as_deref().map(|name| volume_name("--mount", name)).transpose()?;
                if let Some(part) = &self.volume.part {
                    check_part(part, name.is_some()).map_err(|why| wrong(why.to_owned()))?;
                }
                MountKind::Volume { name, no_copy: self.no_copy, options: self.volume }
            }
            "tmpfs" if source.is_some() => {
                return Err(wrong("field Source must not be specified for a tmpfs".to_owned()));
            }
            "tmpfs" => MountKind::Tmpfs(self.tmpfs),
            "image" => MountKind::Image { image: needed()?, part: self.image_part },
            other => {
                return Err(wrong(format!(
                    "mount type unknown: {other:?}; use bind, volume, tmpfs or image"
                )));
            }
        };
        Ok(MountRequest { target, kind, read_only, by: MountOption::Mount })
    }

    fn bind(&self) -> Result<BindOptions, String> {
        if let Some(propagation) = self.propagation.as_deref().filter(|name| !PROPAGATIONS.contains(name)) {
            return Err(format!(
                "invalid propagation mode: {propagation}; use one of {}",
                PROPAGATIONS.join(", ")
            ));
        }
        let recursive = self.recursive.unwrap_or(Recursive::Enabled);
        let scope = match recursive {
            Recursive::Writable => Some("writable"),
            Recursive::ReadOnly => Some("readonly"),
            _ => None,
        };
        if let Some(scope) = scope.filter(|_| !self.read_only) {
            return Err(format!(
                "option 'bind-recursive={scope}' requires 'readonly' to be specified in conjunction"
            ));
        }
        if recursive == Recursive::ReadOnly && self.propagation.as_deref() != Some("rprivate") {
            return Err("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be \
                        specified in conjunction"
                .to_owned());
        }
        Ok(BindOptions {
            propagation: self.propagation.clone(),
            if_missing: self.if_missing,
            non_recursive: recursive == Recursive::Disabled,
            recursive_read_only: self.read_only
                && matches!(recursive, Recursive::Enabled | Recursive::ReadOnly),
        })
    }
}

fn check_part(part: &Path, is_named: bool) -> Result<(), &'static str> {
    if !is_named {
        return Err("must not set Subpath when using anonymous volumes");
    }
    let climbs =
        part.components().any(|component| !matches!(component, Component::Normal(_) | Component::CurDir));
    if climbs || part.as_os_str().is_empty() {
        return Err("subpath must be a relative path within the volume");
    }
    Ok(())
}

/// `key=value`, or `key` alone.
fn insert(map: &mut std::collections::BTreeMap<String, String>, entry: &str) -> Option<String> {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    map.insert(key.to_owned(), value.to_owned())
}

/// There is no driver but `local`.
pub fn local_driver(option: &'static str, text: &str, driver: &str) -> Result<(), InvalidOption> {
    match driver {
        "" | "local" => Ok(()),
        other => {
            let why =
                format!("error looking up volume plugin {other}: plugin {other:?} not found; use local");
            Err(InvalidOption::new(option, text, why))
        }
    }
}

const FAMILIES: [&str; 4] = ["bind", "volume", "tmpfs", "image"];
