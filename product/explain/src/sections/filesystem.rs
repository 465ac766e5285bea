//! What the process sees as `/`, and what it is made of.

use inspect::NamespaceKind;
use inspect::mounts::{Mount, Overlay};
use inspect::upper::UpperFile;

use crate::facts::{ContainerFacts, LayerFacts, MountFacts};
use crate::report::Section;
use crate::sections::verdict;
use crate::view::View;
use crate::words;

pub(super) fn section(view: &View, facts: Option<&ContainerFacts>) -> Section {
    let mut section = Section::new("filesystem", "Filesystem");
    section.verdict = verdict(view, NamespaceKind::Mnt);
    root(&mut section, view);
    if let Some(image) = facts.and_then(|facts| facts.image.as_ref()) {
        let digest = image.digest.as_deref().map(|digest| format!(" ({})", words::digest(digest)));
        let value = format!("{}{}", image.reference, digest.unwrap_or_default());
        let record = facts.map(|facts| facts.record.as_str()).unwrap_or_default();
        section.line(
            "image",
            value,
            record,
            "The layers and the configuration that the container was made from.",
        );
    }
    if let Some(overlay) = view.root_overlay() {
        layers(&mut section, view, &overlay, facts);
        writable(&mut section, view, &overlay);
    }
    let asked = facts.map(|facts| facts.mounts.as_slice()).unwrap_or_default();
    let found = view.mounts.as_ref().map(|table| table.value.as_slice()).unwrap_or_default();
    for mount in asked {
        volume(&mut section, view, mount, found);
    }
    if facts.is_none() && !view.is_hosts(NamespaceKind::Mnt) {
        other_mounts(&mut section, view, found);
    }
    section
}

fn root(section: &mut Section, view: &View) {
    let source = view.mounts.as_ref().map_or("not read", |table| table.source.as_str());
    match (&view.mounts, view.root_mount()) {
        (Err(error), _) => section.unread("root", error),
        (Ok(_), None) => section.line("root", "none", source, "The process has no mount at /."),
        (Ok(_), Some(mount)) => {
            let access = if mount.is_read_only() { "read-only" } else { "writable" };
            let meaning = match (&view.root_is_hosts, mount.overlay()) {
                (Ok(true), _) => "Its / is the host's /: it sees the host's files.",
                (Err(_), _) => {
                    "Whether that is the host's / cannot be told without the right to follow its root."
                }
                (_, Some(_)) => {
                    "Layers laid over each other look like one file system; it is not the host's."
                }
                _ => "Its / is not the host's: the host's files cannot be named from inside.",
            };
            section.line("root", format!("{}, {access}", mount.fs_type), source, meaning);
        }
    }
}

/// Bottom-up, as images are built; the kernel lists them top-down.
fn layers(section: &mut Section, view: &View, overlay: &Overlay, facts: Option<&ContainerFacts>) {
    let recorded = facts.and_then(|facts| facts.image.as_ref()).map(|image| image.layers.as_slice());
    let recorded = recorded.unwrap_or_default();
    let bottom_up: Vec<&String> = overlay.lower.iter().rev().collect();
    for (index, path) in bottom_up.iter().enumerate() {
        let known = layer_of(recorded, index, bottom_up.len(), path);
        let value = match known {
            Some(layer) => {
                let size = layer.bytes.map(|bytes| format!(", {}", words::bytes(bytes)));
                format!("{}{}", words::digest(&layer.digest), size.unwrap_or_default())
            }
            None => words::shortened(path, PATH_CHARS),
        };
        let source = match known {
            Some(layer) => format!("{}, lowerdir in {}/mountinfo", layer.record, view.proc_path),
            None => format!("lowerdir in {}/mountinfo", view.proc_path),
        };
        let meaning = match index {
            0 => "The lowest layer, read-only and shared by all images that start with it.",
            _ if index + 1 == bottom_up.len() => {
                "The top read-only layer: its files hide those of the layers below."
            }
            _ => "Read-only, shared; its files hide those of the layers below.",
        };
        section.line(format!("layer {}", index + 1), value, source, meaning);
    }
}

/// The recorded layer in directory `path`. Where the kernel shows another path (layers of
/// a user namespace are mapped copies of the mount, and have none) the position tells,
/// if as many were recorded as are mounted.
fn layer_of<'a>(
    recorded: &'a [LayerFacts],
    index: usize,
    mounted: usize,
    path: &str,
) -> Option<&'a LayerFacts> {
    let by_path = recorded.iter().find(|layer| layer.path.as_deref() == Some(path));
    by_path.or_else(|| recorded.get(index).filter(|_| recorded.len() == mounted))
}

