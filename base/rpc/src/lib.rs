//! Committed protobuf code of the services that we speak: etcd v3.
