//! From ranges to instructions.
//!
//! The program is built from its end, so that every jump's target is already in place and
//! its distance known. A jump that would be longer than the eight bits it has goes through
//! an unconditional one, whose distance has 32.

use std::collections::HashMap;

use super::policy::{Action, Condition, Op};
use super::program::{
    AND, Instruction, JUMP, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, OFFSET_ARCH, OFFSET_NUMBER, Program, RETURN,
    offset_high, offset_low,
};
use super::resolve::{Case, Cases, Machine, Outcome};

/// The program for `machines`; any other architecture is killed.
pub(super) fn emit(machines: &[Machine]) -> Program {
    let mut emitter = Emitter::default();
    let mut next = emitter.give(Action::KillProcess);
    for machine in machines.iter().rev() {
        let tree = emitter.search(&machine.ranges, &mut |emitter, outcome| emitter.outcome(outcome));
        let body = emitter.load(OFFSET_NUMBER, tree);
        next = emitter.branch(JUMP_EQ, machine.audit, body, next);
    }
    emitter.load(OFFSET_ARCH, next);
    emitter.reversed.reverse();
    emitter.reversed
}

/// Where an instruction stands, counted from the program's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At(usize);

#[derive(Default)]
struct Emitter {
    reversed: Vec<Instruction>,
    returns: HashMap<Action, At>,
}

impl Emitter {
    fn push(&mut self, instruction: Instruction) -> At {
        self.reversed.push(instruction);
        At(self.reversed.len() - 1)
    }

    /// How many instructions the next one would have to skip to get to `at`.
    fn distance(&self, at: At) -> usize {
        self.reversed.len() - 1 - at.0
    }

    /// A place that the next instruction can jump to, with room for one more in between.
    fn near(&mut self, at: At) -> At {
        if self.distance(at) < usize::from(u8::MAX) { at } else { self.jump(at) }
    }

    fn jump(&mut self, at: At) -> At {
        let distance = u32::try_from(self.distance(at)).unwrap_or(u32::MAX);
        self.push(Instruction::new(JUMP, distance))
    }

    fn branch(&mut self, code: u16, k: u32, yes: At, no: At) -> At {
        if yes == no {
            return yes;
        }
        let yes = self.near(yes);
        let no = self.near(no);
        let skip = |distance: usize| u8::try_from(distance).expect("near() keeps it in eight bits");
        let (jt, jf) = (skip(self.distance(yes)), skip(self.distance(no)));
        self.push(Instruction { code, jt, jf, k })
    }

    /// An instruction that runs on into `next`.
    fn before(&mut self, instruction: Instruction, next: At) -> At {
        if self.distance(next) != 0 {
            self.jump(next);
        }
        self.push(instruction)
    }

    fn load(&mut self, offset: u32, next: At) -> At {
        self.before(Instruction::new(LOAD, offset), next)
    }

    /// A return of `action`: one that is in reach, or a new one.
    fn give(&mut self, action: Action) -> At {
        if let Some(at) = self
            .returns
            .get(&action)
            .copied()
            .filter(|at| !self.reversed.is_empty() && self.distance(*at) < RETURN_REACH)
        {
            return at;
        }
        let at = self.push(Instruction::new(RETURN, action.ret()));
        self.returns.insert(action, at);
        at
    }

    /// A balanced search for the loaded word among `ranges`.
    fn search<T>(&mut self, ranges: &[(u32, T)], leaf: &mut impl FnMut(&mut Self, &T) -> At) -> At {
        if let [(_, only)] = ranges {
            return leaf(self, only);
        }
        let middle = ranges.len() / 2;
        let (left, right) = ranges.split_at(middle);
        let above = self.search(right, leaf);
        let below = self.search(left, leaf);
        self.branch(JUMP_GE, right[0].0, above, below)
    }

    fn outcome(&mut self, outcome: &Outcome) -> At {
        match outcome {
            Outcome::Always(action) => self.give(*action),
            Outcome::Depends(cases) => match one_argument(cases) {
                Some((argument, pieces)) => self.pieces(argument, &pieces, cases.wide),
                None => self.cases(cases),
            },
        }
    }

    fn cases(&mut self, cases: &Cases) -> At {
        let mut next = self.give(cases.otherwise);
        for Case { conditions, action } in cases.cases.iter().rev() {
            let mut at = self.give(*action);
            for condition in conditions.iter().rev() {
                at = self.condition(condition, cases.wide, at, next);
            }
            next = at;
        }
        next
    }

