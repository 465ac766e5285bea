//! The tar codec against itself, against GNU tar, and against damaged archives.

mod gnu_tar;
mod hostile;
mod round_trip;
