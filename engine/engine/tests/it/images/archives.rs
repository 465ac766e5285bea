//! Save, load and import, against what skopeo and umoci write and read.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::{Classified as _, Digest, ErrorClass};
use engine::images::{Change, Error, ImportOptions, LoadSource, SaveFormat, SaveTarget, Silent};
use oci_spec::Reference;
use testkit::{TempDir, run};

use super::support::{Host, Layer, Layout, skopeo_copy, skopeo_digests, tar, three_layers};

fn load(host: &Host, path: &Path) -> Vec<engine::images::Loaded> {
    let source = match path.is_dir() {
        true => LoadSource::Directory(path.to_owned()),
        false => LoadSource::File(path.to_owned()),
    };
    host.images.load(source, None, None, &mut Silent).unwrap()
}

/// A host with the three-layer image under `app:1`.
fn loaded() -> (Host, Digest) {
    let host = Host::new();
    let layout = Layout::of("1", &three_layers());
    let reference = Reference::parse("app:1").unwrap();
    let source = LoadSource::Directory(layout.path().to_owned());
    let loaded = host.images.load(source, Some(&reference), None, &mut Silent).unwrap();
    assert_eq!(loaded[0].reference.as_ref(), Some(&reference));
    host.check();
    let id = loaded[0].id.clone();
    (host, id)
}

fn save(host: &Host, names: &[&str], format: SaveFormat, file: &str) -> PathBuf {
    let path = host.directory.join(file);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    host.images.save(&names, format, SaveTarget::File(path.clone())).unwrap();
    path
}

#[test]
fn skopeo_reads_what_we_save() {
    let (host, id) = loaded();
    let scratch = TempDir::new();
    let docker = save(&host, &["app:1"], SaveFormat::DockerArchive, "docker.tar");
    let archive = save(&host, &["app:1"], SaveFormat::OciArchive, "oci.tar");
    let layout = save(&host, &["app:1"], SaveFormat::OciDir, "layout");
    let manifest = host.images.find("app:1", None).unwrap().manifest_descriptor.digest.to_string();
    for (source, name) in [
        (format!("oci-archive:{}:1", archive.display()), "a"),
        (format!("oci:{}:1", layout.display()), "b"),
        (format!("oci-archive:{}", docker.display()), "c"),
    ] {
        let copy = format!("oci:{}:x", scratch.join(name).display());
        skopeo_copy(&source, &copy, &["--preserve-digests"]);
        assert_eq!(skopeo_digests(&copy), (manifest.clone(), id.to_string()), "{source}");
    }
    // As docker's own form only the configuration's digest is kept.
    let copy = format!("oci:{}:x", scratch.join("d").display());
    skopeo_copy(&format!("docker-archive:{}:app:1", docker.display()), &copy, &[]);
    let again = Host::new();
    assert_eq!(
        again
            .read(
                &again.images.find(&load(&again, &scratch.join("d"))[0].id.to_string(), None).unwrap(),
                "top"
            )
            .as_deref(),
        Some("top")
    );
}

#[test]
fn umoci_unpacks_what_we_save() {
    let (host, _) = loaded();
    // umoci knows no zstd.
    let plain = Host::new();
    let gzip = three_layers().into_iter().map(|layer| layer.packed(archive::compression::Compression::Gzip));
    let layout = Layout::of("1", &gzip.collect::<Vec<_>>());
    let reference = Reference::parse("app:1").unwrap();
    let source = LoadSource::Directory(layout.path().to_owned());
    plain.images.load(source, Some(&reference), None, &mut Silent).unwrap();
    let saved = save(&plain, &["app:1"], SaveFormat::OciDir, "layout");
    let bundle = host.directory.join("bundle");
    run(Command::new("umoci").args(["unpack", "--image"]).arg(format!("{}:1", saved.display())).arg(&bundle))
        .ok();
    assert_eq!(fs::read_to_string(bundle.join("rootfs/etc/base")).unwrap(), "changed");
    assert!(!bundle.join("rootfs/etc/gone").exists());
}

#[test]
fn loads_what_skopeo_writes() {
    let scratch = TempDir::new();
    let gzip = three_layers().into_iter().map(|layer| layer.packed(archive::compression::Compression::Gzip));
    let layout = Layout::of("1", &gzip.collect::<Vec<_>>());
    let source = format!("oci:{}:1", layout.path().display());
    let (docker, oci) = (scratch.join("docker.tar"), scratch.join("oci.tar"));
    skopeo_copy(&source, &format!("docker-archive:{}:named.example/app:2", docker.display()), &[]);
    skopeo_copy(&source, &format!("oci-archive:{}:named.example/app:3", oci.display()), &[]);
    run(Command::new("gzip").arg("-k").arg(&docker)).ok();
    for (path, name) in [
        (docker.clone(), Some("named.example/app:2")),
        (scratch.join("docker.tar.gz"), Some("named.example/app:2")),
        (oci, Some("named.example/app:3")),
        (layout.path().to_owned(), None),
    ] {
        let host = Host::new();
        let loaded = load(&host, &path);
        assert_eq!(loaded.len(), 1, "{}", path.display());
        assert_eq!(
            loaded[0].reference.as_ref().map(Reference::familiar).as_deref(),
            name,
            "{}",
            path.display()
        );
        let image = host.images.find(&loaded[0].id.to_string(), None).unwrap();
        assert_eq!(host.read(&image, "etc/base").as_deref(), Some("changed"));
        host.check();
    }
    // The same as a stream, and the same configuration as in the layout.
    let host = Host::new();
    let stream = LoadSource::Stream(Box::new(Cursor::new(fs::read(&docker).unwrap())));
    let loaded = host.images.load(stream, None, None, &mut Silent).unwrap();
    assert_eq!(loaded[0].id.to_string(), skopeo_digests(&source).1);
}

