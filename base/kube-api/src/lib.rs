//! Kinds of Kubernetes as data cannot say them: defaults that depend, validation, strategies, columns.
