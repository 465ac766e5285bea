//! `commit`: an image of what a container has changed.

use std::io::{self, Read, Write};

use archive::compression::{Compression, Encoder};
use base::digest::{Algorithm, DigestHasher};
use base::{ContainerId, Digest};
use oci_spec::Reference;
use oci_spec::image::{ContainerConfig, Descriptor, History, MediaType};
use serde_json::json;

use super::import::to_json;
use super::load::Load;
use super::progress::Silent;
use super::{Change, Error, Image, Images};
use crate::container::{Lifecycle, Record};
use crate::engine::Engine;
use crate::error::Error as EngineError;
use crate::ops::exposed_ports;

/// What a committed image shall be.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// Its name; without one it has only its id.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: Option<String>,
    /// A remark for its history.
    pub message: Option<String>,
    /// Instructions that change its configuration.
    pub changes: Vec<Change>,
    /// Whether the container's processes are frozen meanwhile.
    pub pause: bool,
}

/// A committed image.
#[derive(Debug)]
pub struct Committed {
    /// The image.
    pub image: Image,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes an image of a container: its image's layers, and one of what it has changed. One that
    /// has no control group is not frozen meanwhile.
    pub fn commit(&self, id: &ContainerId, request: &CommitRequest) -> Result<Committed, EngineError> {
        let record = self.look(id)?;
        let images = self.images()?;
        let base = images.find(record.image.id.hex(), None)?;
        let mut pauses =
            request.pause && matches!(record.lifecycle, Lifecycle::Running { paused: false, .. });
        let mut warnings = Vec::new();
        if let (true, Err(why)) = (pauses, crate::ops::need_cgroups("freeze", &record)) {
            warnings.push(format!("{why}; what its processes write meanwhile may be in the image in part"));
            pauses = false;
        }
        // One that does not run must not begin to while its files are read.
        let stopped = if record.lifecycle.is_running() { None } else { Some(self.settled(id)?) };
        if pauses {
            self.pause(id)?;
        }
        let written = self.commit_locked(&images, &base, &record, request);
        if pauses {
            // It may have been killed meanwhile; what was written is whole all the same.
            let resumed = self.unpause(id);
            if written.is_ok() && self.look(id).is_ok_and(|record| record.lifecycle.is_running()) {
                resumed?;
            }
        }
        drop(stopped);
        let image = written?;
        let comment = request.message.clone().unwrap_or_default();
        let mut more = vec![("comment", comment), ("imageID", image.id.to_string())];
        more.extend(request.reference.as_ref().map(|reference| ("imageRef", reference.familiar())));
        self.tell(&record, "commit", &more);
        Ok(Committed { image, warnings })
    }

    fn commit_locked(
        &self,
        images: &Images,
        base: &Image,
        record: &Record,
        request: &CommitRequest,
    ) -> Result<Image, EngineError> {
        let placeholders = self.all_changes(record)?.placeholders;
        let keep = |path: &[u8]| {
            use std::os::unix::ffi::OsStrExt as _;
            let path = std::path::Path::new("/").join(std::ffi::OsStr::from_bytes(path));
            !placeholders.contains(&path)
        };
        let write = |sink: &mut dyn Write| {
            let written = self.snapshots()?.diff_of(&record.id, sink, keep);
            written.map(drop).map_err(EngineError::snapshot(&record.name))
        };
        let config = committed_config(record, &request.changes);
        let created_by = record.command_line().join(" ");
        images.commit(base, request, config, created_by, write)
    }
}

