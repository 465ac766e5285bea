//! What filters mean for every call: denied, allowed, or depending on arguments.
//!
//! It works on any program, also one that somebody else compiled: arguments are unknown,
//! so both ways of a comparison with one are followed, and the actions met are collected.

use std::collections::BTreeSet;

use super::interpret::Call;
use super::policy::{Action, Arch};
use super::program::{
    AND, Instruction, JUMP, JUMP_EQ, JUMP_GE, JUMP_GT, JUMP_SET, LOAD, OFFSET_ARCH, OFFSET_NUMBER, RETURN,
};
use super::syscalls::names;

/// What filters do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let through whatever its arguments.
    Allowed,
    /// Never let through.
    Denied,
    /// It depends on arguments, a listener or a tracer.
    Conditional,
}

/// What filters do with all calls of an architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// How many calls the architecture has.
    pub total: usize,
    /// Calls that never get through, by name.
    pub denied: Vec<&'static str>,
    /// Calls that depend on more than their number, by name.
    pub conditional: Vec<&'static str>,
}

/// What `programs`, all of which must agree, do with the calls of `arch`.
pub fn verdicts(programs: &[&[Instruction]], arch: Arch) -> Verdicts {
    let mut summary = Verdicts::default();
    for (name, number) in names(arch) {
        summary.total += 1;
        let call = Call { number, audit: arch.audit(), arguments: [0; 6] };
        match verdict(programs, &call) {
            Verdict::Allowed => {}
            Verdict::Denied => summary.denied.push(name),
            Verdict::Conditional => summary.conditional.push(name),
        }
    }
    summary
}

fn verdict(programs: &[&[Instruction]], call: &Call) -> Verdict {
    let mut all = Verdict::Allowed;
    for program in programs {
        let actions = actions(program, call);
        if !actions.iter().any(|action| action.lets_through() || asks(*action)) {
            return Verdict::Denied;
        }
        if !actions.iter().all(|action| action.lets_through()) {
            all = Verdict::Conditional;
        }
    }
    all
}

fn asks(action: Action) -> bool {
    matches!(action, Action::Notify | Action::Trace(_))
}

/// All actions that `program` can end in for this number and architecture.
fn actions(program: &[Instruction], call: &Call) -> BTreeSet<Action> {
    let mut actions = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(0usize, Some(0u32))];
    while let Some(state) = open.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (at, accumulator) = state;
        let Some(Instruction { code, jt, jf, k }) = program.get(at).copied() else {
            actions.insert(Action::KillProcess);
            continue;
        };
        let next = at + 1;
        let holds = match code {
            LOAD if k == OFFSET_NUMBER || k == OFFSET_ARCH => {
                open.push((next, Some(call.word(k))));
                continue;
            }
            AND => {
                open.push((next, accumulator.map(|word| word & k)));
                continue;
            }
            RETURN => {
                actions.insert(Action::from_ret(k));
                continue;
            }
            JUMP => {
                open.push((next + k as usize, accumulator));
                continue;
            }
            JUMP_EQ => accumulator.map(|word| word == k),
            JUMP_GT => accumulator.map(|word| word > k),
            JUMP_GE => accumulator.map(|word| word >= k),
            JUMP_SET => accumulator.map(|word| word & k != 0),
            // An argument, scratch memory or other arithmetic: not followed.
            _ => {
                open.push((next, None));
                continue;
            }
        };
        if holds != Some(false) {
            open.push((next + usize::from(jt), accumulator));
        }
        if holds != Some(true) {
            open.push((next + usize::from(jf), accumulator));
        }
    }
    actions
}
