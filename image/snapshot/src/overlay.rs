//! One overlay mount, configured step by step, on kernels from 5.12 on.
//!
//! How overlayfs is told its layers has changed three times: since Linux 6.13 as
//! descriptors, since 6.8 one by one as paths, before as one list of paths. A value of
//! `fsconfig(2)` has at most 255 bytes, so layers are named by the short path of an open
//! descriptor; a list then holds some twenty layers.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::mount::{Change, FsContext, attr};

use crate::{Error, IdMap, LayerInfo, idmap, tree};

/// An overlay that is being configured.
pub(crate) struct Overlay<'a> {
    context: FsContext,
    key: &'a str,
    layers: usize,
    style: Style,
    /// What the configuration refers to until it is mounted.
    held: Vec<OwnedFd>,
}

/// How this kernel takes layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// As descriptors.
    Descriptors,
    /// As paths, one by one.
    Appended,
    /// As one list of paths.
    Joined,
}

impl<'a> Overlay<'a> {
    /// An overlay of `layers` lower layers for the snapshot `key`.
    pub(crate) fn open(key: &'a str, layers: usize) -> Result<Self, Error> {
        if layers > LAYERS_MAX {
            return Err(Error::TooManyLayers { layers, max: LAYERS_MAX });
        }
        let failed = |source| Error::Mount {
            key: key.to_owned(),
            layers,
            what: "this kernel has no overlayfs: load the module `overlay`",
            kernel: String::new(),
            source,
        };
        let context = FsContext::open("overlay").map_err(failed)?;
        let overlay = Self { context, key, layers, style: Style::Descriptors, held: Vec::new() };
        overlay.set("source", "overlay")?;
        // Root of a user namespace may not write attributes that are called trusted. Without them
        // the kernel has metacopy and redirect_dir off, and refuses to be told so.
        let user_attributes = sys::user::mapped().is_some();
        if user_attributes {
            overlay.flag("userxattr")?;
        }
        for (option, value) in OPTIONS {
            if !user_attributes || option == "index" {
                overlay.set(option, value)?;
            }
        }
        Ok(overlay)
    }

    /// Adds the layers, of which the last is the topmost.
    pub(crate) fn lower(&mut self, layers: &[LayerInfo], id_map: Option<&IdMap>) -> Result<(), Error> {
        let user_namespace = id_map.map(idmap::user_namespace).transpose()?;
        let mut directories = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            let directory = match &user_namespace {
                None => tree::open_directory(&layer.path).map_err(Error::io("open", &layer.path))?,
                Some(namespace) => {
                    let mapped = idmapped(&layer.path, namespace.as_fd());
                    let (mount, directory) = mapped.map_err(Error::io("map the owners of", &layer.path))?;
                    // A detached mount goes with its last descriptor, though a directory in
                    // it is open: it must live until overlayfs has its own copy.
                    self.held.push(mount);
                    directory
                }
            };
            directories.push(directory);
        }
        self.layers(directories)
    }

    /// Sets `upperdir` or `workdir`.
    pub(crate) fn directory(&mut self, key: &str, path: &Path) -> Result<(), Error> {
        let directory = tree::open_directory(path).map_err(Error::io("open", path))?;
        let set = match self.style {
            Style::Descriptors => self.context.set_fd(key, &directory),
            Style::Appended | Style::Joined => self.context.set(key, &short_path(&directory)),
        };
        self.held.push(directory);
        set.map_err(|error| self.failed("set the upper directory", error))
    }

    /// Sets an option without a value.
    pub(crate) fn flag(&self, key: &str) -> Result<(), Error> {
        self.context.set_flag(key).map_err(|error| self.failed("set an option", error))
    }

    /// Sets an option.
    pub(crate) fn option(&self, key: &str, value: &str) -> Result<(), Error> {
        self.context.set(key, value).map_err(|error| self.failed("set an option", error))
    }

    /// Mounts it, attached nowhere.
    pub(crate) fn mount(self, read_only: bool) -> Result<OwnedFd, Error> {
        let attributes = if read_only { attr::RDONLY } else { 0 };
        let mount = self.context.mount(attributes).map_err(|error| self.failed(REFUSED, error))?;
        // A full disk has no room for the directory that the kernel makes in `work`: it goes on without, read-only.
        let shown = rustix::fs::fstatvfs(&mount).map_err(|errno| self.failed(REFUSED, errno.into()))?;
        if !read_only && shown.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Err(self.failed(NO_ROOM, Errno::NOSPC.into()));
        }
        Ok(mount)
    }

    /// Gives the kernel the layers, the topmost first.
    fn layers(&mut self, directories: Vec<OwnedFd>) -> Result<(), Error> {
        if self.style == Style::Descriptors
            && let Some(top) = directories.first()
        {
            match self.context.set_fd("lowerdir+", top) {
                Ok(()) => {}
                Err(error) if takes_no_descriptors(&error) => self.style = older_style(),
                Err(error) => return Err(self.failed("set a layer", error)),
            }
        }
        let set = match self.style {
            // The first one is set already.
            Style::Descriptors => {
                let rest = directories.iter().skip(1);
                rest.into_iter().try_for_each(|directory| self.context.set_fd("lowerdir+", directory))
            }
            Style::Appended => directories
                .iter()
                .try_for_each(|directory| self.context.set("lowerdir+", &short_path(directory))),
            Style::Joined => {
                let list = directories.iter().map(short_path).collect::<Vec<_>>().join(":");
                if list.len() > VALUE_BYTES_MAX {
                    return Err(self.failed(TOO_OLD, Errno::TOOBIG.into()));
                }
                self.context.set("lowerdir", &list)
            }
        };
        self.held.extend(directories);
        set.map_err(|error| self.failed("set a layer", error))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.context.set(key, value).map_err(|error| self.failed("set an option", error))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> Error {
        let kernel = self.context.messages().join("; ");
        Error::Mount { key: self.key.to_owned(), layers: self.layers, what, kernel, source }
    }
}