impl Images {
    /// Puts a layer that `write` writes on those of `base`.
    fn commit(
        &self,
        base: &Image,
        request: &CommitRequest,
        config: ContainerConfig,
        created_by: String,
        write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError> + Send,
    ) -> Result<Image, EngineError> {
        let leases = self.leases("commit")?;
        // Neither what it stands on nor what is made now may be collected meanwhile.
        for blob in base.manifest.layers.iter().map(|layer| &layer.digest) {
            leases.content.add(blob).map_err(Error::from)?;
        }
        let called = request.reference.as_ref().map_or_else(|| base.called.clone(), Reference::familiar);
        let load = Load::new(self, &leases);
        let (spool, diff_id) = compressed(write, |reader| load.spool(reader, &called))?;
        let file = spool.open().map_err(|source| Error::ArchiveIo {
            operation: "read",
            archive: called.clone(),
            source,
        })?;
        load.ingest(&spool.digest, file, &called)?;
        let mut image = base.config.clone();
        let created = jiff::Timestamp::now().to_string();
        image.created = Some(created.clone());
        image.author.clone_from(&request.author);
        image.config = config;
        image.rootfs.diff_ids.push(diff_id);
        image.history.push(History {
            created: Some(created),
            created_by: Some(created_by),
            author: request.author.clone(),
            comment: request.message.clone(),
            empty_layer: false,
        });
        let config_raw = to_json(&image, &called)?;
        let config = Descriptor::of(MediaType::OCI_CONFIG.into(), &config_raw);
        let mut manifest = base.manifest.clone();
        manifest.media_type = Some(MediaType::OCI_MANIFEST.into());
        manifest.config = config.clone();
        manifest.subject = None;
        manifest.annotations.clear();
        manifest.layers.push(Descriptor::new(
            MediaType::OCI_LAYER_GZIP.into(),
            spool.digest.clone(),
            spool.size,
        ));
        let raw = to_json(&manifest, &called)?;
        let target = Descriptor::of(MediaType::OCI_MANIFEST.into(), &raw);
        for (descriptor, bytes) in [(&config, &config_raw), (&target, &raw)] {
            leases.content.add(&descriptor.digest).map_err(Error::from)?;
            self.store_bytes(descriptor, bytes, &called)?;
        }
        let image = Image::read(&called, target.clone(), target.clone(), manifest, config_raw)?;
        for layer in image.layers() {
            leases.chains.add(&layer.chain_id).map_err(Error::from)?;
        }
        let missing = self.missing_layers(&image)?;
        self.unpack_leased(&image, &missing, &mut Silent)?;
        let name = request.reference.as_ref().map_or_else(|| target.digest.to_string(), ToString::to_string);
        let _naming = self.naming()?;
        self.give_name(&name, &target, &content::Labels::new())?;
        if let Some(reference) = &request.reference {
            let name = reference.familiar();
            self.tell("tag", &image.id.to_string(), &name, &image.config.config.labels);
        }
        Ok(image)
    }
}

/// What `write` writes, compressed, as `read` takes it; and the digest of the plain bytes.
fn compressed<T>(
    write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError> + Send,
    read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<(T, Digest), EngineError> {
    let failed = |source| Error::ArchiveIo { operation: "compress", archive: "the layer".to_owned(), source };
    let (mut reader, writer) = io::pipe().map_err(failed)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || -> Result<Digest, EngineError> {
            let sink = io::BufWriter::with_capacity(PIECE_BYTES, writer);
            let encoder = Encoder::new(sink, Compression::Gzip).map_err(failed)?;
            let mut plain = Hashed { sink: encoder, hasher: DigestHasher::new(Algorithm::Sha256) };
            write(&mut plain)?;
            let mut sink = plain.sink.finish().map_err(failed)?;
            sink.flush().map_err(failed)?;
            Ok(plain.hasher.finish())
        });
        let taken = read(&mut reader);
        // Whoever still writes is not to wait for a reader that has gone.
        drop(reader);
        let digest = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (taken, digest) {
            // The writer's error comes first, unless it is only that the reader has gone.
            (Ok(taken), digest) => Ok((taken, digest?)),
            (Err(error), _) => Err(error.into()),
        }
    })
}

struct Hashed<W> {
    sink: W,
    hasher: DigestHasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// The image's configuration with what the container was made with, and then `changes`.
fn committed_config(record: &Record, changes: &[Change]) -> ContainerConfig {
    let mut config = record.config.clone();
    let process = &record.request.process;
    if let Some(entrypoint) = &process.entrypoint {
        config.entrypoint.clone_from(entrypoint);
        // As docker: another entrypoint has not the image's arguments.
        config.cmd.clear();
    }
    if !process.command.is_empty() {
        config.cmd.clone_from(&process.command);
    }
    for entry in &process.env {
        let name = entry.split('=').next().unwrap_or(entry);
        config.env.retain(|other| other.split('=').next() != Some(name));
        if entry.contains('=') {
            config.env.push(entry.clone());
        }
    }
    if let Some(user) = &process.user {
        config.user.clone_from(user);
    }
    if let Some(workdir) = &process.workdir {
        config.working_dir.clone_from(workdir);
    }
    if let Some(signal) = process.stop_signal {
        config.stop_signal = signal.to_string();
    }
    config.labels = record.labels();
    config.exposed_ports = exposed_ports(record).iter().map(|port| (port.to_string(), json!({}))).collect();
    for change in changes {
        change.apply(&mut config);
    }
    config
}

const PIECE_BYTES: usize = 64 << 10;
