//! nf_tables.
