//! Tests named after the conformance specs, see `tests/it`, and the program that runs in their pods, see `src/bin`.
