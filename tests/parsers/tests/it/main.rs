//! The corpus and its mutations. A parser that panics fails its test, which tells the input.

// What a test cannot do fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parsers::mutate::{Random, mutation};
use parsers::{PARSERS, Parser};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The corpus, in an order that does not change.
fn corpus(parser: &Parser) -> Vec<Vec<u8>> {
    let dir = fuzz().join("corpus").join(parser.name);
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{} needs a corpus", parser.name);
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Reads an input, and tells it when that goes wrong.
fn read(parser: &Parser, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (parser.read)(input)));
    assert!(outcome.is_ok(), "{} with b\"{}\"", parser.name, input.escape_ascii());
}

#[test]
fn the_corpus_is_read_and_each_parser_has_a_fuzz_target() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for parser in PARSERS {
        corpus(parser).iter().for_each(|input| read(parser, input));
        assert!(fuzz().join(format!("fuzz_targets/{}.rs", parser.name)).is_file(), "{}", parser.name);
        assert!(manifest.contains(&format!("name = \"{}\"", parser.name)), "{}", parser.name);
    }
}

#[test]
fn mutations_of_the_corpus_are_read() {
    let inputs = inputs();
    for parser in PARSERS {
        let seeds = corpus(parser);
        for number in 0..inputs {
            read(parser, &mutation(&mut Random(number), &seeds));
        }
        report(&format!("{}: {inputs} mutations", parser.name));
    }
}

#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn inputs() -> u64 {
    std::env::var("STRAKE_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3000)
}

#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn report(line: &str) {
    use std::io::Write;
    let Some(path) = std::env::var_os("STRAKE_REPORT") else { return };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
