//! Revisioned keys: see `docs/design/store.md`.
