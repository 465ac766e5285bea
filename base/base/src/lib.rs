//! What the standard library lacks and every floor needs: ids, digests, sizes, durations,
//! the class of an error, the clock as a trait, and named failpoints.
//!
//! Data only: nothing here opens a file, reads the clock or the environment.

pub mod byte_size;
pub mod class;
pub mod clock;
pub mod container_id;
pub mod digest;
pub mod duration;
pub mod failpoint;
pub mod quantity;

pub use byte_size::{ByteSize, InvalidByteSize};
pub use class::{Classified, ErrorClass};
pub use clock::{Clock, SystemClock};
pub use container_id::{ContainerId, InvalidContainerId};
pub use digest::{Digest, DigestHasher, InvalidDigest};
pub use duration::{GoDuration, InvalidDuration, parse_duration};
pub use quantity::{InvalidQuantity, Quantity, QuantityFormat};