    fn condition(&mut self, condition: &Condition, wide: bool, yes: At, no: At) -> At {
        let Condition { argument, op, value } = *condition;
        match op {
            Op::Ne => self.equal(argument, u64::MAX, value, wide, no, yes),
            Op::Eq => self.equal(argument, u64::MAX, value, wide, yes, no),
            Op::MaskedEq { mask } => self.equal(argument, mask, value, wide, yes, no),
            Op::Ge => self.above(argument, JUMP_GE, value, wide, yes, no),
            Op::Gt => self.above(argument, JUMP_GT, value, wide, yes, no),
            Op::Lt => self.above(argument, JUMP_GE, value, wide, no, yes),
            Op::Le => self.above(argument, JUMP_GT, value, wide, no, yes),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "two words of mask and value, two ways out")]
    fn equal(&mut self, argument: u8, mask: u64, value: u64, wide: bool, yes: At, no: At) -> At {
        let (high, low) = words(value);
        let (mask_high, mask_low) = words(mask);
        let at = self.equal_word(offset_low(argument), mask_low, low, yes, no);
        if !wide || mask_high == 0 {
            return at;
        }
        self.equal_word(offset_high(argument), mask_high, high, at, no)
    }

    fn equal_word(&mut self, offset: u32, mask: u32, value: u32, yes: At, no: At) -> At {
        let mut at = self.branch(JUMP_EQ, value, yes, no);
        if mask != u32::MAX {
            at = self.before(Instruction::new(AND, mask), at);
        }
        self.load(offset, at)
    }

    #[expect(clippy::too_many_arguments, reason = "one comparison, two ways out")]
    fn above(&mut self, argument: u8, code: u16, value: u64, wide: bool, yes: At, no: At) -> At {
        let (high, low) = words(value);
        let at = self.branch(code, low, yes, no);
        let at = self.load(offset_low(argument), at);
        if !wide {
            return at;
        }
        let at = self.branch(JUMP_EQ, high, at, no);
        let at = self.branch(JUMP_GT, high, yes, at);
        self.load(offset_high(argument), at)
    }

    /// A search over the value of one argument.
    fn pieces(&mut self, argument: u8, pieces: &[(u64, Action)], wide: bool) -> At {
        if !wide {
            let words: Vec<(u32, Action)> = pieces
                .iter()
                .filter_map(|(start, action)| Some((u32::try_from(*start).ok()?, *action)))
                .collect();
            return self.low_words(argument, &words);
        }
        let cells = cells(pieces);
        let at = self.search(&cells, &mut |emitter, cell| match cell {
            Cell::Always(action) => emitter.give(*action),
            Cell::Low(words) => emitter.low_words(argument, words),
        });
        if cells.len() == 1 { at } else { self.load(offset_high(argument), at) }
    }

    fn low_words(&mut self, argument: u8, words: &[(u32, Action)]) -> At {
        let at = self.search(words, &mut |emitter, action| emitter.give(*action));
        if words.len() == 1 { at } else { self.load(offset_low(argument), at) }
    }
}

/// The cases as a function of one argument, when they all are about the same one: first
/// value and action from there on.
fn one_argument(cases: &Cases) -> Option<(u8, Vec<(u64, Action)>)> {
    let mut singles = Vec::with_capacity(cases.cases.len());
    for case in &cases.cases {
        let [condition] = case.conditions[..] else { return None };
        if matches!(condition.op, Op::MaskedEq { .. }) {
            return None;
        }
        singles.push((condition, case.action));
    }
    let argument = singles.first()?.0.argument;
    if singles.iter().any(|(condition, _)| condition.argument != argument) {
        return None;
    }
    let mut starts = vec![0];
    for (condition, _) in &singles {
        starts.push(condition.value);
        starts.extend(condition.value.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let decide = |value: u64| {
        let first = singles.iter().find(|(condition, _)| condition.holds(value));
        first.map_or(cases.otherwise, |(_, action)| *action)
    };
    let mut pieces: Vec<(u64, Action)> = starts.into_iter().map(|start| (start, decide(start))).collect();
    pieces.dedup_by(|later, earlier| later.1 == earlier.1);
    Some((argument, pieces))
}

/// What happens for a high word.
enum Cell {
    Always(Action),
    Low(Vec<(u32, Action)>),
}

/// Splits a function of 64 bits into one of the high word, whose values are functions of
/// the low word where they must be.
fn cells(pieces: &[(u64, Action)]) -> Vec<(u32, Cell)> {
    let mut cells: Vec<(u32, Cell)> = Vec::new();
    let mut before = pieces[0].1;
    let groups = pieces.chunk_by(|a, b| words(a.0).0 == words(b.0).0).collect::<Vec<_>>();
    for (index, group) in groups.iter().enumerate() {
        let high = words(group[0].0).0;
        let mut low: Vec<(u32, Action)> =
            group.iter().map(|(start, action)| (words(*start).1, *action)).collect();
        if low[0].0 != 0 {
            low.insert(0, (0, before));
        }
        before = group[group.len() - 1].1;
        if low.len() == 1 {
            cells.push((high, Cell::Always(before)));
            continue;
        }
        cells.push((high, Cell::Low(low)));
        let next = groups.get(index + 1).map(|group| words(group[0].0).0);
        if let Some(above) = high.checked_add(1).filter(|above| next != Some(*above)) {
            cells.push((above, Cell::Always(before)));
        }
    }
    cells
}

fn words(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// How far away a return may stand to be used again: less than a jump can reach, because
/// instructions come in between before the jump is made.
const RETURN_REACH: usize = 200;
