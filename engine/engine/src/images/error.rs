//! What can go wrong with images, and what the caller may do about it.

use std::io;
use std::path::PathBuf;

use base::{Classified, Digest, ErrorClass};
use oci_spec::image::{InvalidDocument, InvalidPlatform};
use oci_spec::{InvalidReference, Reference};

/// An operation on images failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// Not a platform.
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
    /// No image has that name or id.
    #[error(
        "no such image: {name}; `strake images` lists those that are here, `strake pull {name}` fetches it"
    )]
    NoSuchImage {
        /// What was asked for.
        name: String,
    },
    /// More than the platform asked for is here under its name.
    #[error("{name} is of several platforms here, and cannot be removed for one alone; leave --platform out")]
    SeveralPlatforms {
        /// The image.
        name: String,
    },
    /// Several images' ids begin like that.
    #[error("{prefix} is the beginning of several image ids; give more of it")]
    AmbiguousId {
        /// What was asked for.
        prefix: String,
    },
    /// The image exists, but not for this platform.
    #[error(
        "image {reference} has nothing for platform {wanted}; it has {available}: choose one with --platform"
    )]
    NoPlatform {
        /// Which image.
        reference: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// There is one image by that name, of another platform. Docker's words.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted}): leave --platform away or name {found}"
    )]
    OtherPlatform {
        /// Which image.
        reference: String,
        /// What was asked for.
        wanted: String,
        /// What it is for.
        found: String,
    },
    /// The registry failed us.
    #[error("{operation} {reference}")]
    Registry {
        /// `pull` or `push`.
        operation: &'static str,
        /// Which image.
        reference: String,
        /// Why.
        #[source]
        source: Box<registry::Error>,
    },
    /// The registry's answer, which names the image and what to do itself.
    #[error(transparent)]
    Answer(Box<registry::Error>),
    /// A login failed.
    #[error("log in to {registry}")]
    Login {
        /// Which registry.
        registry: String,
        /// Why.
        #[source]
        source: Box<registry::Error>,
    },
    /// Credentials cannot be kept or found.
    #[error(transparent)]
    Credentials(#[from] registry::CredentialError),
    /// The content store failed.
    #[error("keep the content of images")]
    Content(#[from] content::Error),
    /// Bytes from a registry or an archive are not what they should be.
    #[error("store {what} of {image}")]
    Blob {
        /// Which part.
        what: String,
        /// Of which image.
        image: String,
        /// Why not.
        #[source]
        source: content::Error,
    },
    /// The snapshot store failed.
    #[error("unpack image {image}")]
    Snapshot {
        /// Which image.
        image: String,
        /// Why.
        #[source]
        source: Box<snapshot::Error>,
    },
    /// A manifest in the store cannot be read.
    #[error("manifest {digest} cannot be used")]
    Document {
        /// Which one.
        digest: Digest,
        /// Why not.
        #[source]
        source: InvalidDocument,
    },
    /// The configuration cannot be read.
    #[error("image {image} has a configuration that cannot be used (digest {digest})")]
    Config {
        /// Of which image.
        image: String,
        /// Its digest.
        digest: Digest,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Manifest and configuration contradict each other, or it is no container image.
    #[error("{image} is not a container image that can be run: {problem}")]
    NotAnImage {
        /// Which one.
        image: String,
        /// What is wrong.
        problem: String,
    },
    /// A container needs the image.
    #[error("image {image} is used by container {container}{}: remove the container first{}", running_note(*.running), force_note(*.running))]
    InUse {
        /// What was to be removed.
        image: String,
        /// Name or short id of the container.
        container: String,
        /// Whether it runs.
        running: bool,
    },
    /// The image has several names and one id was given.
    #[error("image {id} has {count} names ({names}): remove them by name, or use --force")]
    SeveralNames {
        /// Its short id.
        id: String,
        /// How many.
        count: usize,
        /// Which.
        names: String,
    },
    /// An archive has no image that we can read.
    #[error("{archive} is not an image archive: {problem}")]
    Archive {
        /// Where it came from.
        archive: String,
        /// What is wrong.
        problem: String,
    },
    /// Reading or writing an archive failed.
    #[error("{operation} {archive}")]
    ArchiveIo {
        /// What was being done.
        operation: &'static str,
        /// Where.
        archive: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A `--change` instruction is wrong.
    #[error("--change {instruction:?} is not valid: {problem}")]
    Change {
        /// What was given.
        instruction: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A filter is wrong.
    #[error("invalid filter '{filter}': {problem}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is right.
        problem: &'static str,
    },
    /// A file of ours could not be read or written.
    #[error("{operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system has no resources for a thread or a runtime.
    #[error("{operation}")]
    System {
        /// What was being done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn running_note(running: bool) -> &'static str {
    if running { ", which runs" } else { "" }
}

fn force_note(running: bool) -> &'static str {
    if running { "" } else { ", or use --force" }
}

impl Error {
    pub(super) fn registry(
        operation: &'static str,
        reference: &Reference,
    ) -> impl FnOnce(registry::Error) -> Self {
        let reference = reference.familiar();
        move |source| match source {
            registry::Error::ManifestUnknown { .. }
            | registry::Error::Unauthorized { .. }
            | registry::Error::Denied { .. } => Self::Answer(Box::new(source)),
            source => Self::Registry { operation, reference, source: Box::new(source) },
        }
    }

    pub(super) fn snapshot(image: &str) -> impl FnOnce(snapshot::Error) -> Self {
        let image = image.to_owned();
        move |source| Self::Snapshot { image, source: Box::new(source) }
    }

    pub(super) fn blob(what: impl Into<String>, image: &str) -> impl FnOnce(content::Error) -> Self {
        let (what, image) = (what.into(), image.to_owned());
        move |source| Self::Blob { what, image, source }
    }

    pub(super) fn not_an_image(image: &str, problem: impl Into<String>) -> Self {
        Self::NotAnImage { image: image.to_owned(), problem: problem.into() }
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchImage { .. } | Self::NoPlatform { .. } | Self::OtherPlatform { .. } => {
                ErrorClass::NotFound
            }
            Self::SeveralPlatforms { .. } => ErrorClass::Conflict,
            Self::Registry { source, .. } | Self::Login { source, .. } | Self::Answer(source) => {
                source.class()
            }
            Self::Credentials(source) => source.class(),
            Self::Content(source) | Self::Blob { source, .. } => source.class(),
            Self::Snapshot { source, .. } => source.class(),
            Self::InUse { .. } | Self::SeveralNames { .. } => ErrorClass::Conflict,
            Self::ArchiveIo { source, .. } | Self::File { source, .. } | Self::System { source, .. } => {
                source.class()
            }
            Self::Document { .. } | Self::Config { .. } => ErrorClass::Corrupt,
            Self::Reference(_)
            | Self::Platform(_)
            | Self::AmbiguousId { .. }
            | Self::NotAnImage { .. }
            | Self::Archive { .. }
            | Self::Change { .. }
            | Self::Filter { .. } => ErrorClass::Invalid,
        }
    }
}
