//! Committed protobuf code of the services that we speak: etcd v3.
//!
//! Written by `cargo xtask rpc` from `proto/`; not to be edited.

/// etcd's v3 API: the messages and the clients of KV, Watch, Lease and Maintenance.
#[path = "generated/etcdserverpb.rs"]
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
#[rustfmt::skip]
pub mod etcd;
