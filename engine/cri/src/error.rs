//! From the engine's errors to gRPC's: one table, from the class and never from the text.

use base::{Classified, ErrorClass};
use rpc::cri::{Code, Status};

/// The error with all that caused it, under the code of its class.
#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(crate) fn status<E: Classified + std::error::Error>(error: E) -> Status {
    Status::new(code(error.class()), engine::error_chain(&error))
}

fn code(class: ErrorClass) -> Code {
    match class {
        ErrorClass::Invalid => Code::InvalidArgument,
        ErrorClass::NotFound => Code::NotFound,
        ErrorClass::AlreadyExists => Code::AlreadyExists,
        ErrorClass::Conflict => Code::FailedPrecondition,
        ErrorClass::PermissionDenied => Code::PermissionDenied,
        ErrorClass::Unauthenticated => Code::Unauthenticated,
        ErrorClass::ResourceExhausted => Code::ResourceExhausted,
        ErrorClass::Unavailable => Code::Unavailable,
        ErrorClass::TimedOut => Code::DeadlineExceeded,
        ErrorClass::Unsupported => Code::Unimplemented,
        ErrorClass::Corrupt => Code::DataLoss,
        ErrorClass::Internal => Code::Unknown,
    }
}
