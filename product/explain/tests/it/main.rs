//! Explanations of real processes, compared with what other tools say.

#![allow(clippy::unwrap_used, clippy::panic)]

mod processes;
