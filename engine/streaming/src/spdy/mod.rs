//! SPDY/3.1 as container streams use it: [`frame`] and its header blocks are bytes in and out,
//! `state` is a session without sockets, [`session`] joins it to a connection.

mod dictionary;
pub mod frame;
mod headers;
pub mod session;
mod state;
mod stream;

pub use headers::Headers;
pub use session::{Accept, Session, Side};
pub use stream::Stream;

/// The peer does not speak SPDY/3.1, or the session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// A frame that nobody may send.
    #[error("SPDY frame: {0}")]
    Frame(&'static str),
    /// A header block that cannot be read.
    #[error("SPDY header block: {0}")]
    Headers(&'static str),
    /// Frames that may not come in this order.
    #[error("SPDY session: {0}")]
    Session(&'static str),
    /// The other end is gone.
    #[error("the SPDY session has ended")]
    Ended,
}
