//! Classic BPF as seccomp accepts it.

/// One instruction: `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation: class, size, mode.
    pub code: u16,
    /// Instructions to skip when the comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A program: what `PTRACE_SECCOMP_GET_FILTER` returns and `SECCOMP_SET_MODE_FILTER` takes.
pub type Program = Vec<Instruction>;

impl Instruction {
    pub(super) fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }
}

/// Load a word of `struct seccomp_data` (`BPF_LD | BPF_W | BPF_ABS`).
pub(super) const LOAD: u16 = 0x20;
/// Return the operand (`BPF_RET | BPF_K`).
pub(super) const RETURN: u16 = 0x06;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const JUMP_EQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub(super) const JUMP_GT: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub(super) const JUMP_GE: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`.
pub(super) const JUMP_SET: u16 = 0x45;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;

/// Offset of the call's number in `struct seccomp_data`.
pub(super) const OFFSET_NUMBER: u32 = 0;
/// Offset of the `AUDIT_ARCH_*` value.
pub(super) const OFFSET_ARCH: u32 = 4;
/// Offset of the first argument.
pub(super) const OFFSET_ARGUMENTS: u32 = 16;

/// Offset of an argument's low word (all architectures that we know are little-endian).
pub(super) fn offset_low(argument: u8) -> u32 {
    OFFSET_ARGUMENTS + 8 * u32::from(argument)
}

/// Offset of an argument's high word.
pub(super) fn offset_high(argument: u8) -> u32 {
    offset_low(argument) + 4
}

/// `BPF_MAXINSNS`.
pub(super) const LENGTH_MAX: usize = 4096;
