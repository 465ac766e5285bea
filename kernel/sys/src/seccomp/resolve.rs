//! A policy, resolved for each architecture: what happens for every call number.

use std::collections::BTreeMap;

use super::multiplex::multiplexed;
use super::policy::{Action, Arch, Condition, Op, Policy, X32_BIT};
use super::syscalls::{is_known, number};

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

/// Resolves `policy`. The native architecture is always part of it.
pub(super) fn resolve(policy: &Policy) -> Resolved {
    let listed = |arch| arch == Arch::NATIVE || policy.arches.contains(&arch);
    let mut arches = vec![Arch::NATIVE];
    arches.extend(Arch::ALL.into_iter().filter(|arch| *arch != Arch::NATIVE && listed(*arch)));

    let mut machines: Vec<Machine> = Vec::new();
    for arch in arches.iter().copied().filter(|arch| *arch != Arch::X32) {
        let mut ranges = ranges(policy, arch);
        if arch == Arch::X86_64 {
            let x32 = if listed(Arch::X32) { Some(self::ranges(policy, Arch::X32)) } else { None };
            splice_x32(&mut ranges, x32, guard(policy));
        }
        merge(&mut ranges);
        machines.push(Machine { audit: arch.audit(), ranges });
    }
    let mut unknown: Vec<String> =
        policy.rules.iter().flat_map(|rule| &rule.names).filter(|name| !is_known(name)).cloned().collect();
    unknown.sort_unstable();
    unknown.dedup();
    Resolved { machines, unknown }
}

/// What a call of an ABI that shares the machine but is not listed gets.
fn guard(policy: &Policy) -> Action {
    if fails_newer_calls(policy) { Action::Errno(libc::ENOSYS as u16) } else { Action::KillProcess }
}

/// Whether calls newer than the policy fail with `ENOSYS`: only where the default denies.
/// A tracer is expected to know new calls.
fn fails_newer_calls(policy: &Policy) -> bool {
    !matches!(policy.default, Action::Allow | Action::Log | Action::Trace(_))
}

#[derive(Default)]
struct Decision {
    always: Option<Action>,
    cases: Vec<Case>,
}

/// Ranges from number 0 to the end, x32's in their own place above the marker bit.
fn ranges(policy: &Policy, arch: Arch) -> Vec<(u32, Outcome)> {
    let decisions = decisions(policy, arch);
    let default = Outcome::Always(policy.default);
    let mut ranges = vec![(arch.number_base(), default.clone())];
    let mut newest = None;
    for (number, decision) in decisions {
        newest = Some(number);
        let outcome = match decision {
            Decision { always: Some(action), .. } => Outcome::Always(action),
            Decision { cases, .. } if cases.is_empty() => default.clone(),
            Decision { cases, .. } => {
                Outcome::Depends(Cases { cases, otherwise: policy.default, wide: arch.is_64_bit() })
            }
        };
        ranges.push((number, outcome));
        ranges.push((number + 1, default.clone()));
    }
    if let Some(newest) = newest.filter(|_| fails_newer_calls(policy)) {
        ranges.push((newest + 1, Outcome::Always(Action::Errno(libc::ENOSYS as u16))));
    }
    // Of entries with one start the last one counts.
    let mut unique: Vec<(u32, Outcome)> = Vec::with_capacity(ranges.len());
    for entry in ranges {
        if unique.last().is_some_and(|last| last.0 == entry.0) {
            unique.pop();
        }
        unique.push(entry);
    }
    unique
}

fn decisions(policy: &Policy, arch: Arch) -> BTreeMap<u32, Decision> {
    let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
    for rule in &policy.rules {
        let conditions: Vec<Condition> =
            rule.conditions.iter().map(|condition| narrow(*condition, arch)).collect();
        for name in &rule.names {
            if let Some(number) = number(arch, name) {
                let decision = decisions.entry(number).or_default();
                if conditions.is_empty() {
                    decision.always.get_or_insert(rule.action);
                } else {
                    decision.cases.extend(cases(&conditions, rule.action));
                }
            }
            if let (true, Some((through, condition))) = (conditions.is_empty(), multiplexed(arch, name))
                && let Some(number) = number(arch, through)
            {
                let case = Case { conditions: vec![condition], action: rule.action };
                decisions.entry(number).or_default().cases.push(case);
            }
        }
    }
    decisions
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

/// Puts x32's ranges above the marker bit. Number -1 is a tracer's "skip this call" and
/// belongs to the native table.
fn splice_x32(ranges: &mut Vec<(u32, Outcome)>, x32: Option<Vec<(u32, Outcome)>>, guard: Action) {
    let Some((_, native_end)) = ranges.last().cloned() else { return };
    assert!(ranges.iter().all(|(start, _)| *start < X32_BIT));
    match x32 {
        Some(x32) => ranges.extend(x32),
        None => ranges.push((X32_BIT, Outcome::Always(guard))),
    }
    ranges.push((u32::MAX, native_end));
}

fn merge(ranges: &mut Vec<(u32, Outcome)>) {
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
}
