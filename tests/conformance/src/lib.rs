//! Tests named after the conformance specs that need no node; see `tests/it`.
