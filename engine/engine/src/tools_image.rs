//! The built-in image: one layer made of the running program, so that the first container
//! needs no registry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use archive::tar::{Header, TarError, Writer};
use oci_spec::Reference;
use oci_spec::image::ContainerConfig;
use serde_json::json;

use crate::engine::Engine;
use crate::error::Error;
use crate::images::ImportOptions;

/// The built-in image's repository.
pub const TOOLS_IMAGE: &str = "strake.local/tools";

/// The executable cannot be an image.
#[derive(Debug, thiserror::Error)]
pub enum ToolsImageError {
    /// It needs libraries that the image does not have.
    #[error(
        "the built-in image needs a static strake, and this one is linked to shared libraries; build one with `cargo xtask build`"
    )]
    NotStatic,
    /// The layer could not be written.
    #[error("make the layer of the built-in image")]
    Layer(#[from] TarError),
}

impl Engine {
    /// Whether `name` means the built-in image.
    pub fn is_tools_image(name: &str) -> bool {
        Reference::parse(name)
            .is_ok_and(|reference| reference.repository() == TOOLS_IMAGE && reference.digest().is_none())
    }

    /// Makes the built-in image of `executable`, unless it was made of this very file
    /// before. `tools` are the names that it answers to.
    pub fn ensure_tools_image(&self, executable: &Path, tools: &[&str]) -> Result<(), Error> {
        let metadata = fs::metadata(executable).map_err(Error::file("look at", executable))?;
        let (size, inode, time) = (metadata.size(), metadata.ino(), metadata.mtime_nsec());
        let identity = format!("{size} {inode} {} {time}\n", metadata.mtime());
        let marker = self.paths().state.join("tools-image");
        let images = self.images()?;
        if fs::read_to_string(&marker).is_ok_and(|text| text == identity)
            && images.try_find(TOOLS_IMAGE, None)?.is_some()
        {
            return Ok(());
        }
        let program = fs::File::open(executable).map_err(Error::file("open", executable))?;
        let mut head = Vec::new();
        (&program).take(HEAD_MAX).read_to_end(&mut head).map_err(Error::file("read", executable))?;
        let store = images.store().root();
        let spool = images.spool_file().map_err(Error::file("make a file in", store))?;
        // Never in memory as a whole: it is the largest thing that a node has at its start.
        let mut layer = layer(spool, (&head, head.as_slice().chain(program), size), tools)?;
        layer.rewind().map_err(Error::file("go back in a file of", store))?;
        let reference = Reference::parse(TOOLS_IMAGE).map_err(crate::images::Error::from)?;
        let options = ImportOptions {
            reference: Some(reference),
            config: config(),
            message: Some("strake itself".to_owned()),
            // Always the same, so that the same program is always the same image.
            created: Some(SystemTime::UNIX_EPOCH),
            ..ImportOptions::default()
        };
        images.import(&mut layer, TOOLS_IMAGE, &options)?;
        fs::create_dir_all(&self.paths().state)
            .map_err(Error::file("make the directory", &self.paths().state))?;
        fs::write(&marker, identity).map_err(Error::file("write", &marker))
    }
}

fn config() -> ContainerConfig {
    ContainerConfig {
        env: vec!["PATH=/bin".to_owned()],
        cmd: vec!["/whoami".to_owned()],
        exposed_ports: BTreeMap::from([("80/tcp".to_owned(), json!({}))]),
        labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "strake tools".to_owned())]),
        ..ContainerConfig::default()
    }
}

/// Writes the layer. Of the program there are its first bytes, all of them, and how many these are.
fn layer<W: Write>(
    sink: W,
    (head, program, size): (&[u8], impl Read, u64),
    tools: &[&str],
) -> Result<W, ToolsImageError> {
    if !is_static(head) {
        return Err(ToolsImageError::NotStatic);
    }
    let mut tar = Writer::new(sink);
    for (path, mode) in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        tar.append_empty(&Header::directory(path).with_mode(mode))?;
    }
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnobody:x:65534:\n"),
        ("etc/os-release", "ID=strake\nNAME=strake\nPRETTY_NAME=\"strake tools\"\n"),
    ] {
        tar.append_bytes(&Header::file(path, text.len() as u64).with_mode(0o644), text.as_bytes())?;
    }
    tar.append(&Header::file("strake", size).with_mode(0o755), program)?;
    for tool in tools {
        tar.append_empty(&Header::symlink(format!("bin/{tool}"), "/strake"))?;
    }
    for tool in ["pause", "whoami", "probe"] {
        tar.append_empty(&Header::symlink(tool, "/strake"))?;
    }
    Ok(tar.finish()?)
}

/// So much of a program has its program headers.
const HEAD_MAX: u64 = 64 << 10;

/// Whether an ELF file, of which these are the first bytes, asks for no dynamic linker (`elf(5)`: no `PT_INTERP`).
fn is_static(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let word = |at: usize, len: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    if program.get(..5) != Some(b"\x7fELF\x02") {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (word(32, 8), word(54, 2), word(56, 2)) else {
        return false;
    };
    (0..count).all(|index| {
        let at = usize::try_from(table + index * size).unwrap_or(usize::MAX);
        word(at, 4).is_some_and(|kind| kind != u64::from(PT_INTERP))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of an ELF file with one program header of that type.
    fn elf(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64..68].copy_from_slice(&kind.to_le_bytes());
        file
    }

    #[test]
    fn only_static_programs_become_images() {
        assert!(is_static(&elf(1)));
        assert!(!is_static(&elf(3)));
        assert!(!is_static(b"#!/bin/sh"));
        assert!(!is_static(&elf(1)[..60]));
    }

    #[test]
    fn the_same_program_is_the_same_layer() {
        let of = |elf: &[u8]| layer(Vec::new(), (elf, elf, elf.len() as u64), &["ls"]);
        assert_eq!(of(&elf(1)).unwrap(), of(&elf(1)).unwrap());
        assert!(matches!(of(&elf(3)), Err(ToolsImageError::NotStatic)));
    }

    #[test]
    fn knows_its_name() {
        for (name, is) in
            [("strake.local/tools", true), ("strake.local/tools:latest", true), ("tools", false)]
        {
            assert_eq!(Engine::is_tools_image(name), is, "{name}");
        }
    }
}
