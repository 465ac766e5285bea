//! Objects of the Kubernetes API, and pure functions over them.
