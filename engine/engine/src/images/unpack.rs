//! Layers → snapshots: several at once, each with one thread that inflates and
//! hashes and one that writes files; committed bottom up.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use base::{Digest, failpoint};
use snapshot::{DiffStream, Limits, Staged};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::progress::{Event, LayerState, Progress};
use super::{Error, Image, Images, Layer};

/// Plain bytes that may wait between the two threads of a layer.
const BLOCK_BYTES: usize = 256 << 10;
const BLOCKS_MAX: usize = 8;
/// A step of the progress of unpacking.
const STEP_BYTES: u64 = 512 << 10;

/// A layer that is being unpacked by threads of its own. Dropped, it waits for them.
pub(super) struct Staging {
    outcome: Option<oneshot::Receiver<Result<Staged, snapshot::Error>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A staging directory is removed before the error is reported.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Staging {
    /// Waits for the end without blocking the runtime.
    pub(super) async fn finish(mut self, image: &str) -> Result<Staged, Error> {
        let outcome = match self.outcome.take() {
            Some(outcome) => outcome.await.ok(),
            None => None,
        };
        Self::settled(outcome, image)
    }

    /// Waits for the end.
    fn wait(mut self, image: &str) -> Result<Staged, Error> {
        let outcome = self.outcome.take().and_then(|outcome| outcome.blocking_recv().ok());
        Self::settled(outcome, image)
    }

    fn settled(outcome: Option<Result<Staged, snapshot::Error>>, image: &str) -> Result<Staged, Error> {
        let died = || Error::System {
            operation: "unpack a layer: its thread ended early",
            source: io::ErrorKind::Other.into(),
        };
        outcome.ok_or_else(died)?.map_err(Error::snapshot(image))
    }
}

impl Images {
    /// Starts to unpack what `blob` reads; it is a layer's blob, compressed or not.
    pub(super) fn stage<R: Read + Send + 'static>(
        &self,
        layer: &Layer,
        blob: R,
        events: &UnboundedSender<Event>,
    ) -> Result<Staging, Error> {
        let (sender, outcome) = oneshot::channel();
        let (snapshots, layer, events) = (self.snapshots.clone(), layer.clone(), events.clone());
        let work = move || {
            let counted = Counted {
                blob,
                done: 0,
                told: 0,
                total: layer.descriptor.size,
                layer: layer.descriptor.digest.clone(),
                events,
            };
            let limits = Limits::default();
            let staged = Blocks::start(counted, &layer, limits)
                .map_err(|source| snapshot::Error::Io {
                    action: "start a thread to inflate",
                    path: layer.descriptor.digest.to_string().into(),
                    source,
                })
                .and_then(|stream| snapshots.stage(&layer.spec(), stream, &limits));
            failpoint::hit("pull.layer-staged");
            let _ = sender.send(staged);
        };
        let thread = spawn("unpack", work)?;
        Ok(Staging { outcome: Some(outcome), thread: Some(thread) })
    }

    /// Starts to unpack a layer whose blob is in the store.
    pub(super) fn stage_stored(
        &self,
        layer: &Layer,
        events: &UnboundedSender<Event>,
    ) -> Result<Staging, Error> {
        let blob = self.store.open_blob(&layer.descriptor.digest)?;
        self.stage(layer, blob.file, events)
    }

    /// Puts the layers of an image in their places, bottom up. Those without a staged
    /// tree are shared with another image or unpacked from the store.
    pub(super) fn commit_layers(
        &self,
        image: &Image,
        mut staged: HashMap<Digest, Staged>,
        events: &UnboundedSender<Event>,
    ) -> Result<(), Error> {
        let called = &image.called;
        for layer in image.layers() {
            if self.snapshots.contains(&layer.chain_id).map_err(Error::snapshot(called))? {
                continue;
            }
            let parent = layer.parent.as_ref();
            let shared = self.snapshots.share(&layer.spec(), parent).map_err(Error::snapshot(called))?;
            if shared.is_none() {
                let tree = match staged.remove(&layer.chain_id) {
                    Some(tree) => tree,
                    None => self.stage_stored(&layer, events)?.wait(called)?,
                };
                self.snapshots.commit(tree, parent).map_err(Error::snapshot(called))?;
            }
            let _ = events
                .send(Event::Layer { layer: layer.descriptor.digest.clone(), state: LayerState::Complete });
        }
        failpoint::hit("pull.layers-committed");
        Ok(())
    }

    /// The layers that must be unpacked for `image`.
    pub(super) fn missing_layers(&self, image: &Image) -> Result<Vec<Layer>, Error> {
        let mut missing = Vec::new();
        for layer in image.layers() {
            if !self.snapshots.contains(&layer.chain_id).map_err(Error::snapshot(&image.called))? {
                missing.push(layer);
            }
        }
        Ok(missing)
    }

