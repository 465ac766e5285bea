//! Carries out a plan.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::{Cgroup, read_trimmed};
use crate::devices::DevicePolicy;
use crate::ebpf;
use crate::error::Error;
use crate::setting::{IfRefused, Place, Plan, Setting, Warning};

impl Cgroup {
    /// Writes a plan's settings and device rules. Returns what could not be had, together
    /// with the plan's own warnings; fails on the first setting that must be had.
    pub fn apply(&self, plan: &Plan) -> Result<Vec<Warning>, Error> {
        let mut warnings = plan.warnings.clone();
        for setting in plan.settings.iter().filter(|setting| setting.place == Place::V2) {
            self.need_v2(setting.file.split('.').next().unwrap_or_default());
        }
        let mut rest = plan.settings.as_slice();
        while let [first, others @ ..] = rest {
            if first.if_refused == IfRefused::RetryInTurn {
                let turn =
                    rest.iter().take_while(|setting| setting.if_refused == IfRefused::RetryInTurn).count();
                self.write_in_turn(&rest[..turn])?;
                rest = &rest[turn..];
                continue;
            }
            if let Err(error) = self.write(first) {
                warnings.extend(forgive(first, error)?);
            }
            rest = others;
        }
        if let Some(devices) = &plan.devices {
            warnings.extend(self.apply_devices(devices)?);
        }
        Ok(warnings)
    }

    /// Writes settings that the kernel checks against each other, in whatever order works.
    fn write_in_turn(&self, settings: &[Setting]) -> Result<(), Error> {
        let mut open: Vec<&Setting> = settings.iter().collect();
        loop {
            let mut refused = Vec::new();
            let mut first_error = None;
            for setting in &open {
                if let Err(error) = self.write(setting) {
                    // Where nothing is limited, "no limit" is what is asked for.
                    if is_missing(&error) && setting.value == "-1" {
                        continue;
                    }
                    refused.push(*setting);
                    first_error.get_or_insert(error);
                }
            }
            let Some(error) = first_error else { return Ok(()) };
            if refused.len() == open.len() || !may_work_later(&error) {
                return Err(error);
            }
            open = refused;
        }
    }

    fn write(&self, setting: &Setting) -> Result<(), Error> {
        let dir = self.place(&setting.place)?;
        let path = dir.join(&setting.file);
        if let Some(usage) = &setting.not_below {
            check_usage(&path, &setting.value, &dir.join(usage))?;
        }
        match (write_file(&path, &setting.value), &setting.otherwise) {
            (Err(error), Some((file, value))) if is_missing(&error) => write_file(&dir.join(file), value),
            (result, _) => result,
        }
    }

    /// Device rules: v1's files, or an eBPF program on v2.
    fn apply_devices(&self, policy: &DevicePolicy) -> Result<Option<Warning>, Error> {
        if let Some(dir) = self.v1_dir("devices") {
            // Many for two files.
            let mut last: Option<(&str, ValueFile)> = None;
            for (name, value) in policy.v1_writes() {
                let file = match last.take() {
                    Some((of, file)) if of == name => file,
                    _ => ValueFile::open(dir.join(name), &value)?,
                };
                file.write(&value)?;
                last = Some((name, file));
            }
            return Ok(None);
        }
        let Some(dir) = self.v2_dir() else {
            let why =
                "no devices controller is mounted, so device nodes are limited by their permissions only";
            return Ok(Some(Warning { what: "devices".to_owned(), why: why.to_owned() }));
        };
        match attach_program(dir, policy) {
            Err(error)
                if is_left_to_root(&error, sys::user::effective_uid(), sys::user::mapped().is_some()) =>
            {
                // Nobody has asked for the usual rules.
                let asked = *policy != DevicePolicy::for_container(&[]);
                Ok(asked.then(|| Warning { what: "devices".to_owned(), why: NOT_ROOT.to_owned() }))
            }
            attached => {
                attached.map(|()| None).map_err(|source| Error::Devices { path: dir.to_owned(), source })
            }
        }
    }
}

