//! With SSE2, which every x86-64 has, and `rep movsb` for what is long.

use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_storeu_si128};

/// From here on the processor's own copying is faster than a loop.
const LONG: usize = 2048;
const VECTOR: usize = size_of::<__m128i>();
/// What the loops move at a time.
const BLOCK: usize = 4 * VECTOR;

/// C's `memcpy`; what overlaps is copied as `memmove` does.
///
/// # Safety
/// `n` bytes at `from` can be read and `n` bytes at `to` written.
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the same contract.
    unsafe { copy(to, from, n) };
    to
}

/// C's `memmove`.
///
/// # Safety
/// As [`memcpy`].
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the same contract.
    unsafe { copy(to, from, n) };
    to
}

/// C's `memcmp`: negative, zero or positive as the first byte that differs.
///
/// # Safety
/// `n` bytes at both can be read.
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { compare(a, b, n) }
}

/// `memcmp` of which only zero or not is wanted.
///
/// # Safety
/// As [`memcmp`].
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { compare(a, b, n) }
}

/// # Safety
/// A `T` can be read at `from + at`.
#[inline(always)]
unsafe fn get<T: Copy>(from: *const u8, at: usize) -> T {
    // SAFETY: promised by the caller.
    unsafe { from.add(at).cast::<T>().read_unaligned() }
}

/// # Safety
/// A `T` can be written at `to + at`.
#[inline(always)]
unsafe fn put<T: Copy>(to: *mut u8, at: usize, value: T) {
    // SAFETY: promised by the caller.
    unsafe { to.add(at).cast::<T>().write_unaligned(value) }
}

/// # Safety
/// 16 bytes can be read at `from + at`.
#[inline(always)]
unsafe fn load(from: *const u8, at: usize) -> __m128i {
    // SAFETY: promised by the caller.
    unsafe { _mm_loadu_si128(from.add(at).cast()) }
}

/// # Safety
/// 16 bytes can be written at `to + at`.
#[inline(always)]
unsafe fn store(to: *mut u8, at: usize, value: __m128i) {
    // SAFETY: promised by the caller.
    unsafe { _mm_storeu_si128(to.add(at).cast(), value) }
}

/// The first and the last `T` of `n` bytes: both are read before either is written.
///
/// # Safety
/// As [`memcpy`], and `n` is the size of one to two `T`.
#[inline(always)]
unsafe fn ends<T: Copy>(to: *mut u8, from: *const u8, n: usize) {
    let last = n - size_of::<T>();
    // SAFETY: `0..size` and `last..n` are within `n`.
    unsafe {
        let (a, b) = (get::<T>(from, 0), get::<T>(from, last));
        put(to, 0, a);
        put(to, last, b);
    }
}

/// # Safety
/// As [`memcpy`].
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: each arm has the length that its function wants.
    unsafe {
        match n {
            0 => {}
            1 => put(to, 0, get::<u8>(from, 0)),
            2..=3 => ends::<u16>(to, from, n),
            4..=7 => ends::<u32>(to, from, n),
            8..=15 => ends::<u64>(to, from, n),
            16..=32 => {
                let (a, b) = (load(from, 0), load(from, n - VECTOR));
                store(to, 0, a);
                store(to, n - VECTOR, b);
            }
            33..=64 => {
                let (a, b) = (load(from, 0), load(from, VECTOR));
                let (c, d) = (load(from, n - 2 * VECTOR), load(from, n - VECTOR));
                store(to, 0, a);
                store(to, VECTOR, b);
                store(to, n - 2 * VECTOR, c);
                store(to, n - VECTOR, d);
            }
            65..=128 => {
                let (first, last) = (block(from, 0), block(from, n - BLOCK));
                write(to, 0, first);
                write(to, n - BLOCK, last);
            }
            _ => copy_long(to, from, n),
        }
    }
}

/// # Safety
/// 64 bytes can be read at `from + at`.
#[inline(always)]
unsafe fn block(from: *const u8, at: usize) -> [__m128i; 4] {
    // SAFETY: promised by the caller.
    unsafe {
        [load(from, at), load(from, at + VECTOR), load(from, at + 2 * VECTOR), load(from, at + 3 * VECTOR)]
    }
}

/// # Safety
/// 64 bytes can be written at `to + at`.
#[inline(always)]
unsafe fn write(to: *mut u8, at: usize, [a, b, c, d]: [__m128i; 4]) {
    // SAFETY: promised by the caller.
    unsafe {
        store(to, at, a);
        store(to, at + VECTOR, b);
        store(to, at + 2 * VECTOR, c);
        store(to, at + 3 * VECTOR, d);
    }
}

