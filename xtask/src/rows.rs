//! `docs/rows.md`: the statements that the product holds, read off the names of the tests.
//!
//! A row is green when a test carries its id: `ns_01_pid_one_inside` proves row NS-01.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::sizes::sources;

/// Row id → tests that carry it.
type Rows = BTreeMap<String, Vec<Proof>>;

/// What ids begin with.
const AREAS: [&str; 13] = ["ns", "cg", "fs", "se", "rt", "en", "nw", "xx", "po", "cp", "nd", "lc", "k3"];

#[derive(Debug, PartialEq)]
struct Proof {
    sentence: String,
    file: String,
}

/// The page for the workspace at `root`.
pub(crate) fn page(root: &Path) -> Result<String> {
    let mut rows = Rows::new();
    for dir in
        ["base", "kernel", "runtime", "image", "net", "engine", "kube", "product", "bin", "bench", "tests"]
    {
        for file in sources(&root.join(dir))? {
            let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
            collect(&mut rows, &name, &fs::read_to_string(&file)?);
        }
    }
    Ok(render(&rows))
}

fn collect(rows: &mut Rows, file: &str, source: &str) {
    let mut after_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            after_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            if let (true, Some((id, sentence))) = (after_test, row_of(name)) {
                rows.entry(id).or_default().push(Proof { sentence, file: file.to_owned() });
            }
            after_test = false;
        }
    }
}

/// `ns_01_pid_one_inside` → (`NS-01`, `pid one inside`).
fn row_of(test: &str) -> Option<(String, String)> {
    let (area, rest) = test.split_once('_')?;
    let (number, sentence) = rest.split_once('_')?;
    let known = AREAS.contains(&area);
    let counted = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    (known && counted).then(|| (format!("{}-{number}", area.to_uppercase()), sentence.replace('_', " ")))
}

fn render(rows: &Rows) -> String {
    let mut page = String::from(
        "# Rows\n\nThe statements that the product holds, each with the tests that prove it on a real kernel. Generated \
         from the\ntests' names by `cargo xtask docs`; run one with `cargo test ns_01`.\n\n| row | what is shown | where \
         |\n|---|---|---|\n",
    );
    for (id, proofs) in rows {
        for proof in proofs {
            let _ = writeln!(page, "| {id} | {} | `{}` |", proof.sentence, proof.file);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_with_a_row_id_count() {
        let mut rows = Rows::new();
        let source = "#[test]\nfn ns_01_pid_one() {}\nfn ns_02_no_test() {}\n#[test]\nfn ns_x() {}\n#[test]\nfn te_01_a() {}";
        collect(&mut rows, "a.rs", source);
        let proof = Proof { sentence: "pid one".to_owned(), file: "a.rs".to_owned() };
        assert_eq!(rows, Rows::from([("NS-01".to_owned(), vec![proof])]));
    }
}
