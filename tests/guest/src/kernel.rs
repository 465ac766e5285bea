//! The guest's kernel, out of Debian's packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::{Needs, cached, run};

/// Files of Debian's packages that a guest is made of, unpacked.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
}

/// Downloads and unpacks once: the kernel, the modules named in [`MODULES`], and the compilers of security policies.
///
/// # Panics
/// When a package cannot be had or is not as expected.
pub fn kernel() -> Kernel {
    let dir = cached("guest-kernel-tun", Needs::Network, |dir, scratch| {
        fs::create_dir(dir).expect("fixture directory");
        let image = image_package();
        // _apt, which downloads, must be able to write there.
        let packages = [image.as_str(), "apparmor", "checkpolicy"];
        run(Command::new("apt-get").current_dir(scratch).args(["-q", "download"]).args(packages)).ok();
        let root = scratch.join("root");
        for file in fs::read_dir(scratch).expect("scratch").flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&root)).ok();
            }
        }
        let version = image.trim_start_matches("linux-image-");
        let bytes = fs::read(root.join(format!("boot/vmlinuz-{version}"))).expect("the kernel's image");
        fs::write(dir.join("vmlinux"), vmlinux(&bytes)).expect("vmlinux");
        let modules = root.join("lib/modules").join(version).join("kernel");
        for path in EARLY_MODULES.iter().chain(MODULES) {
            let name = path.rsplit('/').next().unwrap_or(path);
            fs::copy(modules.join(path), dir.join(name)).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        for path in ["sbin/apparmor_parser", "usr/bin/checkpolicy"] {
            let name = path.rsplit('/').next().unwrap_or(path);
            fs::copy(root.join(path), dir.join(name)).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    });
    Kernel { dir }
}

impl Kernel {
    /// The kernel as QEMU starts it fastest: not compressed.
    pub fn vmlinux(&self) -> PathBuf {
        self.dir.join("vmlinux")
    }

    /// One of the unpacked files, by name: `overlay.ko`, `apparmor_parser`, `checkpolicy`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The modules without which there is no disk, in the order in which they load.
    pub(crate) fn early_modules(&self) -> impl Iterator<Item = PathBuf> {
        self.named(EARLY_MODULES)
    }

    /// All others, in the order in which they load.
    pub(crate) fn modules(&self) -> impl Iterator<Item = PathBuf> {
        self.named(MODULES)
    }

    fn named(&self, paths: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
        paths.iter().map(|path| self.dir.join(path.rsplit('/').next().unwrap_or(path)))
    }
}

/// The package that `linux-image-cloud-amd64` stands for today.
fn image_package() -> String {
    let depends = || {
        let said = run(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"])).stdout;
        said.lines().find_map(|line| Some(line.trim().strip_prefix("Depends: ")?.to_owned()))
    };
    depends().unwrap_or_else(|| {
        run(Command::new("apt-get").args(["-q", "update"])).ok();
        depends().expect("Debian's linux-image-cloud-amd64 is in apt's lists")
    })
}

/// The kernel that a bzImage has inside: Documentation/arch/x86/boot.rst, `payload_offset`. Debian packs it as
/// legacy lz4 frames.
fn vmlinux(image: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes")) as usize;
    let setup_sectors = usize::from(image[0x1f1]);
    let start = (setup_sectors + 1) * 512 + word(0x248);
    let payload = &image[start..start + word(0x24c)];
    // Behind the frames there is the length of what they unpack to.
    let (frames, length) = payload.split_at(payload.len() - 4);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let kernel = lz4_legacy(frames, length);
    assert_eq!(kernel.get(..4), Some(&b"\x7fELF"[..]), "the kernel is an ELF file");
    kernel
}

/// Blocks of up to 8 MiB, each after its packed length.
fn lz4_legacy(frames: &[u8], length: usize) -> Vec<u8> {
    let mut rest = frames.strip_prefix(&LZ4_LEGACY).expect("the kernel is packed by lz4");
    let mut out = Vec::with_capacity(length);
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let (block, next) = after.split_at(u32::from_le_bytes(*size) as usize);
        let left = (length - out.len()).min(LZ4_LEGACY_BLOCK);
        out.extend(lz4_flex::block::decompress(block, left).expect("a block of lz4"));
        rest = next;
    }
    assert_eq!(out.len(), length, "length of the kernel");
    out
}

const LZ4_LEGACY: [u8; 4] = 0x184c_2102u32.to_le_bytes();
const LZ4_LEGACY_BLOCK: usize = 8 << 20;

const EARLY_MODULES: &[&str] = &[
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
];

const MODULES: &[&str] = &[
    "fs/overlayfs/overlay.ko",
    "block/bfq.ko",
    "lib/libcrc32c.ko",
    "fs/xfs/xfs.ko",
    "fs/quota/quota_tree.ko",
    "fs/quota/quota_v2.ko",
    "drivers/net/tun.ko",
];
