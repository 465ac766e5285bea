//! A policy, resolved for each architecture: what happens for every call number.

use super::multiplex::multiplexed;
use super::policy::{Action, Arch, Condition, Op, Policy, X32_BIT};
use super::syscalls::{Numbers, lookup};

/// A policy with names turned into numbers.
#[derive(Debug)]
pub(super) struct Resolved {
    /// One for each `AUDIT_ARCH_*` value, the native one first.
    pub(super) machines: Vec<Machine>,
    /// Names that no architecture has.
    pub(super) unknown: Vec<String>,
}

/// What happens for the calls that come with one `AUDIT_ARCH_*` value.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) audit: u32,
    /// First number and what happens from there to the next entry. The first is 0, so
    /// that every number is covered.
    pub(super) ranges: Vec<(u32, Outcome)>,
}

/// What happens for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Always(Action),
    Depends(Cases),
}

/// The first case whose conditions all hold decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cases {
    pub(super) cases: Vec<Case>,
    pub(super) otherwise: Action,
    /// Whether arguments are 64 bits wide; if not, only their low word counts.
    pub(super) wide: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// A name in a rule, looked up.
struct Named {
    rule: usize,
    numbers: Numbers,
    /// The way in through a multiplexer, for 32-bit x86.
    through: Option<(Numbers, Condition)>,
}

/// Resolves `policy`. The native architecture is always part of it.
pub(super) fn resolve(policy: &Policy<'_>) -> Resolved {
    let listed = |arch| arch == Arch::NATIVE || policy.arches.contains(&arch);
    let (named, unknown) = look_up(policy, listed(Arch::X86));
    let mut arches = vec![Arch::NATIVE];
    arches.extend(Arch::ALL.into_iter().filter(|arch| *arch != Arch::NATIVE && listed(*arch)));

    let mut machines: Vec<Machine> = Vec::new();
    for arch in arches.iter().copied().filter(|arch| *arch != Arch::X32) {
        let mut ranges = Ranges::of(policy, &named, arch);
        if arch == Arch::X86_64 {
            let x32 = listed(Arch::X32).then(|| Ranges::of(policy, &named, Arch::X32));
            ranges.splice_x32(x32, guard(policy));
        }
        machines.push(Machine { audit: arch.audit(), ranges: ranges.0 });
    }
    Resolved { machines, unknown }
}

