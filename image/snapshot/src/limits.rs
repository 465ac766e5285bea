//! What one layer may cost.

/// Limits of one layer. A layer beyond one is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed archive.
    pub archive_bytes: u64,
    /// Bytes of file content; holes of sparse files do not count.
    pub file_bytes: u64,
    /// Length of one file with its holes.
    pub file_length: u64,
    /// Entries.
    pub entries: u64,
    /// Uncompressed bytes for one compressed byte, looked at once [`Limits::ratio_from`]
    /// bytes were uncompressed.
    pub ratio: u64,
    /// From how many uncompressed bytes on the ratio counts: a small layer of zeros is
    /// no bomb.
    pub ratio_from: u64,
    /// Takes absolute names as if they were relative, rather than refuse the layer: some
    /// builders (Cloud Native Buildpacks) write them.
    pub absolute_names: bool,
}

impl Default for Limits {
    /// Far above the largest real layers (machine-learning images: 20 GiB, a million
    /// entries, ratio 30), far below what fills a disk unseen.
    fn default() -> Self {
        Self {
            archive_bytes: 128 << 30,
            file_bytes: 128 << 30,
            file_length: 1 << 40,
            entries: 4_000_000,
            ratio: 400,
            ratio_from: 1 << 30,
            absolute_names: false,
        }
    }
}
