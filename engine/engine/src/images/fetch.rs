//! Layers of one image from a registry: a few at once, each written to the store and
//! unpacked while it comes.

use std::collections::HashMap;
use std::io::{self, Read};

use base::{Digest, failpoint};
use bytes::Bytes;
use content::{Expected, Ingest, Writer};
use futures_util::StreamExt as _;
use oci_spec::Reference;
use registry::Client;
use snapshot::Staged;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};

use super::progress::{Event, LayerState};
use super::unpack::Staging;
use super::{Error, Image, Images, Layer};

/// Layers that are fetched at once; docker's default too.
const TRANSFERS_MAX: usize = 3;
/// Pieces (some 10 to 400 KiB) that wait for the unpacking threads of a layer.
const PIECES_MAX: usize = 32;
/// A step of the progress of fetching.
const STEP_BYTES: u64 = 256 << 10;

/// What a fetch shares between its layers.
pub(super) struct Fetch<'a> {
    pub(super) images: &'a Images,
    pub(super) client: &'a Client,
    pub(super) reference: &'a Reference,
    pub(super) image: &'a Image,
    pub(super) events: &'a UnboundedSender<Event>,
}

/// What a layer needs.
struct Job {
    layer: Layer,
    unpack: bool,
}

/// Compressed bytes on their way to the unpacking threads.
enum Piece {
    Bytes(Bytes),
    /// All came and had the right digest.
    End,
}

impl Fetch<'_> {
    /// Fetches what is missing of the image's layers, and unpacks it beside.
    pub(super) async fn layers(&self) -> Result<HashMap<Digest, Staged>, Error> {
        let jobs = self.plan()?;
        let mut transfers = futures_util::stream::iter(jobs.into_iter().map(|job| self.layer(job)))
            .buffer_unordered(TRANSFERS_MAX);
        let mut staged = HashMap::new();
        while let Some(outcome) = transfers.next().await {
            if let Some((chain_id, tree)) = outcome? {
                staged.insert(chain_id, tree);
            }
        }
        Ok(staged)
    }

    /// What is to be done, bottom first; tells the fate of the rest.
    fn plan(&self) -> Result<Vec<Job>, Error> {
        let called = &self.image.called;
        let known = self.images.snapshots.chains().map_err(Error::snapshot(called))?;
        let mut jobs: Vec<Job> = Vec::new();
        for layer in self.image.layers() {
            let unpacked =
                self.images.snapshots.contains(&layer.chain_id).map_err(Error::snapshot(called))?;
            let stored = self.images.store.contains(&layer.descriptor.digest)?;
            if unpacked && stored {
                self.tell(&layer, LayerState::Exists);
                continue;
            }
            if jobs.iter().any(|job| job.layer.descriptor.digest == layer.descriptor.digest) {
                continue;
            }
            // One that is unpacked in another chain is shared when its turn comes.
            let shared = known.iter().any(|other| other.diff_id == layer.diff_id);
            self.tell(&layer, LayerState::Waiting);
            jobs.push(Job { unpack: !unpacked && !shared, layer });
        }
        Ok(jobs)
    }

    fn tell(&self, layer: &Layer, state: LayerState) {
        // The receiver lives as long as the fetch.
        let _ = self.events.send(Event::Layer { layer: layer.descriptor.digest.clone(), state });
    }

    async fn layer(&self, job: Job) -> Result<Option<(Digest, Staged)>, Error> {
        let layer = &job.layer;
        let wrap = || Error::blob(format!("layer {}", layer.descriptor.digest.short()), &self.image.called);
        let expected =
            Expected { digest: layer.descriptor.digest.clone(), size: Some(layer.descriptor.size) };
        let staging = match self.images.store.ingest(&expected).map_err(wrap())? {
            Ingest::Present if job.unpack => Some(self.images.stage_stored(layer, self.events)?),
            Ingest::Present => None,
            Ingest::Needed(writer) if writer.offset() == 0 && job.unpack => {
                let (sender, pieces) = channel(PIECES_MAX);
                let staging = self.images.stage(layer, Pieces::new(pieces), self.events)?;
                let sent = self.transfer(layer, writer, Some(sender)).await;
                // What the unpacking says explains a transfer that it broke off.
                match sent {
                    Ok(()) => Some(staging),
                    Err(TransferError::NoReader) => Some(staging),
                    Err(TransferError::Failed(error)) => return Err(error),
                }
            }
            // The first part is from an earlier attempt and not in our hands.
            Ingest::Needed(writer) => {
                match self.transfer(layer, writer, None).await {
                    Ok(()) | Err(TransferError::NoReader) => {}
                    Err(TransferError::Failed(error)) => return Err(error),
                }
                if job.unpack { Some(self.images.stage_stored(layer, self.events)?) } else { None }
            }
        };
        self.staged(layer, staging).await
    }

    async fn staged(
        &self,
        layer: &Layer,
        staging: Option<Staging>,
    ) -> Result<Option<(Digest, Staged)>, Error> {
        match staging {
            Some(staging) => {
                let tree = staging.finish(&self.image.called).await?;
                Ok(Some((layer.chain_id.clone(), tree)))
            }
            None => Ok(None),
        }
    }

    /// Bytes of a layer from the registry into the store and to `reader`.
    async fn transfer(
        &self,
        layer: &Layer,
        mut writer: Writer,
        reader: Option<Sender<Piece>>,
    ) -> Result<(), TransferError> {
        let total = layer.descriptor.size;
        let mut told = writer.offset();
        let wrap = || Error::blob(format!("layer {}", layer.descriptor.digest.short()), &self.image.called);
        let pull = || Error::registry("pull", self.reference);
        let mut stream =
            self.client.blob_from(self.reference, &layer.descriptor, writer.offset()).map_err(pull())?;
        self.tell(layer, LayerState::Downloading { done: told, total });
        while let Some(bytes) = stream.next().await.map_err(pull())? {
            writer.append(&bytes).map_err(wrap())?;
            if let Some(reader) = &reader
                && reader.send(Piece::Bytes(bytes)).await.is_err()
            {
                return Err(TransferError::NoReader);
            }
            if writer.offset() >= told + STEP_BYTES {
                told = writer.offset();
                self.tell(layer, LayerState::Downloading { done: told, total });
                failpoint::hit("pull.layer-half");
            }
        }
        self.tell(layer, LayerState::Verifying);
        writer.commit().map_err(wrap())?;
        failpoint::hit("pull.blob-committed");
        self.tell(layer, LayerState::Downloaded);
        if let Some(reader) = reader {
            let _ = reader.send(Piece::End).await;
        }
        Ok(())
    }
}

enum TransferError {
    /// The unpacking threads have given up; they know why.
    NoReader,
    Failed(Error),
}

impl From<Error> for TransferError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads pieces in a thread that may block.
struct Pieces {
    pieces: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Pieces {
    fn new(pieces: Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new(), ended: false }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                // The transfer failed: what came so far must not pass for a whole layer.
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the transfer broke off")),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
