//! One pure reconcile per kind.
