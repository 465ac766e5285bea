//! Every parser of foreign bytes below the engine, as a function from bytes to nothing: what they say
//! is an error or sound, and never a panic, an endless loop or much memory.
//!
//! ```text
//! fuzz/corpus/NAME ─┬─▶ the tests here: as they are, and mutated by a seed
//!                   └─▶ fuzz/fuzz_targets/NAME: libFuzzer
//! ```

// What a parser must not give ends in a panic: that is what a fuzzer looks for.
#![allow(clippy::panic)]

pub mod mutate;
mod netlink;

use std::path::{Component, Path};

use archive::tar::{Limits, Reader};
use oci_runtime::ContainerRecord;
use oci_spec::image::{Document, ImageConfig};
use oci_spec::runtime::LinuxSeccomp;
use sys::seccomp::{Arch, Call, Filter};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Parser {
    /// The directory of its corpus, and its fuzz target.
    pub name: &'static str,
    /// Reads bytes.
    pub read: fn(&[u8]),
}

/// All of them.
pub const PARSERS: &[Parser] = &[
    Parser { name: "config", read: config },
    Parser { name: "state", read: state },
    Parser { name: "seccomp", read: seccomp },
    Parser { name: "netlink", read: netlink::answers },
    Parser { name: "tar", read: tar },
    Parser { name: "image", read: image },
    Parser { name: "cni", read: cni },
    Parser { name: "proc", read: proc },
];

/// Reads bytes with the parser of that name, for fuzz targets.
///
/// # Panics
/// When there is none, or when it has a defect.
pub fn read(name: &str, bytes: &[u8]) {
    match PARSERS.iter().find(|parser| parser.name == name) {
        Some(parser) => (parser.read)(bytes),
        None => panic!("no parser {name}"),
    }
}

/// A bundle's `config.json`, to the plan.
fn config(bytes: &[u8]) {
    let Ok(loaded) = oci_runtime::bundle::parse(bytes, Path::new("/bundle/config.json")) else { return };
    if let Some(section) = loaded.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        compile(section);
    }
    let Ok(plan) = oci_runtime::plan::plan(&loaded.spec, Path::new("/bundle")) else { return };
    let climbs = |path: &Path| path.components().any(|part| part == Component::ParentDir);
    for (path, _) in &plan.sysctl {
        assert!(!climbs(path) && path.is_relative(), "sysctl {}", path.display());
    }
    for mount in &plan.mounts {
        assert!(mount.destination.is_absolute(), "destination {}", mount.destination.display());
    }
}

/// A container's `state.json`.
fn state(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<ContainerRecord>(bytes) else { return };
    let again = serde_json::to_vec(&record).and_then(|text| serde_json::from_slice(&text));
    assert_eq!(again.ok().as_ref(), Some(&record), "written, it is another");
}

/// A seccomp section.
fn seccomp(bytes: &[u8]) {
    if let Ok(section) = serde_json::from_slice::<LinuxSeccomp>(bytes) {
        compile(&section);
    }
}

/// What is compiled, the kernel takes: it ends, and its jumps stay inside.
fn compile(section: &LinuxSeccomp) {
    let Ok(filter) = oci_runtime::seccomp::compile(section) else { return };
    let program = filter.program();
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    for (at, instruction) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let furthest = match instruction.code & 0x07 {
            // A return, a jump, all others.
            0x06 => continue,
            0x05 if instruction.code == 0x05 => instruction.k as usize,
            0x05 => usize::from(instruction.jt.max(instruction.jf)),
            _ => 0,
        };
        assert!(furthest < left, "instruction {at} of {} jumps too far: {instruction:?}", program.len());
    }
    evaluate(&filter);
}

fn evaluate(filter: &Filter) {
    for arch in Arch::ALL {
        for number in [0, 41, 56, 135, 435, 0x4000_0000, u32::MAX] {
            for argument in [0, 1 << 32, u64::MAX] {
                let _ = filter.evaluate(&Call { number, audit: arch.audit(), arguments: [argument; 6] });
            }
        }
    }
}

/// A layer: compressed or not, its entries and their content.
fn tar(bytes: &[u8]) {
    use std::io::Read;
    let Ok(decoder) = archive::compression::Decoder::detect(bytes) else { return };
    let limits = Limits { entries: 10_000, ..Limits::default() };
    // Some bytes can stand for very many.
    let mut reader = Reader::with_limits(decoder.take(1 << 22), limits);
    while let Ok(Some(mut entry)) = reader.next_entry() {
        let size = entry.header().size;
        let mut stored = 0;
        while let Ok(Some(chunk)) = entry.next_chunk() {
            let (offset, count) = (chunk.offset, chunk.bytes.len());
            assert!(count > 0, "a chunk of nothing");
            assert!(offset.checked_add(count as u64).is_some_and(|end| end <= size), "a chunk past the end");
            stored += count;
            entry.consume(count);
        }
        assert!(stored <= 1 << 22, "more content than bytes");
    }
}

/// Manifests, indexes, configurations and references.
fn image(bytes: &[u8]) {
    if let Ok(document) = Document::parse(bytes.to_vec(), None) {
        assert_eq!(document.raw(), bytes, "the bytes that a digest is over");
        let _ = (document.media_type(), document.digest());
    }
    if let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes) {
        let _ = config.chain_ids();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = oci_spec::Reference::parse(text) {
        let familiar = reference.familiar();
        assert_eq!(oci_spec::Reference::parse(&familiar).as_ref(), Ok(&reference), "{familiar}");
    }
}

/// What a CNI plugin answers, and lists of networks.
fn cni(bytes: &[u8]) {
    if let Ok(result) = serde_json::from_slice::<cni::NetworkResult>(bytes) {
        let _ = result.container_ips().count();
        let _ = result.container_interface("eth0");
    }
    let _ = serde_json::from_slice::<cni::Failure>(bytes);
    let _ = cni::NetworkList::parse_single(bytes);
    if let Ok(list) = cni::NetworkList::parse(bytes) {
        let again = cni::NetworkList::parse(&list.to_bytes());
        assert!(again.is_ok(), "written, it cannot be read: {again:?}");
    }
}

/// What the kernel tells as text: of processes that name themselves and of mounts that others name.
fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = inspect::mounts::parse(&text);
    let _ = inspect::cgroups::parse_membership(&text);
    let _ = sys::process::ProcStat::parse(&text);
    let _ = cgroup::Layout::parse(&text, &text);
    let _ = cgroup::CgroupPath::parse(Some(&text), "id", cgroup::Driver::Cgroupfs);
    let _ = cgroup::CgroupPath::parse(Some(&text), "id", cgroup::Driver::Systemd);
}
