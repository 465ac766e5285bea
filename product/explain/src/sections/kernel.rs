//! "Where's the OS?": which kernel, which user space, what is shared.

use inspect::elf::Linkage;

use crate::facts::{ContainerFacts, ImageFacts};
use crate::report::Section;
use crate::view::View;
use crate::words;

pub(super) fn section(view: &View, facts: Option<&ContainerFacts>) -> Section {
    let mut section = Section::new("kernel_and_user_space", "Kernel and user space");
    let verdict = match &view.root_is_hosts {
        Ok(true) => "the host's kernel, the host's user space",
        Ok(false) => "the host's kernel, its own user space",
        Err(_) => "the host's kernel",
    };
    section.verdict = Some(verdict.to_owned());
    let kernel = &view.kernel.value;
    let meaning = "The same kernel as the host's: an image brings files, never a kernel.";
    section.line(
        "kernel",
        format!("Linux {}, {}", kernel.release, kernel.machine),
        &view.kernel.source,
        meaning,
    );
    distributions(&mut section, view);
    libc(&mut section, view);
    if let Some(facts) = facts
        && let Some(image) = &facts.image
    {
        size(&mut section, view, image);
    }
    section
}

/// The image beside what a virtual machine for the same app would carry: a system of its own,
/// of which the host's is the one at hand.
fn size(section: &mut Section, view: &View, image: &ImageFacts) {
    let Some(own) = image.layers.iter().map(|layer| layer.bytes).sum::<Option<u64>>() else { return };
    let records: Vec<&str> = image.layers.iter().map(|layer| layer.record.as_str()).collect();
    let records = if records.is_empty() { "no layers".to_owned() } else { records.join(", ") };
    let system = match &view.system_size {
        Ok(system) => system,
        Err(error) => return section.unread("size", error),
    };
    let disk = &system.disk_used_bytes;
    let (kernel_bytes, kernel_source) = match &system.kernel_image_bytes {
        Some(kernel) => (kernel.value, format!(", {}", kernel.source)),
        None => (0, String::new()),
    };
    let machine = disk.value.saturating_add(kernel_bytes);
    section.line(
        "size",
        format!("image {}, a virtual machine like this host {}", words::bytes(own), words::bytes(machine)),
        format!("{records}, {}{kernel_source}", disk.source),
        match kernel_bytes {
            0 => "An image brings the app's files only; a virtual machine for the same app needs a system disk too.",
            _ => "An image brings the app's files only; a virtual machine for the same app needs a kernel and a system disk too.",
        },
    );
}

fn distributions(section: &mut Section, view: &View) {
    match &view.os {
        Err(error) => section.unread("user space", error),
        Ok(None) => {
            let source = format!("{}/root/etc/os-release", view.proc_path);
            let meaning = "Its files name no distribution, as an image of one program does not.";
            section.line("user space", "unnamed", source, meaning);
        }
        Ok(Some(os)) => {
            let name = os.value.name().unwrap_or_else(|| "unnamed".to_owned());
            let meaning = "The distribution of its files; libraries and programs come from there.";
            section.line("user space", words::printable(&name), &os.source, meaning);
        }
    }
    match &view.host_os {
        Ok(Some(os)) => {
            let name = os.value.name().unwrap_or_else(|| "unnamed".to_owned());
            let meaning = "The distribution that owns the kernel and runs the host.";
            section.line("host", words::printable(&name), &os.source, meaning);
        }
        Ok(None) => {}
        Err(error) => section.unread("host", error),
    }
}

fn libc(section: &mut Section, view: &View) {
    if let Ok(linkage) = &view.linkage {
        let (value, meaning) = match &linkage.value {
            Linkage::Static => {
                ("static".to_owned(), "Its libraries are inside the program: it would run in an empty image.")
            }
            Linkage::Dynamic(loader) => (
                format!("dynamic, by {}", words::printable(loader)),
                "Its libraries come from its own root file system.",
            ),
            Linkage::Unknown => ("of unknown form".to_owned(), "Not an ELF program of 64 bits."),
        };
        section.line("program is", value, &linkage.source, meaning);
    }
    match &view.libc {
        Ok(Some(libc)) => {
            let version = libc.value.version.as_deref().unwrap_or("of unknown version");
            let meaning = "The C library in its root file system, between programs and the kernel.";
            section.line("libc", format!("{} {version}", libc.value.kind), &libc.source, meaning);
        }
        Ok(None) => {
            let source = format!("{}/root", view.proc_path);
            section.line(
                "libc",
                "none",
                source,
                "No C library in the usual places: only static programs run here.",
            );
        }
        Err(error) => section.unread("libc", error),
    }
}
