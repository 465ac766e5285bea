//! `[sig-api-machinery]`.

mod collector;
mod definitions;
mod field_validation;
mod lists;
mod namespaces;
mod operations;
mod policies;
mod publish_openapi;
mod quota;
mod selectors;
mod version;
mod watch;