/// All names of all rules, in order, and those that no architecture has.
fn look_up(policy: &Policy<'_>, multiplexers: bool) -> (Vec<Named>, Vec<String>) {
    let mut named = Vec::with_capacity(policy.rules.iter().map(|rule| rule.names.len()).sum());
    let mut unknown = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        for name in rule.names.iter() {
            let Some(numbers) = lookup(name) else {
                unknown.push(name.clone());
                continue;
            };
            let through = (multiplexers && rule.conditions.is_empty())
                .then(|| multiplexed(Arch::X86, name))
                .flatten()
                .and_then(|(through, condition)| Some((lookup(through)?, condition)));
            named.push(Named { rule: index, numbers, through });
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    (named, unknown)
}

/// What a call of an ABI that shares the machine but is not listed gets.
fn guard(policy: &Policy<'_>) -> Action {
    if fails_newer_calls(policy) { Action::Errno(libc::ENOSYS as u16) } else { Action::KillProcess }
}

/// Whether calls newer than the policy fail with `ENOSYS`: only where the default denies.
/// A tracer is expected to know new calls.
fn fails_newer_calls(policy: &Policy<'_>) -> bool {
    !matches!(policy.default, Action::Allow | Action::Log | Action::Trace(_))
}

/// First number and what happens from there on; neighbours differ.
struct Ranges(Vec<(u32, Outcome)>);

impl Ranges {
    /// From number 0 (x32: its marker bit) to the end.
    fn of(policy: &Policy<'_>, named: &[Named], arch: Arch) -> Self {
        let default = Outcome::Always(policy.default);
        let mut ranges = Self(Vec::new());
        let mut next = arch.number_base();
        let mut newest = None;
        let calls = calls(named, arch);
        for call in calls.chunk_by(|a, b| a.number() == b.number()) {
            let number = call[0].number();
            if number > next {
                ranges.push(next, default.clone());
            }
            ranges.push(number, outcome(policy, named, arch, call));
            newest = Some(number);
            next = number + 1;
        }
        match newest {
            Some(_) if fails_newer_calls(policy) => {
                ranges.push(next, Outcome::Always(Action::Errno(libc::ENOSYS as u16)));
            }
            _ => ranges.push(next, default),
        }
        ranges
    }

    fn push(&mut self, start: u32, outcome: Outcome) {
        if self.0.last().is_none_or(|last| last.1 != outcome) {
            self.0.push((start, outcome));
        }
    }

    /// Puts x32's ranges above the marker bit. Number -1 is a tracer's "skip this call" and
    /// belongs to the native table.
    fn splice_x32(&mut self, x32: Option<Self>, guard: Action) {
        let Some((last, native_end)) = self.0.last().cloned() else { return };
        assert!(last < X32_BIT);
        match x32 {
            Some(Self(ranges)) => ranges.into_iter().for_each(|(start, outcome)| self.push(start, outcome)),
            None => self.push(X32_BIT, Outcome::Always(guard)),
        }
        self.push(u32::MAX, native_end);
    }
}

/// A call: its number, its index in `named`, and whether it is the way through the multiplexer. One
/// word, from the highest bit on, since a policy has hundreds and they are sorted for each architecture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Numbered(u64);

impl Numbered {
    fn new(number: u32, index: usize, through: bool) -> Self {
        debug_assert!(index < 1 << 31);
        Self(u64::from(number) << 32 | (index as u64) << 1 | u64::from(through))
    }

    fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn index(self) -> usize {
        (self.0 as u32 >> 1) as usize
    }

    fn is_through(self) -> bool {
        self.0 & 1 != 0
    }
}

/// By number, then in the policy's order.
fn calls(named: &[Named], arch: Arch) -> Vec<Numbered> {
    let mut calls = Vec::with_capacity(named.len());
    for (index, name) in named.iter().enumerate() {
        calls.extend(name.numbers.on(arch).map(|number| Numbered::new(number, index, false)));
        if arch == Arch::X86 {
            let through = name.through.as_ref().and_then(|(numbers, _)| numbers.on(arch));
            calls.extend(through.map(|number| Numbered::new(number, index, true)));
        }
    }
    calls.sort_unstable();
    calls
}

/// What happens for the call that `named` has at these places.
fn outcome(policy: &Policy<'_>, named: &[Named], arch: Arch, call: &[Numbered]) -> Outcome {
    let rule = |index: usize| &policy.rules[named[index].rule];
    let always = call.iter().find(|call| !call.is_through() && rule(call.index()).conditions.is_empty());
    if let Some(call) = always {
        return Outcome::Always(rule(call.index()).action);
    }
    let mut all = Vec::new();
    for call in call {
        let rule = rule(call.index());
        match &named[call.index()].through {
            Some((_, condition)) if call.is_through() => {
                all.push(Case { conditions: vec![*condition], action: rule.action });
            }
            _ => {
                let narrowed: Vec<Condition> =
                    rule.conditions.iter().map(|condition| narrow(*condition, arch)).collect();
                all.extend(cases(&narrowed, rule.action));
            }
        }
    }
    if all.is_empty() {
        return Outcome::Always(policy.default);
    }
    Outcome::Depends(Cases { cases: all, otherwise: policy.default, wide: arch.is_64_bit() })
}

/// One case of all conditions; one for each of them when an argument occurs twice (as
/// libseccomp's users have always been served).
fn cases(conditions: &[Condition], action: Action) -> Vec<Case> {
    let can_hold = |condition: &Condition| match condition.op {
        Op::MaskedEq { mask } => condition.value & !mask == 0,
        _ => true,
    };
    let twice = conditions
        .iter()
        .enumerate()
        .any(|(at, condition)| conditions[..at].iter().any(|earlier| earlier.argument == condition.argument));
    if twice {
        let single = |condition: &Condition| Case { conditions: vec![*condition], action };
        return conditions.iter().filter(|condition| can_hold(condition)).map(single).collect();
    }
    if !conditions.iter().all(can_hold) {
        return Vec::new();
    }
    vec![Case { conditions: conditions.to_vec(), action }]
}

/// The condition as it reads on `arch`: only the low word of an argument counts where
/// registers are 32 bits wide, and -1 is -1 at both widths.
fn narrow(condition: Condition, arch: Arch) -> Condition {
    const MAX: u64 = u32::MAX as u64;
    if arch.is_64_bit() {
        return condition;
    }
    let Condition { argument, op, value } = condition;
    let (op, value) = match op {
        Op::Eq | Op::Ne => (op, value & MAX),
        Op::MaskedEq { mask } => (Op::MaskedEq { mask: mask & MAX }, value & MAX),
        Op::Lt | Op::Le if value > MAX => (Op::Le, MAX),
        Op::Gt | Op::Ge if value > MAX => (Op::Gt, MAX),
        _ => (op, value),
    };
    Condition { argument, op, value }
}
