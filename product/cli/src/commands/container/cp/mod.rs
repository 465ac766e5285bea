//! `strake cp`.

mod plan;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use archive::tar::Writer;
use base::ContainerId;
use engine::Engine;
use engine::files::{Owner, PackOptions, Packer, PathStat, Rename, UnpackOptions, unpack};
use plan::{Found, Place, is_content, plan, split};
use rustix::fs::FileType;
use sys::root::RootDir;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize;

/// Arguments of `strake cp`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake cp web:/etc/nginx .              a directory, to here\n  strake cp page.html web:/srv/           a file, into a directory\n  strake cp web:/srv/. - | tar -t         what is in a directory, as an archive\n\nDIR/. means what is in DIR."
)]
pub struct Args {
    /// CONTAINER:PATH or a path of this host; - reads an archive from standard input
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// CONTAINER:PATH or a path of this host; - writes an archive to standard output
    #[arg(value_name = "DESTINATION")]
    pub destination: String,
    /// Keep users and groups, as copies into a container always do
    #[arg(short = 'a', long)]
    pub archive: bool,
    /// Copy what a symbolic link leads to
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Don't say what was copied
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let (source, destination) = (Place::parse(&args.source), Place::parse(&args.destination));
    if source.is_stream() && destination.is_stream() {
        return Err(CliError::message("only one of the two can be -: name a container's path for the other"));
    }
    if [&source, &destination].iter().any(|place| place.container.is_some() && place.path.is_empty()) {
        return Err(CliError::message(
            "a container's path cannot be empty: write CONTAINER:/ for all of its files",
        ));
    }
    let copied = match (&source.container, &destination.container) {
        (Some(_), Some(_)) => {
            return Err(CliError::message(
                "copying between containers is not supported: copy to this host first",
            ));
        }
        (None, None) => {
            return Err(CliError::message(
                "must specify at least one container source: write it as CONTAINER:PATH",
            ));
        }
        (Some(container), None) => {
            let engine = context.engine()?;
            let id = engine.resolve(container)?;
            from_container(args, engine, &id, &source.path, &destination)?
        }
        (None, Some(container)) => {
            let engine = context.engine()?;
            let id = engine.resolve(container)?;
            Some(to_container(args.follow_link, engine, &id, &source, (container, &destination.path))?)
        }
    };
    if let Some(bytes) = copied.filter(|_| !args.quiet) {
        let bytes = humanize::size(bytes);
        context.say(format_args!("Successfully copied {bytes} to {}", args.destination));
    }
    Ok(Status::SUCCESS)
}

/// How many bytes of an archive were copied; none when it went to standard output.
fn from_container(
    args: &Args,
    engine: &Engine,
    id: &ContainerId,
    path: &str,
    destination: &Place,
) -> Result<Option<u64>, CliError> {
    let mut stat = engine.stat_path(id, path)?;
    let mut path = path.to_owned();
    let mut called = split(&absolute(&path)).1;
    if args.follow_link && stat.kind() == FileType::Symlink {
        // The copy is called as the link is.
        path = follow(engine, id, &mut stat, path)?;
    } else {
        called = stat.name.clone();
    }
    if destination.is_stream() {
        let mut out = io::stdout();
        engine.copy_from(id, &path, &mut out)?;
        out.flush()?;
        return Ok(None);
    }
    let is_directory = stat.kind() == FileType::Directory;
    let local = local_destination(&destination.path)?;
    let source = Found { path: path.clone(), exists: true, is_directory };
    let plan = plan(&source, &local).map_err(CliError::from)?;
    let to = RootDir::open(Path::new(&plan.directory)).map_err(|error| {
        CliError::message(format!("open {}: {error}; make the directory first", plan.directory))
    })?;
    let renamed = plan.renamed.or_else(|| (called != stat.name).then_some(called));
    let options = UnpackOptions {
        owner: if args.archive { Owner::Archive } else { Owner::Creator },
        id_base: 0,
        rename: renamed.map(|to| Rename { from: stat.name.clone(), to }),
    };
    let (reader, mut writer) = io::pipe()?;
    let mut reader = Counted { inner: reader, bytes: 0 };
    let (packed, unpacked) = std::thread::scope(|scope| {
        let packing = scope.spawn(move || engine.copy_from(id, &path, &mut writer));
        let unpacked = unpack(&mut reader, &to, Path::new("/"), &options);
        let bytes = reader.bytes;
        // Whoever still packs is not to wait for a reader that has gone.
        drop(reader);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (packed, unpacked.map(|()| bytes))
    });
    match (packed, unpacked) {
        (Ok(()), unpacked) => Ok(Some(unpacked?)),
        (Err(packed), Err(unpacked)) if lost_its_reader(&packed) => Err(unpacked.into()),
        (Err(error), _) => Err(error.into()),
    }
}

