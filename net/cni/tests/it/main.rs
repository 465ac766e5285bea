//! The runtime's side against Debian's own plugins, in network namespaces of the test's own.

mod debian;