/// # Safety
/// As [`memcpy`], and `n` is over 128.
#[inline(never)]
unsafe fn copy_long(to: *mut u8, from: *const u8, n: usize) {
    // How far ahead the one lies of the other; wrapped round where it lies behind.
    let ahead = (to as usize).wrapping_sub(from as usize);
    let behind = (from as usize).wrapping_sub(to as usize);
    // SAFETY: all accesses lie within `n`. What a loop has yet to read it has not written over: going up it
    // writes below what it reads next unless `to` lies ahead within the source, and then it goes down. What
    // stands at the other end is read first and written last.
    unsafe {
        if ahead < n {
            let first = block(from, 0);
            let mut at = n;
            while at > BLOCK {
                at -= BLOCK;
                write(to, at, block(from, at));
            }
            write(to, 0, first);
        } else if n >= LONG && behind >= n {
            asm!(
                "rep movsb",
                inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
        } else {
            let last = block(from, n - BLOCK);
            let mut at = 0;
            while at < n - BLOCK {
                write(to, at, block(from, at));
                at += BLOCK;
            }
            write(to, n - BLOCK, last);
        }
    }
}

/// # Safety
/// As [`memcmp`].
#[inline(always)]
unsafe fn compare(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: every arm reads below `n`.
    unsafe {
        match n {
            0 => 0,
            1..=3 => {
                let mut at = 0;
                while at < n {
                    let (one, other) = (get::<u8>(a, at), get::<u8>(b, at));
                    if one != other {
                        return i32::from(one) - i32::from(other);
                    }
                    at += 1;
                }
                0
            }
            4..=7 => {
                let word = |from, at| u64::from(get::<u32>(from, at).swap_bytes());
                let whole = |from| word(from, 0) << 32 | word(from, n - 4);
                order(whole(a), whole(b))
            }
            8..=15 => {
                let word = |from, at| get::<u64>(from, at).swap_bytes();
                match order(word(a, 0), word(b, 0)) {
                    0 => order(word(a, n - 8), word(b, n - 8)),
                    different => different,
                }
            }
            _ => {
                let mut at = 0;
                while at < n - VECTOR {
                    match compare_vector(a, b, at) {
                        0 => at += VECTOR,
                        different => return different,
                    }
                }
                compare_vector(a, b, n - VECTOR)
            }
        }
    }
}

/// # Safety
/// 16 bytes can be read at both, from `at` on.
#[inline(always)]
unsafe fn compare_vector(a: *const u8, b: *const u8, at: usize) -> i32 {
    // SAFETY: promised by the caller; the first byte that differs is one of the 16.
    unsafe {
        let same = _mm_movemask_epi8(_mm_cmpeq_epi8(load(a, at), load(b, at)));
        if same == 0xffff {
            return 0;
        }
        let first = at + (!same).trailing_zeros() as usize;
        i32::from(get::<u8>(a, first)) - i32::from(get::<u8>(b, first))
    }
}

#[inline(always)]
const fn order(a: u64, b: u64) -> i32 {
    (a > b) as i32 - (a < b) as i32
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const SIZES: [usize; 12] = [200, 255, 256, 257, 511, 1000, 2047, 2048, 2049, 4096, 5000, 70_000];

    fn sizes() -> impl Iterator<Item = usize> {
        (0..=200).chain(SIZES)
    }

    /// No two neighbours alike, and no period that a block could hide.
    fn pattern(n: usize) -> Vec<u8> {
        (0..n).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    #[test]
    fn copies_and_touches_nothing_else() {
        for n in sizes() {
            for (skip, offset) in [(0, 0), (1, 0), (3, 7), (8, 15)] {
                let from = pattern(n + skip);
                let mut to = std::vec![0xee; n + offset + 16];
                // SAFETY: both are long enough.
                let answer = unsafe { memcpy(to.as_mut_ptr().add(offset), from.as_ptr().add(skip), n) };
                assert_eq!(answer, to[offset..].as_mut_ptr());
                assert_eq!(&to[offset..offset + n], &from[skip..], "{n}");
                assert!(to[..offset].iter().chain(&to[offset + n..]).all(|byte| *byte == 0xee), "{n}");
            }
        }
    }

    #[test]
    fn moves_what_overlaps() {
        for n in sizes() {
            for distance in [0, 1, 2, 3, 8, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000] {
                let whole = pattern(n + distance);
                let (mut up, mut down) = (whole.clone(), whole.clone());
                let (start, end) = (up.as_mut_ptr(), down.as_mut_ptr());
                // SAFETY: both ends lie within.
                unsafe {
                    memmove(start.add(distance), start, n);
                    memmove(end, end.add(distance), n);
                }
                assert_eq!(&up[distance..], &whole[..n], "{n} by {distance}");
                assert_eq!(&down[..n], &whole[distance..], "{n} by {distance}");
            }
        }
    }

    #[test]
    fn compares_as_slices_do() {
        for n in sizes().filter(|n| *n <= 4096) {
            let one = pattern(n);
            for at in (0..n).step_by(1 + n / 97) {
                for change in [1u8, 0x80, 0xff] {
                    let mut other = one.clone();
                    other[at] = other[at].wrapping_add(change);
                    // What differs later says nothing.
                    if let Some(last) = other.last_mut().filter(|_| at + 1 < n) {
                        *last = last.wrapping_sub(change);
                    }
                    // SAFETY: both have `n` bytes.
                    let (said, other_way) = unsafe {
                        (memcmp(one.as_ptr(), other.as_ptr(), n), memcmp(other.as_ptr(), one.as_ptr(), n))
                    };
                    assert_eq!(said.cmp(&0), one.cmp(&other), "{n} at {at}");
                    assert_eq!(other_way.cmp(&0), other.cmp(&one), "{n} at {at}");
                }
            }
            // SAFETY: as above.
            let same = unsafe { [memcmp, bcmp].map(|of| of(one.as_ptr(), one.as_ptr(), n)) };
            assert_eq!(same, [0, 0]);
        }
    }
}
