//! End-to-end tests: the built binaries, real images, real clients. See `tests/it`.