/// Before 6.5 overlayfs had not learned fsconfig(2), and the kernel answers for it.
fn takes_no_descriptors(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Before 6.5 the kernel takes any option and refuses the whole later: the version decides.
fn older_style() -> Style {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 8) { Style::Appended } else { Style::Joined }
}

/// A path of a dozen bytes to an open directory of ours, whatever its own path is.
fn short_path(directory: &OwnedFd) -> String {
    format!("/dev/fd/{}", directory.as_raw_fd())
}

/// A detached mount whose owners are mapped, and the directory of ours in it.
fn idmapped(path: &Path, user_namespace: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let mount = sys::mount::clone_path(path, false)?;
    sys::mount::set_attributes(&mount, &Change { idmap: Some(user_namespace), ..Change::default() })?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&mount, c".", flags, Mode::empty())?;
    Ok((mount, directory))
}

/// What the module's defaults must not change: the upper directory has whole files and
/// whole directories, so that it can be read, measured and committed as it is, and lower
/// layers may be used by many mounts.
const OPTIONS: [(&str, &str); 3] = [("metacopy", "off"), ("redirect_dir", "off"), ("index", "off")];

const REFUSED: &str = "the kernel refuses it; the store must be on a file system that can hold an upper directory, such as ext4, xfs or tmpfs";

const NO_ROOM: &str = "the kernel can only mount it read-only, for want of room on the disk";

const TOO_OLD: &str =
    "this kernel takes some twenty layers only: use Linux 6.8 or newer, or squash the image";

/// `OVL_MAX_STACK` of the kernel.
const LAYERS_MAX: usize = 500;

/// The longest value of `fsconfig(2)` without its NUL byte.
const VALUE_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use std::fs;

    use testkit::TempDir;

    use super::*;

    /// Mounts `count` layers, each with a file of its own, as an older kernel wants it.
    fn mount(style: Style, count: usize) -> Result<usize, Error> {
        let directory = TempDir::new();
        for name in ["upper", "work"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        let mut overlay = Overlay::open("test", count).unwrap();
        overlay.style = style;
        let layers = (0..count).map(|n| {
            let layer = directory.join(format!("layer{n}"));
            fs::create_dir(&layer).unwrap();
            fs::write(layer.join(format!("file{n}")), "").unwrap();
            tree::open_directory(&layer).unwrap()
        });
        overlay.layers(layers.collect())?;
        overlay.directory("upperdir", &directory.join("upper"))?;
        overlay.directory("workdir", &directory.join("work"))?;
        let mount = overlay.mount(false)?;
        let listed = rustix::fs::openat(&mount, ".", tree::READ_DIRECTORY, Mode::empty()).unwrap();
        rustix::fs::mkdirat(&listed, "new", Mode::RWXU).unwrap();
        Ok(tree::names(&listed).unwrap().len() - 1)
    }

    #[test]
    fn every_style_mounts() {
        for style in [Style::Descriptors, Style::Appended, Style::Joined] {
            for count in [1, 2, 15] {
                assert_eq!(mount(style, count).unwrap(), count, "{style:?}");
            }
        }
        assert_eq!(mount(Style::Appended, 100).unwrap(), 100);
    }

    #[test]
    fn refusals_of_older_kernels_are_known() {
        for (errno, older) in [(Errno::INVAL, true), (Errno::OPNOTSUPP, true), (Errno::PERM, false)] {
            assert_eq!(takes_no_descriptors(&errno.into()), older, "{errno}");
        }
    }

    #[test]
    fn an_old_kernel_says_what_it_lacks() {
        let error = mount(Style::Joined, 60).unwrap_err();
        assert!(error.to_string().contains("use Linux 6.8 or newer"), "{error}");
    }
}
