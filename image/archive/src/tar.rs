//! The tar format: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU and star extensions.
//!
//! ```no_run
//! use archive::tar::{Header, Reader, Writer};
//! # fn main() -> Result<(), archive::tar::TarError> {
//! let mut writer = Writer::new(Vec::new());
//! writer.append_bytes(&Header::file("hello", 5), b"world")?;
//! let bytes = writer.finish()?;
//!
//! let mut reader = Reader::new(&bytes[..]);
//! while let Some(mut entry) = reader.next_entry()? {
//!     let mut content = Vec::new();
//!     println!("{}", entry.header().path_lossy());
//!     std::io::Read::read_to_end(&mut entry, &mut content).ok();
//! }
//! # Ok(()) }
//! ```

mod block;
mod error;
mod header;
mod pax;
mod reader;
mod source;
mod sparse;
mod writer;

pub use error::TarError;
pub use header::{Extent, Header, Kind, Timestamp, Xattr};
pub use reader::{Chunk, Entry, Limits, Reader};
pub use writer::Writer;
