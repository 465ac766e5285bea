//! The one runtime of all loops: watch, queue, retry, elect, act.