/// The path that a symbolic link of a container leads to in the end.
fn follow(
    engine: &Engine,
    id: &ContainerId,
    stat: &mut PathStat,
    mut path: String,
) -> Result<String, CliError> {
    for _ in 0..LINKS_MAX {
        let Some(target) = &stat.link_target else { return Ok(path) };
        path = target.to_string_lossy().into_owned();
        *stat = engine.stat_path(id, &path)?;
    }
    Err(CliError::message(format!("{path}: too many symbolic links, one leading to the other")))
}

fn to_container(
    follows: bool,
    engine: &Engine,
    id: &ContainerId,
    source: &Place,
    (container, path): (&str, &str),
) -> Result<u64, CliError> {
    let mut destination = Found { path: absolute(path), exists: false, is_directory: false };
    let mut found = engine.stat_path(id, &destination.path);
    if let Ok(stat) = &mut found
        && stat.kind() == FileType::Symlink
    {
        // The last link may lead to what is to be made.
        if let Some(target) = stat.link_target.clone() {
            destination.path = target.to_string_lossy().into_owned();
            found = engine.stat_path(id, &destination.path);
        }
    }
    match found {
        Ok(stat) => {
            destination.exists = true;
            destination.is_directory = stat.kind() == FileType::Directory;
            if !matches!(stat.kind(), FileType::Directory | FileType::RegularFile | FileType::Symlink) {
                return Err(CliError::message(format!(
                    "destination \"{container}:{path}\" must be a directory or a regular file"
                )));
            }
        }
        // The directory that it lies in may be there.
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    if source.is_stream() {
        if !destination.is_directory {
            return Err(CliError::message(format!("destination \"{container}:{path}\" must be a directory")));
        }
        let mut input = Counted { inner: io::stdin(), bytes: 0 };
        engine.copy_to(id, &destination.path, &mut input)?;
        return Ok(input.bytes);
    }
    let local = local_source(&source.path, follows)?;
    let is_directory = local.is_directory;
    let plan = plan(&Found { path: source.path.clone(), exists: true, is_directory }, &destination)
        .map_err(CliError::from)?;
    let name = match plan.renamed {
        Some(name) => name,
        None => local.called,
    };
    let (reader, writer) = io::pipe()?;
    let mut reader = Counted { inner: reader, bytes: 0 };
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let mut packer = Packer::new(Writer::new(writer), PackOptions::default());
            packer.add(&local.directory, local.name.as_ref(), &local.at, name.as_bytes())?;
            packer.finish().map(drop)
        });
        let unpacked = engine.copy_to(id, &plan.directory, &mut reader);
        let bytes = reader.bytes;
        drop(reader);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The packer loses its reader when that has failed.
        unpacked?;
        packed?;
        Ok(bytes)
    })
}

/// Whether a packer failed only because whoever read from it had failed before.
fn lost_its_reader(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// A path of a container: relative ones are below its root.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// What is at a path of this host, links followed.
fn local_destination(path: &str) -> Result<Found, CliError> {
    let mut path = path.to_owned();
    let mut metadata = std::fs::metadata(&path);
    if metadata.is_err() {
        // A link that leads to what is to be made.
        for _ in 0..LINKS_MAX {
            let Ok(target) = std::fs::read_link(&path) else { break };
            let target = Path::new(&split(&path).0).join(target);
            path = target.to_string_lossy().into_owned();
            metadata = std::fs::metadata(&path);
        }
    }
    match metadata {
        Ok(metadata) => Ok(Found { path, exists: true, is_directory: metadata.is_dir() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let parent = split(&path).0;
            if !Path::new(&parent).is_dir() {
                return Err(CliError::message(format!(
                    "invalid output path: directory {parent:?} does not exist; make it first"
                )));
            }
            Ok(Found { path, exists: false, is_directory: false })
        }
        Err(error) => Err(CliError::message(format!("look at {path}: {error}"))),
    }
}

/// A file of this host that is to be copied.
struct Local {
    directory: std::os::fd::OwnedFd,
    name: String,
    at: PathBuf,
    /// What it is called where it goes.
    called: String,
    is_directory: bool,
}

fn local_source(path: &str, follow: bool) -> Result<Local, CliError> {
    let failed = |error: io::Error| CliError::message(format!("look at {path}: {error}"));
    let called = match split(path).1 {
        // The directory that `..` or `/` is has a name of its own.
        name if name == ".." => resolved_name(path),
        name => name,
    };
    // A slash at the end says that a link is not what is meant.
    let resolves = follow || path.ends_with('/') || is_content(path) || path.ends_with("..");
    let path = match resolves {
        true => std::fs::canonicalize(path).map_err(failed)?.to_string_lossy().into_owned(),
        false => path.to_owned(),
    };
    let is_directory = std::fs::symlink_metadata(&path).map_err(failed)?.is_dir();
    let (at, name) = split(&path);
    let directory = RootDir::open(Path::new(&at)).map_err(failed)?.into_fd();
    Ok(Local { directory, name, at: at.into(), called, is_directory })
}

fn resolved_name(path: &str) -> String {
    let resolved = std::fs::canonicalize(path).unwrap_or_default();
    resolved.file_name().map_or_else(|| ".".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

/// As many as the kernel follows.
const LINKS_MAX: u32 = 40;
