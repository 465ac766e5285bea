//! What a caller may do about an error.
//!
//! Exit statuses, Docker statuses, CRI codes and Kubernetes reasons are each
//! derived from the class in one table per front, never from an error's text.

/// What the caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request itself is wrong: fix it and ask again.
    Invalid,
    /// The named object does not exist.
    NotFound,
    /// The name or resource is taken by another object.
    AlreadyExists,
    /// The object is in a state that does not allow the operation.
    Conflict,
    /// The caller may not do this.
    PermissionDenied,
    /// Who the caller is could not be established.
    Unauthenticated,
    /// A limit or a disk is used up.
    ResourceExhausted,
    /// A peer is unreachable or overloaded: the same request may work later.
    Unavailable,
    /// The deadline passed.
    TimedOut,
    /// This host or build cannot do it.
    Unsupported,
    /// Stored data does not match its digest or its format.
    Corrupt,
    /// Anything else that went wrong on our side.
    Internal,
}

impl ErrorClass {
    /// The class of a bare I/O error, from its kind.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        match error.kind() {
            NotFound => Self::NotFound,
            PermissionDenied => Self::PermissionDenied,
            AlreadyExists => Self::AlreadyExists,
            StorageFull | QuotaExceeded | FileTooLarge | OutOfMemory => Self::ResourceExhausted,
            ConnectionRefused | ConnectionReset | ConnectionAborted | HostUnreachable
            | NetworkUnreachable | NetworkDown | BrokenPipe => Self::Unavailable,
            TimedOut => Self::TimedOut,
            Unsupported => Self::Unsupported,
            InvalidInput | InvalidData => Self::Invalid,
            _ => Self::Internal,
        }
    }
}

/// An error that knows its class.
pub trait Classified {
    /// What the caller may do about it.
    fn class(&self) -> ErrorClass;
}

impl Classified for std::io::Error {
    fn class(&self) -> ErrorClass {
        ErrorClass::of_io(self)
    }
}
