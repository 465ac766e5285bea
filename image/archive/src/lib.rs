//! Archives: a tar codec over `Read` and `Write`, and the compressions of image layers.
//!
//! Nothing here touches a file system: what an entry means for a root file system is
//! the `snapshot` crate's decision. All input is taken as hostile: lengths, numbers and
//! counts are checked against [`tar::Limits`] before memory is taken for them, and no
//! input panics.

pub mod compression;
pub mod tar;
