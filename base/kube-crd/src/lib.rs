//! Custom resource definitions: structural schemas, pruning, defaulting, validation, conversion, publication.
