//! What the allocator keeps of memory that is free.
#![allow(unsafe_code)]

/// Gives memory that is free back to the kernel. The allocator does so by itself while it works, a
/// second later; nothing wakes it when the process has come to rest before that.
pub fn give_back() {
    // SAFETY: it takes no pointers, may be called by any thread at any time, and touches only what
    // is not in use. Where another allocator is in use it finds nothing.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
