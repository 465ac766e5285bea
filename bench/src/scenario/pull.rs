//! Pull and unpack of the Debian image from a registry on loopback.
//!
//! podman pulls and unpacks as we do; skopeo copies into a layout and unpacks nothing. Each round
//! has storage of its own and nothing is deleted before the end: an ext4 without a journal looks at
//! every recently freed inode before it gives a new one, and that would be all one measures.

use std::cell::RefCell;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::registry::Registry;
use testkit::{Strake, TempDir, images};

use super::run::Podman;
use super::{quietly, version, wanted};
use crate::{Candidate, Options, Table, Turns};

/// Measures us, podman and skopeo.
pub(crate) fn measure(options: &Options) -> Result<Turns> {
    let registry = Registry::start();
    let reference = registry.push_layout(&images::debian_layout(), "latest", "debian:stable");
    let reference = reference.as_str();
    let (ours, podmans, layouts) =
        (Stores::new(Strake::new), Stores::new(Podman::new), Stores::new(TempDir::new));
    let mut candidates = vec![ours.candidate("strake pull", move |strake| {
        quietly(&mut strake.command(&["pull", "--quiet", reference]))
    })];
    if wanted(options, "podman") {
        candidates.push(podmans.candidate("podman pull", move |podman| {
            quietly(podman.command().args(["pull", "--quiet", "--tls-verify=false", reference]))
        }));
    }
    if wanted(options, "skopeo") {
        candidates.push(layouts.candidate("skopeo copy, not unpacked", move |dir| {
            let mut copy = Command::new("skopeo");
            copy.args([
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                &format!("docker://{reference}"),
            ]);
            quietly(copy.arg(format!("oci:{}:latest", dir.join("layout").display())))
        }));
    }
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(500))?;
    let versions = vec![version("podman"), version("skopeo")];
    Ok(Turns { title: "pull and unpack of Debian", versions, notes: Vec::new(), table })
}

/// One fresh storage a round, all kept until the end.
struct Stores<T> {
    make: fn() -> T,
    made: RefCell<Vec<T>>,
}

impl<T> Stores<T> {
    fn new(make: fn() -> T) -> Self {
        Self { make, made: RefCell::default() }
    }

    fn candidate<'a>(&'a self, name: &str, pull: impl Fn(&T) -> Result<()> + 'a) -> Candidate<'a> {
        let body = move || pull(self.made.borrow().last().context("prepared")?);
        Candidate::new(name, body).after(move || {
            self.made.borrow_mut().push((self.make)());
            Ok(())
        })
    }
}