fn writable(section: &mut Section, view: &View, overlay: &Overlay) {
    let Some(upper) = &overlay.upper else {
        let source = format!("{}/mountinfo", view.proc_path);
        section.line("upper", "none", source, "There is no writable layer: nothing below / can be changed.");
        return;
    };
    let surveyed = view.upper.as_ref().and_then(|found| found.as_ref().ok());
    let (upper, source) = match surveyed.filter(|found| found.source != *upper) {
        Some(found) => (&found.source, "the container's record".to_owned()),
        None => (upper, format!("upperdir in {}/mountinfo", view.proc_path)),
    };
    section.line("upper", upper, source, "All that the container writes lands here and goes away with it.");
    match &view.upper {
        None => {}
        Some(Err(error)) => section.unread("written", error),
        Some(Ok(found)) => {
            let upper = &found.value;
            let more = if upper.incomplete { "at least " } else { "" };
            let files = words::count(upper.files as usize, "file", "files");
            let value = format!("{more}{files}, {}, {} deleted", words::bytes(upper.bytes), upper.whiteouts);
            let meaning = "What differs from the image; a deletion is a marker that hides the file below.";
            section.line("written", value, &found.source, meaning);
            if let Some(limit) = upper.limit_bytes {
                let source = format!("project quota of {}", found.source);
                let meaning = "More than this the disk does not give to it (--storage-opt size).";
                section.line("limit", words::bytes(limit), source, meaning);
            }
            // Targets of mounts are empty files.
            for file in upper.biggest.iter().filter(|file| file.bytes > 0) {
                let source = format!("{}{}", found.source, words::printable(&file.path));
                section.line("big file", big_file(file), source, origin(file));
            }
        }
    }
}

fn big_file(file: &UpperFile) -> String {
    format!("{} {}", words::shortened(&words::printable(&file.path), PATH_CHARS), words::bytes(file.bytes))
}

fn origin(file: &UpperFile) -> &'static str {
    match file.copied_up {
        Some(true) => {
            "Copied up: its first change copied the whole file out of a layer; a volume avoids that."
        }
        Some(false) => "New in this container, not from the image.",
        None => "Among the biggest files that it wrote.",
    }
}

fn volume(section: &mut Section, view: &View, asked: &MountFacts, found: &[Mount]) {
    let name = asked.name.as_deref().unwrap_or(&asked.source);
    let mounted = found.iter().rfind(|mount| mount.mount_point == asked.destination);
    let access = match mounted {
        Some(mount) if mount.is_read_only() => "read-only",
        Some(_) => "writable",
        None => "not mounted",
    };
    let meaning = match asked.kind.as_str() {
        "tmpfs" => "In memory; gone when the container stops.",
        "volume" => "A directory of the host that outlives the container and bypasses the layers.",
        _ => "A part of the host's file system, seen from inside: changes are the host's changes.",
    };
    let value = format!("{} {name} at {}, {access}", asked.kind, asked.destination);
    section.line("mount", value, format!("{}/mountinfo", view.proc_path), meaning);
}

/// For a process without a record: what is mounted besides the usual kernel file systems.
fn other_mounts(section: &mut Section, view: &View, found: &[Mount]) {
    let shown: Vec<&Mount> = found
        .iter()
        .filter(|mount| mount.mount_point != "/" && !KERNEL_FILE_SYSTEMS.contains(&mount.fs_type.as_str()))
        .collect();
    for mount in shown.iter().take(MOUNTS_MAX) {
        let access = if mount.is_read_only() { "read-only" } else { "writable" };
        let value = format!("{} at {}, {access}", mount.fs_type, words::printable(&mount.mount_point));
        let meaning = "Mounted into its file system from elsewhere.";
        section.line("mount", value, format!("{}/mountinfo", view.proc_path), meaning);
    }
    if let Some(more) = shown.len().checked_sub(MOUNTS_MAX).filter(|more| *more > 0) {
        let source = format!("{}/mountinfo", view.proc_path);
        section.line("mount", format!("{more} more"), source, "The whole table is in the file.");
    }
}

const KERNEL_FILE_SYSTEMS: [&str; 14] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "devtmpfs",
    "securityfs",
    "debugfs",
    "tracefs",
    "bpf",
    "pstore",
    "configfs",
    "tmpfs",
];
const MOUNTS_MAX: usize = 8;
const PATH_CHARS: usize = 80;
