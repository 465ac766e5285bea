//! Runs a filter on a call, as the kernel would: the oracle of tests, and the answer to
//! "what would this filter do".

use super::policy::Action;
use super::program::{
    AND, Instruction, JUMP, JUMP_EQ, JUMP_GE, JUMP_GT, JUMP_SET, LOAD, OFFSET_ARCH, OFFSET_ARGUMENTS,
    OFFSET_NUMBER, RETURN,
};

/// A call as a filter sees it: `struct seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number.
    pub number: u32,
    /// The `AUDIT_ARCH_*` value.
    pub audit: u32,
    /// The arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// The word at `offset` of `struct seccomp_data` (the instruction pointer reads as 0).
    pub(super) fn word(&self, offset: u32) -> u32 {
        match offset {
            OFFSET_NUMBER => self.number,
            OFFSET_ARCH => self.audit,
            OFFSET_ARGUMENTS.. => {
                let index = (offset - OFFSET_ARGUMENTS) / 8;
                let value = self.arguments.get(index as usize).copied().unwrap_or(0);
                if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
            }
            _ => 0,
        }
    }
}

/// A filter's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    pub(super) action: Action,
    /// Instructions executed.
    #[cfg_attr(not(test), expect(dead_code, reason = "measured by tests"))]
    pub(super) steps: usize,
}

/// What `program`, whoever compiled it, does for a call.
pub fn evaluate(program: &[Instruction], call: &Call) -> Action {
    run(program, call).action
}

/// Runs `program`. Anything that the kernel would not have accepted kills the process.
pub(super) fn run(program: &[Instruction], call: &Call) -> Ran {
    let mut accumulator = 0u32;
    let mut at = 0usize;
    let mut steps = 0;
    while let Some(Instruction { code, jt, jf, k }) = program.get(at).copied() {
        steps += 1;
        at += 1;
        let holds = match code {
            LOAD => {
                accumulator = call.word(k);
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            RETURN => return Ran { action: Action::from_ret(k), steps },
            JUMP => {
                at += k as usize;
                continue;
            }
            JUMP_EQ => accumulator == k,
            JUMP_GT => accumulator > k,
            JUMP_GE => accumulator >= k,
            JUMP_SET => accumulator & k != 0,
            _ => break,
        };
        at += usize::from(if holds { jt } else { jf });
    }
    Ran { action: Action::KillProcess, steps }
}
