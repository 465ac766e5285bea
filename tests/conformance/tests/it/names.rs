//! Every spec that needs no node has its one test, by its codename; of the others some have one.

use std::collections::BTreeMap;
use std::path::Path;

/// The codenames of release 1.36 that need neither a node nor a network of pods, or only what a node writes of its
/// pods, one a line.
const SPECS: &str = include_str!("../../specs.txt");
/// The others, of which some can be shown with nodes that only the API knows.
const NODE_SPECS: &str = include_str!("../../specs-nodes.txt");

/// The comments that stand above tests, each in one line and without backticks.
fn comments(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            comments(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut comment = Vec::new();
        for line in text.lines().map(str::trim) {
            match (line.strip_prefix("///"), line) {
                (Some(words), _) => comment.push(words.trim()),
                (None, "#[test]") => found.push(comment.join(" ")),
                // Other attributes may stand between the two.
                (None, line) if line.starts_with("#[") => {}
                (None, _) => comment.clear(),
            }
        }
    }
}

/// A codename without what a comment puts around it.
fn plain(text: &str) -> String {
    const LAST: &str = "[Conformance]";
    let end = text.find(LAST).map_or(text.len(), |at| at + LAST.len());
    text.get(..end).unwrap_or(text).trim_start_matches('`').trim().to_owned()
}

#[test]
fn every_spec_has_one_test() {
    let mut found = Vec::new();
    comments(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut found);
    let mut tests: BTreeMap<String, usize> = BTreeMap::new();
    for comment in found.iter().map(|comment| plain(comment)).filter(|comment| comment.starts_with("[sig-")) {
        *tests.entry(comment).or_default() += 1;
    }
    let specs: Vec<String> = SPECS.lines().map(plain).collect();
    assert_eq!(specs.len(), 154);
    let count = |spec: &String| tests.get(spec).copied().unwrap_or(0);
    let wrong: Vec<_> =
        specs.iter().filter(|spec| count(spec) != 1).map(|spec| (spec, count(spec))).collect();
    assert!(wrong.is_empty(), "not exactly one test: {wrong:#?}");
    let others: Vec<String> = NODE_SPECS.lines().map(plain).collect();
    let twice: Vec<_> = others.iter().filter(|spec| count(spec) > 1).collect();
    assert!(twice.is_empty(), "more than one test: {twice:#?}");
    let is_known = |name: &&String| specs.contains(name) || others.contains(name);
    let strangers: Vec<_> = tests.keys().filter(|name| !is_known(name)).collect();
    assert!(strangers.is_empty(), "no specs of these names: {strangers:#?}");
}
