//! What docker itself ships, out of Debian's packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Needs, cached, run};

/// The default seccomp profile of docker 20.10, in docker's own form.
///
/// # Panics
/// When the package cannot be had.
pub fn docker_seccomp_profile() -> PathBuf {
    cached("docker-seccomp.json", Needs::Network, |file, scratch| {
        let package = "golang-github-docker-docker-dev";
        run(Command::new("apt-get").current_dir(scratch).args(["-q", "download", package])).ok();
        let root = scratch.join("root");
        let archives = fs::read_dir(scratch).expect("scratch").flatten().map(|entry| entry.path());
        for archive in archives.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
            run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&root)).ok();
        }
        let profile = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json";
        fs::copy(root.join(profile), file).expect("the package has the profile");
    })
}
