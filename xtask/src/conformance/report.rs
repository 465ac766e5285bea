//! Two runs of the same cases side by side, and the checked-in list of those that cannot pass.

use std::collections::{BTreeMap, BTreeSet};

/// A case: its file without the ending, and its name.
pub(super) type Case = (String, String);

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It held.
    Passed,
    /// It did not, or not in time.
    Failed,
    /// It says that the machine cannot run it.
    Skipped,
}

/// The outcomes of one runtime.
pub(super) type Run = BTreeMap<Case, Outcome>;

/// Adds the run of a further reference: what any passes can pass.
pub(super) fn add(run: &mut Run, further: Run) {
    for (case, outcome) in further {
        let entry = run.entry(case).or_insert(outcome);
        if outcome == Outcome::Passed {
            *entry = outcome;
        }
    }
}

/// Who passes a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// The reference and we.
    Both,
    /// The reference, not we: ours to mend.
    OnlyReference,
    /// We, not the reference.
    OnlyOurs,
    /// Nobody: the machine's reasons.
    Neither,
}

impl Verdict {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Both => "passed by both",
            Self::OnlyReference => "only by the reference",
            Self::OnlyOurs => "only by ours",
            Self::Neither => "by neither",
        }
    }
}

/// Puts every case of either run in its place.
pub(super) fn compare(reference: &Run, ours: &Run) -> BTreeMap<Verdict, Vec<Case>> {
    let mut verdicts: BTreeMap<Verdict, Vec<Case>> = BTreeMap::new();
    let cases: BTreeSet<&Case> = reference.keys().chain(ours.keys()).collect();
    for case in cases {
        let passes = |run: &Run| run.get(case) == Some(&Outcome::Passed);
        let verdict = match (passes(reference), passes(ours)) {
            (true, true) => Verdict::Both,
            (true, false) => Verdict::OnlyReference,
            (false, true) => Verdict::OnlyOurs,
            (false, false) => Verdict::Neither,
        };
        verdicts.entry(verdict).or_default().push(case.clone());
    }
    verdicts
}

/// The cases that a page lists in its tables: rows of `| file | case | why |`.
pub(super) fn listed(page: &str) -> BTreeSet<Case> {
    let row = |line: &str| {
        let line = line.trim().strip_prefix('|')?.strip_suffix('|')?.replace("\\|", "\u{1}");
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let [file, case, _why] = &cells[..] else { return None };
        let is_head = file == "file" || file.starts_with('-') || file.starts_with(':');
        (!is_head).then(|| (file.clone(), case.clone()))
    };
    page.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        ("f".to_owned(), name.to_owned())
    }

    #[test]
    fn a_case_that_one_run_lacks_did_not_pass_there() {
        use Outcome::{Failed, Passed, Skipped};
        let reference = Run::from([(case("a"), Passed), (case("b"), Passed), (case("c"), Skipped)]);
        let ours = Run::from([(case("a"), Passed), (case("b"), Failed), (case("d"), Passed)]);
        let verdicts = compare(&reference, &ours);
        assert_eq!(verdicts[&Verdict::Both], [case("a")]);
        assert_eq!(verdicts[&Verdict::OnlyReference], [case("b")]);
        assert_eq!(verdicts[&Verdict::OnlyOurs], [case("d")]);
        assert_eq!(verdicts[&Verdict::Neither], [case("c")]);
    }

    #[test]
    fn what_any_reference_passes_can_pass() {
        use Outcome::{Failed, Passed, Skipped};
        let mut run = Run::from([(case("a"), Failed), (case("b"), Passed)]);
        add(&mut run, Run::from([(case("a"), Passed), (case("b"), Skipped), (case("c"), Skipped)]));
        assert_eq!(run, Run::from([(case("a"), Passed), (case("b"), Passed), (case("c"), Skipped)]));
    }

    #[test]
    fn rows_are_read_and_heads_are_not() {
        let page = "| file | case | why |\n|---|---|---|\n| f | a | needs x |\n| f | b \\| c | y |\ntext\n";
        assert_eq!(listed(page), BTreeSet::from([case("a"), case("b | c")]));
    }
}
