//! Hosts, layers and layouts that the tests share.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use archive::compression::{Compression, Encoder};
use archive::tar::{Header, Writer};
use base::Digest;
use engine::Paths;
use engine::images::{Event, Image, Images, LayerState, Progress, PullOptions, Remote};
use oci_spec::Reference;
use oci_spec::image::MediaType;
use registry::{RetryPolicy, Timeouts};
use serde_json::{Value, json};
use testkit::{TempDir, run};

/// A data root of the test's own.
pub(crate) struct Host {
    pub(crate) directory: TempDir,
    pub(crate) images: Images,
}

impl Host {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new();
        let images = open(directory.path());
        Self { directory, images }
    }

    pub(crate) fn pull(&self, reference: &str) -> Result<engine::images::Pulled, engine::images::Error> {
        let reference = Reference::parse(reference).unwrap();
        self.images.pull(&reference, &PullOptions::default(), &mut engine::images::Silent)
    }

    /// The content of `path` in an image, from the topmost layer that has it.
    pub(crate) fn read(&self, image: &Image, path: &str) -> Option<String> {
        let layers = self.images.snapshots().layers(&image.chain_id()?).unwrap();
        layers.iter().rev().find_map(|layer| fs::read_to_string(layer.path.join(path)).ok())
    }

    /// Names as `images` prints them.
    pub(crate) fn listed(&self) -> Vec<String> {
        let rows = self.images.list(&[]).unwrap();
        let text = |part: Option<String>| part.unwrap_or_else(|| "<none>".to_owned());
        let mut names: Vec<_> =
            rows.into_iter().map(|row| format!("{}:{}", text(row.repository), text(row.tag))).collect();
        names.sort();
        names
    }

    /// Every blob has its digest and every name what it needs.
    pub(crate) fn check(&self) {
        self.usable();
        let mut flaws = self.images.store().examine().unwrap();
        flaws.retain(|flaw| matches!(flaw, content::Flaw::Damaged { .. } | content::Flaw::Missing { .. }));
        assert_eq!(flaws, []);
    }

    /// Every name has what it needs.
    pub(crate) fn usable(&self) {
        for row in self.images.list(&[]).unwrap() {
            let image = self.images.find(&row.id.to_string(), None).unwrap();
            self.images.unpack(&image, &mut engine::images::Silent).unwrap();
            for layer in image.layers() {
                assert!(self.images.store().contains(&layer.descriptor.digest).unwrap());
            }
        }
    }
}

/// The images below `root`, with quick retries.
pub(crate) fn open(root: &Path) -> Images {
    let paths = Paths { root: root.join("data"), state: root.join("state") };
    let remote = Remote {
        docker_config: Some(root.join("docker/config.json")),
        hosts_directories: vec![root.join("certs.d")],
        retry: Some(RetryPolicy {
            attempts_max: 3,
            delay_first: Duration::from_millis(5),
            delay_max: Duration::from_millis(20),
            retry_after_max: Duration::from_secs(2),
        }),
        timeouts: Some(Timeouts { idle: Duration::from_secs(5), ..Timeouts::default() }),
        ..Remote::default()
    };
    Images::open(&paths).unwrap().with_remote(remote)
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Vec<(Digest, LayerState)>);

impl Progress for Told {
    fn event(&mut self, event: &Event) {
        if let Event::Layer { layer, state } = event {
            self.0.push((layer.clone(), state.clone()));
        }
    }
}

impl Told {
    /// The states of all layers, without the numbers in between.
    pub(crate) fn count(&self, state: &LayerState) -> usize {
        self.0.iter().filter(|(_, told)| told == state).count()
    }
}

/// A plain archive of files with their content.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        writer.append_bytes(&Header::file(*name, content.len() as u64), content).unwrap();
    }
    writer.finish().unwrap()
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// A layer: its archive, and how it is packed.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) archive: Vec<u8>,
    pub(crate) compression: Compression,
}

