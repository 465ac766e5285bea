//! `push`: blobs first, then manifests, the one with the tag last.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use base::Digest;
use bytes::Bytes;
use content::Labels;
use futures_util::StreamExt as _;
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document};
use registry::{BlobSource, Client, PushOutcome};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::image::REPO_DIGEST_LABEL;
use super::lookup::{INDEX_DEPTH_MAX, children};
use super::progress::{Event, LayerState, Progress};
use super::remote::block_on;
use super::{Error, Images};

/// Blobs that are sent at once; docker's default too.
const TRANSFERS_MAX: usize = 5;

/// What a push has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// The digest of the manifest or index under it.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What belongs to a push, in an order in which a registry takes it.
#[derive(Default)]
struct Plan {
    /// Configurations and layers.
    blobs: Vec<Descriptor>,
    /// Manifests and indexes, each after what it names.
    documents: Vec<Descriptor>,
}

impl Images {
    /// Sends the image named `reference` to its registry.
    ///
    /// Of an index of which not all is here, the manifest that is here is sent.
    pub fn push(&self, reference: &Reference, progress: &mut dyn Progress) -> Result<Pushed, Error> {
        let familiar = reference.familiar();
        let image = self.find(&familiar, self.platform.as_ref())?;
        let leases = self.leases("push")?;
        leases.content.add(&image.target.digest)?;
        let mut plan = Plan::default();
        let target = if self.platform.is_none() && self.gather(&image.target, 0, &mut plan)? {
            image.target.clone()
        } else {
            plan = Plan::default();
            self.gather(&image.manifest_descriptor, 0, &mut plan)?;
            image.manifest_descriptor.clone()
        };
        let (events, mut heard) = unbounded_channel();
        let origins = self.origins(reference)?;
        let push = Push { images: self, client: self.remote.client(), reference, events, origins };
        let digest = block_on(async {
            let work = push.run(&plan, &target);
            tokio::pin!(work);
            let outcome = loop {
                tokio::select! {
                    biased;
                    Some(event) = heard.recv() => progress.event(&event),
                    outcome = &mut work => break outcome,
                }
            };
            while let Ok(event) = heard.try_recv() {
                progress.event(&event);
            }
            outcome
        })?;
        self.note_origin(reference, &target)?;
        self.tell("push", &familiar, &familiar, &image.config.config.labels);
        Ok(Pushed { tag: reference.manifest_reference(), digest, size: target.size })
    }

    /// Adds `target` and all that it needs; false when something is not here.
    fn gather(&self, target: &Descriptor, depth: usize, plan: &mut Plan) -> Result<bool, Error> {
        if depth > INDEX_DEPTH_MAX || !self.store.contains(&target.digest)? {
            return Ok(false);
        }
        let needed: Vec<Descriptor> = match self.document(&target.digest)? {
            Document::Index { index, .. } => {
                for entry in children(&index) {
                    if !self.gather(entry, depth + 1, plan)? {
                        return Ok(false);
                    }
                }
                Vec::new()
            }
            Document::Manifest { manifest, .. } => {
                let mut needed = manifest.layers;
                needed.push(manifest.config);
                needed
            }
        };
        for blob in needed {
            if !self.store.contains(&blob.digest)? {
                return Ok(false);
            }
            if !plan.blobs.iter().any(|other| other.digest == blob.digest) {
                plan.blobs.push(blob);
            }
        }
        if !plan.documents.iter().any(|other| other.digest == target.digest) {
            plan.documents.push(target.clone());
        }
        Ok(true)
    }

    /// Repositories of the same registry whose blobs are here: each blob may be mounted
    /// from one instead of sent.
    fn origins(&self, reference: &Reference) -> Result<Vec<(String, Vec<Digest>)>, Error> {
        let mut origins = Vec::new();
        for (_, record) in self.named()? {
            let origin = record.labels.get(REPO_DIGEST_LABEL).and_then(|text| Reference::parse(text).ok());
            let Some(origin) = origin else { continue };
            if origin.domain() != reference.domain() || origin.path() == reference.path() {
                continue;
            }
            let mut blobs = Vec::new();
            for (_, manifest) in self.manifests_of(&record.target, 0)? {
                blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
            }
            origins.push((origin.path().to_owned(), blobs));
        }
        Ok(origins)
    }

