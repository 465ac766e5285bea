//! The Kubernetes API: HTTP, the registry of kinds, the watch cache, custom resources.
