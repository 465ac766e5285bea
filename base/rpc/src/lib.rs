//! Committed protobuf code of the services that we speak, etcd v3 and the Container Runtime
//! Interface v1, and the traits of the latter.
//!
//! What is generated is written by `cargo xtask rpc` from `proto/`; it is not to be edited.

pub mod cri;

/// etcd's v3 API: the messages and the clients of KV, Watch, Lease and Maintenance.
#[path = "generated/etcdserverpb.rs"]
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
#[rustfmt::skip]
pub mod etcd;

pub use tonic::codegen::tokio_stream::Stream;
