//! What may go wrong between a client and a shim.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

use crate::Exit;
use crate::protocol::{Failure, FrameError, Reply};

/// A request to a shim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No shim answers.
    #[error("connect to the container's shim at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection ended: the shim has finished its work, or was killed.
    #[error("the connection to the container's shim was lost")]
    Lost(#[source] io::Error),
    /// The container ended before the request arrived.
    #[error("the container has ended")]
    Ended(Box<Exit>),
    /// A message was not a frame.
    #[error("exchange a frame with the container's shim")]
    Frame(#[source] FrameError),
    /// A message was not an answer.
    #[error("read the answer of the container's shim")]
    Decode(#[source] serde_json::Error),
    /// The answer does not fit the request.
    #[error("the container's shim answered a {answer} that was not asked for")]
    Unexpected {
        /// What came.
        answer: &'static str,
    },
    /// Pipes could not be made.
    #[error("make pipes for the container's stdio")]
    Pipes(#[source] io::Error),
    /// The shim refused, or the operation failed.
    #[error(transparent)]
    Refused(Failure),
}

impl ClientError {
    /// Whether no shim is there (any more).
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Connect { source, .. } => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
            }
            Self::Lost(_) | Self::Ended(_) => true,
            _ => false,
        }
    }

    /// docker's exit status, where the failure decided one: 125, 126 or 127.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Refused(failure) => failure.exit_code,
            _ => None,
        }
    }

    pub(super) fn unexpected(reply: &Reply) -> Self {
        let answer = match reply {
            Reply::Serving { .. } => "serving",
            Reply::Done => "done",
            Reply::Ready(_) => "ready",
            Reply::Exited(_) => "exited",
            Reply::Spawned(_) => "spawned",
            Reply::ExecEnded(_) => "exec_ended",
            Reply::Status(_) => "status",
        };
        Self::Unexpected { answer }
    }
}

impl Classified for ClientError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorClass::PermissionDenied
            }
            Self::Connect { .. } | Self::Lost(_) => ErrorClass::Unavailable,
            Self::Ended(_) => ErrorClass::Conflict,
            Self::Frame(FrameError::TooLong { .. }) => ErrorClass::Invalid,
            Self::Frame(_) | Self::Decode(_) | Self::Unexpected { .. } => ErrorClass::Internal,
            Self::Pipes(source) => ErrorClass::of_io(source),
            Self::Refused(failure) => failure.error_class(),
        }
    }
}
