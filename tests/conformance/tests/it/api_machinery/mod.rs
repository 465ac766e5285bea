//! `[sig-api-machinery]`.

mod definitions;
mod field_validation;
mod lists;
mod namespaces;
mod operations;
mod publish_openapi;
mod quota;
mod version;
mod watch;