#[test]
fn loads_what_umoci_writes() {
    let scratch = TempDir::new();
    let umoci =
        |args: &[&str]| run(Command::new("umoci").current_dir(scratch.path()).args(args)).ok().to_owned();
    umoci(&["init", "--layout", "made"]);
    umoci(&["new", "--image", "made:v1"]);
    umoci(&["unpack", "--image", "made:v1", "bundle"]);
    fs::write(scratch.join("bundle/rootfs/hello"), "umoci").unwrap();
    umoci(&["repack", "--image", "made:v1", "bundle"]);
    let host = Host::new();
    let reference = Reference::parse("made:v1").unwrap();
    let source = LoadSource::Directory(scratch.join("made"));
    let loaded = host.images.load(source, Some(&reference), None, &mut Silent).unwrap();
    let image = host.images.find("made:v1", None).unwrap();
    assert_eq!(image.id, loaded[0].id);
    assert_eq!(host.read(&image, "hello").as_deref(), Some("umoci"));
}

#[test]
fn our_archives_come_back_whole() {
    let (host, id) = loaded();
    host.images.tag("app:1", &Reference::parse("q.example/other:2").unwrap()).unwrap();
    for format in [SaveFormat::DockerArchive, SaveFormat::OciArchive, SaveFormat::OciDir] {
        let path = save(&host, &[&id.hex()[..12]], format, &format!("{format:?}"));
        let second = Host::new();
        let loaded = load(&second, &path);
        assert_eq!(loaded.len(), 2, "an id is saved with all its names");
        assert_eq!(second.listed(), host.listed());
        assert_eq!(
            second.images.find("app:1", None).unwrap().manifest_descriptor,
            host.images.find("app:1", None).unwrap().manifest_descriptor
        );
        second.check();
    }
    // A second image goes into the same layout.
    let layout = save(&host, &["app:1"], SaveFormat::OciDir, "both");
    host.images.tag("app:1", &Reference::parse("app:9").unwrap()).unwrap();
    save(&host, &["app:9"], SaveFormat::OciDir, "both");
    let _ = layout;
    assert!(
        !host
            .directory
            .path()
            .read_dir()
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("partial"))
    );
}

#[test]
fn imports_a_root_filesystem_with_changes() {
    let host = Host::new();
    let archive = tar(&[("bin/tool", b"#!"), ("etc/name", b"imported")]);
    let options = ImportOptions {
        reference: Some(Reference::parse("mine:1").unwrap()),
        changes: ["CMD [\"tool\"]", "ENV A=1", "LABEL x=y"].map(|text| Change::parse(text).unwrap()).to_vec(),
        message: Some("by hand".to_owned()),
        ..ImportOptions::default()
    };
    let image = host.images.import(&mut Cursor::new(&archive), "rootfs.tar", &options).unwrap();
    assert_eq!(host.read(&image, "etc/name").as_deref(), Some("imported"));
    let shown = host.images.inspect(&host.images.find("mine:1", None).unwrap()).unwrap();
    assert_eq!(shown["Config"]["Cmd"][0], "tool");
    assert_eq!(shown["Config"]["Env"][0], "A=1");
    assert_eq!(shown["RepoTags"][0], "mine:1");
    assert_eq!(shown["RootFS"]["Layers"][0], Digest::sha256_of(&archive).to_string());
    assert_eq!(shown["Comment"], "by hand");
    assert_eq!(shown["Config"]["Volumes"], serde_json::Value::Null);
    let history = host.images.history(&image).unwrap();
    assert_eq!((history.len(), history[0].comment.as_str()), (1, "by hand"));
    // The same content is the same image.
    let again = host.images.import(&mut Cursor::new(&archive), "rootfs.tar", &options).unwrap();
    assert_eq!(again.id, image.id);
    host.check();
}

#[test]
fn archives_that_are_none_or_damaged_leave_nothing() {
    let host = Host::new();
    let scratch = TempDir::new();
    let layout = Layout::of("1", &three_layers());
    let blobs = layout.path().join("blobs/sha256");
    let largest = fs::read_dir(&blobs)
        .unwrap()
        .flatten()
        .max_by_key(|entry| entry.metadata().unwrap().len())
        .unwrap()
        .path();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let refuse = |path: &Path| {
        let source = match path.is_dir() {
            true => LoadSource::Directory(path.to_owned()),
            false => LoadSource::File(path.to_owned()),
        };
        let error = host.images.load(source, None, None, &mut Silent).unwrap_err();
        assert!(host.listed().is_empty(), "{error}");
        error
    };
    let error = refuse(layout.path());
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error:?}");
    assert!(super::pull::cli_chain(&error).contains("sha256:"), "{error}");
    let files: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("text", b"this is no archive at all".repeat(100)),
        ("other.tar", tar(&[("readme", b"hello")])),
        (
            "lacks.tar",
            tar(&[("manifest.json", br#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":["l"]}]"#)]),
        ),
    ];
    for (name, content) in files {
        let path = scratch.join(name);
        fs::write(&path, content).unwrap();
        let error = refuse(&path);
        assert!(matches!(error, Error::Archive { .. } | Error::ArchiveIo { .. }), "{name}: {error:?}");
        assert!(super::pull::cli_chain(&error).contains(name), "{error}");
    }
    host.images.prune(false, &[], &[]).unwrap();
    assert!(host.images.store().blobs().unwrap().is_empty());
    let _ = Layer::new(&[]);
}