    /// Makes sure that all layers of an image of the store are unpacked.
    ///
    /// They are already, unless a crash of the machine or another program took some:
    /// then this costs one look at each.
    pub fn unpack(&self, image: &Image, progress: &mut dyn Progress) -> Result<(), Error> {
        let missing = self.missing_layers(image)?;
        if missing.is_empty() {
            return Ok(());
        }
        let leases = self.leases("unpack")?;
        leases.content.add(&image.target.digest)?;
        for layer in image.layers() {
            leases.chains.add(&layer.chain_id)?;
        }
        self.unpack_leased(image, &missing, progress)
    }

    pub(super) fn unpack_leased(
        &self,
        image: &Image,
        missing: &[Layer],
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let at_once = thread::available_parallelism().map_or(2, usize::from);
        let mut running: VecDeque<(Digest, Staging)> = VecDeque::new();
        let mut staged = HashMap::new();
        let mut seen: Vec<&Digest> = Vec::new();
        for layer in missing {
            // A layer that comes twice is unpacked once and shared.
            if seen.contains(&&layer.diff_id) {
                continue;
            }
            seen.push(&layer.diff_id);
            if running.len() >= at_once
                && let Some((chain_id, staging)) = running.pop_front()
            {
                staged.insert(chain_id, staging.wait(&image.called)?);
            }
            running.push_back((layer.chain_id.clone(), self.stage_stored(layer, &events)?));
            while let Ok(event) = heard.try_recv() {
                progress.event(&event);
            }
        }
        for (chain_id, staging) in running {
            staged.insert(chain_id, staging.wait(&image.called)?);
        }
        self.commit_layers(image, staged, &events)?;
        while let Ok(event) = heard.try_recv() {
            progress.event(&event);
        }
        Ok(())
    }
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let failed = |source| Error::System { operation: "start a thread to unpack a layer", source };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
}

/// A blob that tells how much of it has been read.
struct Counted<R> {
    blob: R,
    done: u64,
    told: u64,
    total: u64,
    layer: Digest,
    events: UnboundedSender<Event>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        self.done += count as u64;
        if self.done >= self.told + STEP_BYTES || (count == 0 && self.told < self.done) {
            self.told = self.done;
            let state = LayerState::Extracting { done: self.done.min(self.total), total: self.total };
            // Nobody may be listening any more.
            let _ = self.events.send(Event::Layer { layer: self.layer.clone(), state });
        }
        Ok(count)
    }
}

/// The plain archive of a layer, inflated and hashed by another thread.
struct Blocks {
    full: Receiver<io::Result<Block>>,
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    read: usize,
    digest: Option<Digest>,
    thread: Option<JoinHandle<()>>,
}

enum Block {
    Bytes(Vec<u8>),
    End(Digest),
}

impl Blocks {
    fn start<R: Read + Send + 'static>(blob: R, layer: &Layer, limits: Limits) -> io::Result<Self> {
        let (full_sender, full) = sync_channel(BLOCKS_MAX);
        let (empty, empty_receiver) = sync_channel(BLOCKS_MAX + 2);
        let compression = layer.compression;
        let work = move || {
            if let Err(error) = inflate(blob, compression, &limits, &full_sender, &empty_receiver) {
                let _ = full_sender.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("inflate".to_owned()).spawn(work)?;
        Ok(Self { full, empty, current: Vec::new(), read: 0, digest: None, thread: Some(thread) })
    }
}

fn inflate<R: Read>(
    blob: R,
    compression: Option<oci_spec::image::Compression>,
    limits: &Limits,
    full: &SyncSender<io::Result<Block>>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut layer = snapshot::open_layer(blob, compression, limits)?;
    loop {
        // Used blocks come back: fresh ones would cost a page fault for every 4 KiB.
        let mut block = empty.try_recv().unwrap_or_default();
        block.resize(BLOCK_BYTES, 0);
        let mut filled = 0;
        while filled < block.len() {
            match layer.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            let digest = layer.finish()?;
            let _ = full.send(Ok(Block::End(digest)));
            return Ok(());
        }
        block.truncate(filled);
        if full.send(Ok(Block::Bytes(block))).is_err() {
            // The other thread gave up and says why.
            return Ok(());
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.current.len() {
            if self.digest.is_some() {
                return Ok(0);
            }
            let block = self.full.recv().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))??;
            match block {
                Block::Bytes(block) => {
                    let used = std::mem::replace(&mut self.current, block);
                    self.read = 0;
                    let _ = self.empty.try_send(used);
                }
                Block::End(digest) => self.digest = Some(digest),
            }
        }
        let count = buffer.len().min(self.current.len() - self.read);
        buffer[..count].copy_from_slice(&self.current[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

impl DiffStream for Blocks {
    fn finish(mut self) -> io::Result<Digest> {
        self.digest.take().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // The inflating thread ends when it cannot send.
        let (_, closed) = sync_channel(0);
        drop(std::mem::replace(&mut self.full, closed));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
