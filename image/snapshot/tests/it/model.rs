//! Random layers against a model of the OCI image-spec's `layer.md` in a map.

use std::collections::{BTreeMap, BTreeSet};

use archive::tar::Header;
use proptest::prelude::*;

use crate::tree::show_chain;
use crate::{add, store, tar};

/// An entry of a layer: its path and, for a file, its content.
#[derive(Clone, Debug)]
enum Entry {
    Directory(String),
    File(String, u8),
    Whiteout(String),
    Opaque(String),
}

/// What is at a path: the content of a file, or a directory.
type Files = BTreeMap<String, Option<u8>>;

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn remove_below(files: &mut Files, path: &str) {
    let below = format!("{path}/");
    files.retain(|known, _| !known.starts_with(&below));
}

/// What a layer has itself, and what it takes from lower ones.
fn apply(lower: &Files, entries: &[Entry]) -> Files {
    let (mut own, mut whiteouts, mut opaque) = (Files::new(), BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let path = match entry {
            Entry::Directory(path) | Entry::File(path, _) | Entry::Whiteout(path) => path.clone(),
            Entry::Opaque(path) => format!("{path}/x"),
        };
        for parent in parents(&path) {
            own.entry(parent.to_owned()).or_insert(None);
        }
        match entry {
            Entry::Directory(path) => drop(own.insert(path.clone(), None)),
            Entry::File(path, content) => drop(own.insert(path.clone(), Some(*content))),
            Entry::Whiteout(path) => drop(whiteouts.insert(path.clone())),
            Entry::Opaque(path) => drop(opaque.insert(path.clone())),
        }
    }
    let mut files = lower.clone();
    for path in &whiteouts {
        files.remove(path);
        remove_below(&mut files, path);
    }
    opaque.iter().for_each(|path| remove_below(&mut files, path));
    for (path, what) in own {
        if what.is_some() || files.get(&path).is_some_and(Option::is_some) {
            remove_below(&mut files, &path);
        }
        files.insert(path, what);
    }
    files
}

fn show(files: &Files) -> String {
    let word = |(path, what): (&String, &Option<u8>)| match what {
        Some(content) => format!("{path}={content}"),
        None => format!("{path}/"),
    };
    // In the order of a walk: names, not paths, are compared.
    let mut all: Vec<_> = files.iter().collect();
    all.sort_by_key(|(path, _)| path.split('/').map(str::to_owned).collect::<Vec<_>>());
    all.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

fn archive_of(entries: &[Entry]) -> Vec<u8> {
    let entries: Vec<(Header, Vec<u8>)> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Directory(path) => (Header::directory(path.as_str()), Vec::new()),
            Entry::File(path, content) => (Header::file(path.as_str(), 0), content.to_string().into_bytes()),
            Entry::Whiteout(path) => {
                let (directory, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(d, n)| (d, n));
                let separator = if directory.is_empty() { "" } else { "/" };
                (Header::file(format!("{directory}{separator}.wh.{name}"), 0), Vec::new())
            }
            Entry::Opaque(path) => (Header::file(format!("{path}/.wh..wh..opq"), 0), Vec::new()),
        })
        .collect();
    tar(&entries.iter().map(|(header, content)| (header.clone(), &content[..])).collect::<Vec<_>>())
}

fn entry() -> impl Strategy<Value = Entry> {
    let path = || {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
            .prop_map(|p| p.join("/"))
    };
    prop_oneof![
        2 => path().prop_map(Entry::Directory),
        4 => (path(), any::<u8>()).prop_map(|(path, content)| Entry::File(path, content)),
        2 => path().prop_map(Entry::Whiteout),
        1 => path().prop_map(Entry::Opaque),
    ]
}

/// What a whiteout hides stays hidden, whatever comes in its place in the same layer.
#[test]
fn a_directory_after_a_file_after_a_whiteout_is_empty() {
    let (file, directory) = (|| Entry::File("c".to_owned(), 0), || Entry::Directory("c".to_owned()));
    let whiteout = || Entry::Whiteout("c".to_owned());
    for upper in [
        vec![whiteout(), file(), directory()],
        vec![file(), whiteout(), directory()],
        vec![whiteout(), directory(), file(), directory()],
    ] {
        let (_directory, store) = store();
        let lower = [Entry::File("c/a".to_owned(), 0)];
        let below = add(&store, &archive_of(&lower), None).unwrap();
        let layer = add(&store, &archive_of(&upper), Some(&below.chain_id)).unwrap();
        let expected = apply(&apply(&Files::new(), &lower), &upper);
        assert_eq!(show(&expected), "c/", "{upper:?}");
        assert_eq!(show_chain(&store, &layer.chain_id), "c/", "{upper:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_make_what_the_model_says(layers in proptest::collection::vec(proptest::collection::vec(entry(), 1..7), 1..5)) {
        let (_directory, store) = store();
        let (mut parent, mut files) = (None, Files::new());
        for entries in &layers {
            // A path through a file is refused; the chain then stays as it is.
            let Ok(layer) = add(&store, &archive_of(entries), parent.as_ref()) else { continue };
            files = apply(&files, entries);
            prop_assert_eq!(show_chain(&store, &layer.chain_id), show(&files));
            parent = Some(layer.chain_id);
        }
    }
}
