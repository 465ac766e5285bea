//! Row EN-05: real images run.

use testkit::registry::Registry;
use testkit::{Strake, images, isolated};

#[test]
fn en_05_an_image_built_from_debian_packages_runs() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        let script = ". /etc/os-release; echo $ID; dpkg --version | head -1; perl -e 'print 6*7, qq(\\n)'";
        let said = strake.ok(&["run", "--rm", &debian, "bash", "-c", script]);
        assert!(said.starts_with("debian\n"), "{said}");
        assert!(said.contains("dpkg") && said.ends_with("42"), "{said}");
    });
}
