//! A node of a cluster, put together: what it joins with and what runs on it.

pub mod identity;
pub mod join;
