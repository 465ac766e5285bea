//! The documentation of every field of the built-in kinds, out of `k8s-openapi`: for OpenAPI and `kubectl explain`.
