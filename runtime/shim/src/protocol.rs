//! What travels over the shim's socket: frames of JSON, requests and replies.
//!
//! A frame is a length (`u32`, little endian) and that many bytes of JSON. Each message
//! names the protocol's version; unknown fields are ignored and an unknown call is
//! answered with `unsupported`, so that an old shim outlives a newer engine.

mod frame;
mod message;

pub use frame::{Frame, FrameDecoder, FrameError, encode};
pub use message::{
    AdoptSetup, Attach, Call, Exec, ExecEnd, Failure, LogConfig, LogDriver, PROTOCOL_VERSION, Phase, Reply,
    Request, Response, Setup, Spawned, Started, Status, StdinMode, StreamSet,
};

/// The largest frame. Only an exec request comes near it: its arguments and environment
/// may not pass what `execve(2)` takes for one process anyway.
pub const FRAME_MAX: usize = 1 << 20;

/// Descriptors in one message at most: stdin, stdout, stderr, and one to spare.
pub const FDS_MAX: usize = 4;
