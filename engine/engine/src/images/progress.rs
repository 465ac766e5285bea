//! What a person may watch while images move.

use base::Digest;

/// Something happened on the way of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transfer begins: what, and with which repository.
    Started {
        /// The tag or digest asked for.
        tag: String,
        /// The repository as people write it within its registry.
        repository: String,
        /// The registry.
        registry: String,
    },
    /// Something happened to a layer.
    Layer {
        /// The layer's blob.
        layer: Digest,
        /// What.
        state: LayerState,
    },
}

/// Where a layer is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// It will be fetched when a place is free.
    Waiting,
    /// It is here, unpacked.
    Exists,
    /// Bytes come.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes came and are compared with their digest.
    Verifying,
    /// The blob is in the store.
    Downloaded,
    /// It is being unpacked.
    Extracting {
        /// Compressed bytes that were unpacked.
        done: u64,
        /// Compressed bytes in all.
        total: u64,
    },
    /// It is unpacked and in its place.
    Complete,
    /// It will be sent when a place is free.
    Preparing,
    /// Bytes go.
    Pushing {
        /// Bytes that were sent.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It has been sent.
    Pushed,
    /// The registry had it.
    AlreadyPushed,
    /// The registry took it from another repository.
    Mounted {
        /// Which one.
        from: String,
    },
}

/// Is told what happens. Called in the caller's thread, some hundred times a second at most.
pub trait Progress {
    /// Takes note of `event`.
    fn event(&mut self, event: &Event);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _event: &Event) {}
}
