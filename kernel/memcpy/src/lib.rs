//! `memcpy`, `memmove`, `memcmp` and `bcmp` for static x86-64 binaries.
//!
//! musl copies with `rep movsq` and compares byte by byte, which is a fifth of what an API server
//! does: its JSON is made of pieces of a few bytes. Here pieces up to 128 bytes are read whole
//! before anything is written, in two reads that may overlap each other; so they need no loop, and
//! source and destination may overlap as well.
//!
//! Whoever links this crate into a musl binary (`use memcpy as _;`) has these functions in place of
//! libc's. Elsewhere, and on other processors, whose functions in musl are good, it is empty.
#![no_std]
// Or the compiler would see that a loop copies, and call `memcpy` for it.
#![no_builtins]
#![cfg_attr(
    all(target_arch = "x86_64", any(test, target_env = "musl")),
    allow(unsafe_code, reason = "the C library's own contract")
)]

#[cfg(test)]
extern crate std;

#[cfg(all(target_arch = "x86_64", any(test, target_env = "musl")))]
mod x86_64;