/// Who is not the host's root can neither load a device program nor make a device node: a delegated cgroup does without.
fn is_left_to_root(error: &io::Error, uid: u32, in_user_namespace: bool) -> bool {
    error.raw_os_error() == Some(Errno::PERM.raw_os_error()) && (uid != 0 || in_user_namespace)
}

/// Loads the new program before the old ones go: at no moment is everything allowed.
fn attach_program(dir: &Path, policy: &DevicePolicy) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(dir, flags, Mode::empty())?;
    let program = sys::bpf::load_device_program(&ebpf::program(policy))?;
    let old = sys::bpf::device_programs(cgroup.as_fd())?;
    if let [single] = &old[..] {
        return sys::bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), Some(single.as_fd()));
    }
    sys::bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), None)?;
    old.iter().try_for_each(|old| sys::bpf::detach_device_program(cgroup.as_fd(), old.as_fd()))
}

pub(crate) fn write_file(path: &Path, value: &str) -> Result<(), Error> {
    ValueFile::open(path.to_owned(), value)?.write(value)
}

/// A file of the kernel's that takes values.
struct ValueFile {
    path: PathBuf,
    file: OwnedFd,
}

impl ValueFile {
    /// Opens without O_CREAT and O_TRUNC: a missing file is ENOENT, not EACCES.
    fn open(path: PathBuf, value: &str) -> Result<Self, Error> {
        match rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Self { path, file }),
            Err(errno) => Err(refused(&path, value, errno)),
        }
    }

    /// One write: the kernel takes each as a whole value.
    fn write(&self, value: &str) -> Result<(), Error> {
        match rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.file, value.as_bytes(), 0)) {
            Ok(_) => Ok(()),
            Err(errno) => Err(refused(&self.path, value, errno)),
        }
    }
}

fn refused(path: &Path, value: &str, errno: Errno) -> Error {
    Error::Write { path: path.to_owned(), value: value.to_owned(), source: errno.into() }
}

fn check_usage(path: &Path, value: &str, usage: &Path) -> Result<(), Error> {
    let (Ok(value), Ok(usage)) = (value.parse(), read_trimmed(usage)?.parse()) else { return Ok(()) };
    if usage > value {
        return Err(Error::BelowUsage { path: PathBuf::from(path), value, usage });
    }
    Ok(())
}

fn errno(error: &Error) -> Option<Errno> {
    let Error::Write { source, .. } = error else { return None };
    source.raw_os_error().map(Errno::from_raw_os_error)
}

fn is_missing(error: &Error) -> bool {
    errno(error) == Some(Errno::NOENT)
}

fn may_work_later(error: &Error) -> bool {
    matches!(errno(error), Some(Errno::INVAL | Errno::BUSY))
}

fn forgive(setting: &Setting, error: Error) -> Result<Option<Warning>, Error> {
    match setting.if_refused {
        IfRefused::IgnoreMissing if is_missing(&error) => Ok(None),
        // A value that makes no sense is never forgiven.
        IfRefused::Warn if errno(&error) != Some(Errno::RANGE) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Ok(Some(Warning { what: setting.to_string(), why: format!("{error}: {cause}") }))
        }
        _ => Err(error),
    }
}

/// Reads a file as a number; `None` when it is missing or holds no number (`max`).
pub(crate) fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

const NOT_ROOT: &str = "only the host's root may set device rules; without root no device node can be made, and \
     those of the host are limited by their permissions";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_must_have_device_rules() {
        let refused = io::Error::from(Errno::PERM);
        assert!(!is_left_to_root(&refused, 0, false));
        assert!(is_left_to_root(&refused, 1000, false));
        assert!(is_left_to_root(&refused, 0, true));
        assert!(!is_left_to_root(&io::Error::from(Errno::INVAL), 0, true));
    }
}
