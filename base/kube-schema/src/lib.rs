//! The Kubernetes API as data.
