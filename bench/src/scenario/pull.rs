//! Pull and unpack of the Debian image from a registry on loopback.
//!
//! podman pulls and unpacks as we do; skopeo copies into a layout and unpacks nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::registry::Registry;
use testkit::{Strake, TempDir, images};

use super::run::Podman;
use super::{quietly, version, wanted};
use crate::{Candidate, Options, Report, Table};

/// Measures us, podman and skopeo.
pub(crate) fn measure(options: &Options) -> Result<Report> {
    let registry = Registry::start();
    let reference = registry.push_layout(&images::debian_layout(), "latest", "debian:stable");
    let reference = reference.as_str();
    let (strake, podman, scratch) = (Strake::new(), Podman::new(), TempDir::new());
    let pull = || quietly(&mut strake.command(&["pull", "--quiet", reference]));
    let forget = || {
        let _ = quietly(&mut strake.command(&["rmi", "--force", reference]));
        Ok(())
    };
    let mut candidates = vec![Candidate::new("strake pull", pull).after(forget)];
    if wanted(options, "podman") {
        let pull = || quietly(podman.command().args(["pull", "--quiet", "--tls-verify=false", reference]));
        let forget = || {
            let _ = quietly(podman.command().args(["rmi", "--force", reference]));
            Ok(())
        };
        candidates.push(Candidate::new("podman pull", pull).after(forget));
    }
    if wanted(options, "skopeo") {
        let layout = scratch.join("layout");
        let to = format!("oci:{}:latest", layout.display());
        let copy = move || {
            quietly(
                Command::new("skopeo")
                    .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
                    .args([format!("docker://{reference}"), to.clone()]),
            )
        };
        let forget = move || match fs::remove_dir_all(&layout) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
        candidates.push(Candidate::new("skopeo copy, not unpacked", copy).after(forget));
    }
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(500))?;
    let versions = vec![version("podman"), version("skopeo")];
    Ok(Report { title: "pull and unpack of Debian", versions, table })
}