impl Layer {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        Self { archive: tar(files), compression: Compression::Gzip }
    }

    pub(crate) fn packed(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    fn blob(&self) -> (Vec<u8>, &'static str) {
        let mut encoder = Encoder::new(Vec::new(), self.compression).unwrap();
        encoder.write_all(&self.archive).unwrap();
        let media_type = match self.compression {
            Compression::None => MediaType::OCI_LAYER,
            Compression::Gzip => MediaType::OCI_LAYER_GZIP,
            Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
        };
        (encoder.finish().unwrap(), media_type)
    }
}

/// An OCI layout that is written here by hand, so that our own writer proves nothing to itself.
pub(crate) struct Layout {
    pub(crate) directory: TempDir,
    manifests: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new();
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { directory, manifests: Vec::new() }
    }

    /// A layout with one image under `tag`.
    pub(crate) fn of(tag: &str, layers: &[Layer]) -> Self {
        let mut layout = Self::new();
        layout.image(tag, layers);
        layout
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn blob(&self, content: &[u8], media_type: &str) -> Value {
        let digest = Digest::sha256_of(content);
        fs::write(self.directory.join("blobs/sha256").join(digest.hex()), content).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
    }

    /// The descriptor of an image's manifest.
    pub(crate) fn manifest(&self, layers: &[Layer], architecture: &str) -> Value {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::sha256_of(&layer.archive)).collect();
        let config = json!({
            "created": "2026-01-02T03:04:05Z", "architecture": architecture, "os": "linux",
            "config": { "Cmd": ["sh"], "Labels": { "made-by": "hand" } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": layers.iter().map(|_| json!({ "created_by": "ADD layer" })).collect::<Vec<_>>(),
        });
        let config = self.blob(config.to_string().as_bytes(), MediaType::OCI_CONFIG);
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let (blob, media_type) = layer.blob();
                self.blob(&blob, media_type)
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        self.blob(manifest.to_string().as_bytes(), MediaType::OCI_MANIFEST)
    }

    pub(crate) fn image(&mut self, tag: &str, layers: &[Layer]) {
        let descriptor = self.manifest(layers, "amd64");
        self.entry(tag, descriptor);
    }

    /// Names a descriptor in the layout's index.
    pub(crate) fn entry(&mut self, tag: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.manifests.push(descriptor);
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        fs::write(self.directory.join("index.json"), index.to_string()).unwrap();
    }

    /// An index of one image for each architecture, under `tag`.
    pub(crate) fn multi(&mut self, tag: &str, images: &[(&str, &[Layer])]) {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(architecture, layers)| {
                let mut descriptor = self.manifest(layers, architecture);
                descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
                descriptor
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests });
        let descriptor = self.blob(index.to_string().as_bytes(), MediaType::OCI_INDEX);
        self.entry(tag, descriptor);
    }
}

/// Three layers in the three packings; the upper ones change and delete files of the lower.
pub(crate) fn three_layers() -> Vec<Layer> {
    vec![
        Layer::new(&[("etc/base", b"base"), ("etc/gone", b"x"), ("data/noise", &noise(400_000, 7))]),
        Layer::new(&[("etc/.wh.gone", b""), ("etc/middle", b"middle")]).packed(Compression::Zstd),
        Layer::new(&[("etc/base", b"changed"), ("top", b"top")]).packed(Compression::None),
    ]
}

/// `skopeo copy FROM TO`; skopeo's cache and policy stay out of it.
pub(crate) fn skopeo_copy(from: &str, to: &str, extra: &[&str]) {
    let mut command = Command::new("skopeo");
    command.args([
        "--insecure-policy",
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ]);
    run(command.args(extra).args([from, to])).ok();
}

/// The manifest and configuration digests that skopeo sees.
pub(crate) fn skopeo_digests(image: &str) -> (String, String) {
    let inspect = |raw: &[&str]| {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "inspect", "--tls-verify=false"]);
        run(command.args(raw).arg(image)).ok().to_owned()
    };
    let raw = inspect(&["--raw"]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap_or_default().to_owned();
    (Digest::sha256_of(raw.as_bytes()).to_string(), config)
}

/// All regular files below `path`.
pub(crate) fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(path) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&path)),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    found
}