    /// The image is known to that repository by a digest now.
    fn note_origin(&self, reference: &Reference, target: &Descriptor) -> Result<(), Error> {
        let Some(record) = self.find_record(&reference.to_string())? else { return Ok(()) };
        if record.target.digest != target.digest {
            return Ok(());
        }
        let mut labels: Labels = record.labels;
        labels.insert(REPO_DIGEST_LABEL.to_owned(), reference.at(target.digest.clone()).to_string());
        let _naming = self.naming()?;
        self.store.set_name(&record.name, &record.target, &labels)?;
        Ok(())
    }
}

struct Push<'a> {
    images: &'a Images,
    client: Client,
    reference: &'a Reference,
    events: UnboundedSender<Event>,
    origins: Vec<(String, Vec<Digest>)>,
}

impl Push<'_> {
    async fn run(&self, plan: &Plan, target: &Descriptor) -> Result<Digest, Error> {
        let _ = self.events.send(Event::Started {
            tag: self.reference.manifest_reference(),
            repository: self.reference.familiar_repository(),
            registry: self.reference.domain().to_owned(),
        });
        for blob in plan.blobs.iter().filter(|blob| is_layer(blob)) {
            self.tell(blob, LayerState::Preparing);
        }
        let mut transfers = futures_util::stream::iter(plan.blobs.iter().map(|blob| self.blob(blob)))
            .buffer_unordered(TRANSFERS_MAX);
        while let Some(outcome) = transfers.next().await {
            outcome?;
        }
        for document in plan.documents.iter().filter(|document| document.digest != target.digest) {
            self.document(&self.reference.at(document.digest.clone()), document).await?;
        }
        self.document(self.reference, target).await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<(), Error> {
        let source = Arc::new(Stored(self.images.store.blob_path(&blob.digest)));
        let from = self
            .origins
            .iter()
            .find(|(_, blobs)| blobs.contains(&blob.digest))
            .map(|(path, _)| path.as_str());
        let (events, layer, total) = (self.events.clone(), blob.digest.clone(), blob.size);
        let shown = is_layer(blob);
        let progress = Arc::new(move |done: u64| {
            if shown {
                let state = LayerState::Pushing { done, total };
                let _ = events.send(Event::Layer { layer: layer.clone(), state });
            }
        });
        let outcome = self.client.push_blob(self.reference, blob, source, from, progress).await;
        let outcome = outcome.map_err(Error::registry("push", self.reference))?;
        if shown {
            let from = from.unwrap_or_default().to_owned();
            self.tell(
                blob,
                match outcome {
                    PushOutcome::Exists => LayerState::AlreadyPushed,
                    PushOutcome::Mounted => LayerState::Mounted { from },
                    PushOutcome::Uploaded => LayerState::Pushed,
                },
            );
        }
        Ok(())
    }

    async fn document(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Digest, Error> {
        let document = self.images.document(&descriptor.digest)?;
        let media_type = document.media_type();
        let raw = Bytes::copy_from_slice(document.raw());
        let pushed = self.client.push_manifest(reference, media_type.as_str(), raw).await;
        pushed.map_err(Error::registry("push", self.reference))
    }

    fn tell(&self, layer: &Descriptor, state: LayerState) {
        let _ = self.events.send(Event::Layer { layer: layer.digest.clone(), state });
    }
}

fn is_layer(blob: &Descriptor) -> bool {
    blob.media_type.layer_compression().is_some()
}

/// A blob of the store.
struct Stored(PathBuf);

impl BlobSource for Stored {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.0)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}
