//! The allocator of a program that lives for the start of one container.
//!
//! musl's gives each few blocks pages of their own: some 120 calls of mmap and munmap for one
//! `run`. This one cuts blocks from chunks and keeps those that are freed in lists by their size,
//! a power of two, so that what is asked for again is taken from there: what it holds at most is
//! what a program had at once, in each size. Large blocks are the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The allocator, for `#[global_allocator]`.
#[derive(Debug)]
pub struct Arena {
    busy: AtomicBool,
    ending: AtomicBool,
    blocks: UnsafeCell<Blocks>,
}

#[derive(Debug)]
struct Blocks {
    /// Where the present chunk goes on.
    next: *mut u8,
    /// How much of it is left.
    left: usize,
    /// The first free block of each size; it holds the address of the following one.
    free: [*mut u8; SIZES],
}

// SAFETY: `blocks` is touched by `with` alone, under `busy`.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty one.
    pub const fn new() -> Self {
        let blocks = Blocks { next: ptr::null_mut(), left: 0, free: [ptr::null_mut(); SIZES] };
        Self { busy: AtomicBool::new(false), ending: AtomicBool::new(false), blocks: UnsafeCell::new(blocks) }
    }

    /// Takes nothing back from here on: for a program that is about to end. A block that is given
    /// back is written to, and where its page is shared with a child's that is copied for it.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// One thread at a time. Programs with one thread never wait here, nor does a fork of one.
    fn with<T>(&self, work: impl FnOnce(&mut Blocks) -> T) -> T {
        while self.busy.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: whoever set `busy` is alone until it clears it, and `work` calls nothing that
        // would come here again: the system's allocator is not this one.
        let result = work(unsafe { &mut *self.blocks.get() });
        self.busy.store(false, Ordering::Release);
        result
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Blocks {
    fn take(&mut self, class: usize) -> *mut u8 {
        let first = self.free[class];
        if !first.is_null() {
            // SAFETY: a block in a list was put there by `give`, which wrote the address of the
            // following one, or null, into its first bytes.
            self.free[class] = unsafe { first.cast::<*mut u8>().read() };
            return first;
        }
        let size = SMALLEST << class;
        if self.left < size {
            let is_first = self.next.is_null() && size <= FIRST_LAYOUT.size();
            let layout = if is_first { FIRST_LAYOUT } else { CHUNK_LAYOUT };
            // SAFETY: the layout's size is not 0. What was left of the old chunk is given up.
            let chunk = unsafe { System.alloc(layout) };
            if chunk.is_null() {
                return chunk;
            }
            if !is_first {
                populate(chunk, layout.size());
            }
            (self.next, self.left) = (chunk, layout.size());
        }
        let block = self.next;
        // SAFETY: `left` says that the chunk has `size` more bytes; one past its end is allowed.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    fn give(&mut self, block: *mut u8, class: usize) {
        // SAFETY: the block is as large as a pointer, aligned for one, and nobody's any more.
        unsafe { block.cast::<*mut u8>().write(self.free[class]) };
        self.free[class] = block;
    }
}

/// Has all pages of a chunk made by one call instead of by a fault each (Linux 5.14; before, they come
/// by faults).
fn populate(chunk: *mut u8, size: usize) {
    let within = chunk.wrapping_sub(chunk.addr() % PAGE);
    // SAFETY: all of these pages have a part of the chunk, which is ours, so they are there; what is
    // in them stays as it is.
    unsafe { libc::madvise(within.cast(), size, MADV_POPULATE_WRITE) };
}

/// Which list has blocks for the layout; none has the largest and those with a wide alignment.
fn class(layout: &Layout) -> Option<usize> {
    if layout.size() > LARGEST || layout.align() > SMALLEST {
        return None;
    }
    let size = layout.size().max(SMALLEST).next_power_of_two();
    Some((size / SMALLEST).trailing_zeros() as usize)
}

// SAFETY: blocks are of the layout's size at least and aligned to 16; a block has one owner, since
// it leaves the chunk or its list when it is given out; what `alloc` sends to the system by the
// layout `dealloc` sends there too, by the same layout.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(&layout) {
            Some(class) => self.with(|blocks| blocks.take(class)),
            // SAFETY: the caller's promise is the same.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(&layout) {
            Some(_) if self.ending.load(Ordering::Relaxed) => {}
            Some(class) => self.with(|blocks| blocks.give(block, class)),
            // SAFETY: the caller's promise is the same, and the block came from there.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is not 0 and fits with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(&layout), class(&wanted)) {
            // A block of this size has room.
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: as in `dealloc`.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            _ => {
                // SAFETY: `wanted` is valid; old and new block are different, each as large as
                // what is copied; the old one is given up after that.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// The smallest block, and the alignment of all.
const SMALLEST: usize = 16;
/// 16 to 32,768 bytes.
const SIZES: usize = 12;
const LARGEST: usize = SMALLEST << (SIZES - 1);
/// What a program needs that only looks at its arguments.
const FIRST_LAYOUT: Layout = chunk_layout(16 << 10);
/// Chunks are the system's own large blocks.
const CHUNK_LAYOUT: Layout = chunk_layout(64 << 10);

const fn chunk_layout(size: usize) -> Layout {
    match Layout::from_size_align(size, SMALLEST) {
        Ok(layout) => layout,
        Err(_) => Layout::new::<u128>(),
    }
}

const PAGE: usize = 4096;
/// `linux/mman.h`.
const MADV_POPULATE_WRITE: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_keep_what_is_in_them() {
        let arena = Arena::new();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
        for round in 0..3_000usize {
            let size = 1 + (round * 7919) % 5000;
            if round % 3 == 2 {
                let (block, size, mark) = held.swap_remove((round * 31) % held.len());
                // SAFETY: it is one of ours, of this size, and not yet given back.
                unsafe {
                    assert!((0..size).all(|at| block.add(at).read() == mark));
                    arena.dealloc(block, layout(size));
                }
                continue;
            }
            // SAFETY: the size is not 0, and as many bytes are written.
            let block = unsafe { arena.alloc(layout(size)) };
            assert_eq!(block as usize % SMALLEST, 0);
            // SAFETY: as above.
            unsafe { block.write_bytes(round as u8, size) };
            held.push((block, size, round as u8));
        }
        for (block, size, mark) in held {
            // SAFETY: each is one of ours, of this size, and not yet given back.
            unsafe {
                assert!((0..size).all(|at| block.add(at).read() == mark));
                arena.dealloc(block, layout(size));
            }
        }
    }

    #[test]
    fn what_is_given_back_is_given_out_again() {
        let arena = Arena::new();
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the layout is not empty, and each block is given back once.
        unsafe {
            let first = arena.alloc(layout);
            arena.dealloc(first, layout);
            let again = arena.alloc(layout);
            assert_eq!(first, again);
            assert_eq!(arena.realloc(again, layout, 128), again);
            again.write(7);
            let grown = Layout::from_size_align(128, 8).unwrap();
            let moved = arena.realloc(again, grown, LARGEST + 1);
            assert_eq!(moved.read(), 7);
            let large = Layout::from_size_align(LARGEST + 1, 8).unwrap();
            let back = arena.realloc(moved, large, 50);
            assert_eq!(back.read(), 7);
            arena.dealloc(back, Layout::from_size_align(50, 8).unwrap());
        }
    }
}
