//! What holds for every schema and every value.

mod hostile;
mod properties;
mod real;
