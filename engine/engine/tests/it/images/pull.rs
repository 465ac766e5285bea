//! Pull and push against Debian's `docker-registry`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use base::{Classified as _, ErrorClass};
use engine::images::{Error, LayerState, PullOptions, PullPolicy, Silent};
use oci_spec::Reference;
use oci_spec::image::Platform;
use registry::Secret;
use testkit::registry::{BasicAuth, Registry, free_port};

use super::support::{
    Host, Layer, Layout, Told, files_below, noise, skopeo_copy, skopeo_digests, three_layers,
};

#[test]
fn pulls_and_unpacks_every_packing() {
    let registry = Registry::start();
    let name = registry.push_layout(Layout::of("x", &three_layers()).path(), "x", "team/app:1");
    let host = Host::new();
    let mut told = Told::default();
    let reference = Reference::parse(&name).unwrap();
    let pulled = host.images.pull(&reference, &PullOptions::default(), &mut told).unwrap();
    assert!(pulled.newer);
    assert_eq!(told.count(&LayerState::Waiting), 3);
    assert_eq!(told.count(&LayerState::Downloaded), 3);
    assert_eq!(told.count(&LayerState::Complete), 3);
    let image = host.images.find(&name, None).unwrap();
    assert_eq!(host.read(&image, "etc/base").as_deref(), Some("changed"));
    assert_eq!(host.read(&image, "etc/middle").as_deref(), Some("middle"));
    assert_eq!(host.listed(), [format!("{}/team/app:1", registry.address())]);
    host.check();

    // Again: nothing is fetched, and it is said.
    let mut told = Told::default();
    let again = host.images.pull(&reference, &PullOptions::default(), &mut told).unwrap();
    assert!(!again.newer && told.0.is_empty());
    // Its digest means the same image.
    let by_digest = format!("{}@{}", reference.repository(), again.digest);
    assert_eq!(host.images.find(&by_digest, None).unwrap().id, image.id);
    assert_eq!(host.images.find(&image.id.hex()[..8], None).unwrap().id, image.id);
}

/// FS-01: a base layer shared by two images is stored once.
#[test]
fn fs_01_shared_layers_are_stored_once() {
    let registry = Registry::start();
    let base = Layer::new(&[("base/noise", &noise(2_000_000, 1))]);
    let own = |seed| Layer::new(&[("own/noise", &noise(50_000, seed))]);
    let mut layout = Layout::new();
    layout.image("a", &[base.clone(), own(2)]);
    layout.image("b", &[base, own(3)]);
    let a = registry.push_layout(layout.path(), "a", "a");
    let b = registry.push_layout(layout.path(), "b", "b");
    let host = Host::new();
    let stored = || {
        let content = host.images.store().usage().unwrap().bytes;
        let layers = host.images.snapshots().usage().unwrap();
        (content, layers.layers, layers.layer_bytes)
    };
    host.pull(&a).unwrap();
    let (content, layers, bytes) = stored();
    let mut told = Told::default();
    host.images.pull(&Reference::parse(&b).unwrap(), &PullOptions::default(), &mut told).unwrap();
    assert_eq!(told.count(&LayerState::Exists), 1);
    assert_eq!(told.count(&LayerState::Downloaded), 1);
    let (content_after, layers_after, bytes_after) = stored();
    assert_eq!(layers_after, layers + 1);
    assert!(content_after - content < 100_000, "{}", content_after - content);
    assert!(bytes_after - bytes < 200_000, "{}", bytes_after - bytes);
}

/// FS-11: pull, push and pull again keep every digest; skopeo reads ours.
#[test]
fn fs_11_round_trips_keep_digests() {
    let registry = Registry::start();
    let layout = Layout::of("x", &three_layers());
    let name = registry.push_layout(layout.path(), "x", "app:1");
    let host = Host::new();
    host.pull(&name).unwrap();
    let copy = registry.reference("copy/app:2");
    let target = Reference::parse(&copy).unwrap();
    host.images.tag(&name, &target).unwrap();
    let mut told = Told::default();
    let pushed = host.images.push(&target, &mut told).unwrap();
    assert_eq!(
        told.0
            .iter()
            .filter(|(_, state)| matches!(state, LayerState::Mounted { from } if from == "app"))
            .count(),
        3
    );
    assert_eq!(skopeo_digests(&format!("docker://{copy}")), skopeo_digests(&format!("docker://{name}")));
    assert_eq!(skopeo_digests(&format!("docker://{copy}")).0, pushed.digest.to_string());
    skopeo_copy(
        &format!("docker://{copy}"),
        &format!("oci:{}:y", host.directory.join("copied").display()),
        &[],
    );

    // To another registry everything is sent.
    let other = Registry::start();
    let far = Reference::parse(&other.reference("far:1")).unwrap();
    host.images.tag(&name, &far).unwrap();
    let mut told = Told::default();
    host.images.push(&far, &mut told).unwrap();
    assert_eq!(told.count(&LayerState::Pushed), 3);
    let second = Host::new();
    assert_eq!(second.pull(&far.to_string()).unwrap().digest, pushed.digest);
    let (_, digests) = host.images.repo_names(&host.images.find(&copy, None).unwrap()).unwrap();
    assert_eq!(digests.len(), 3, "{digests:?}");
}

#[test]
fn a_lone_image_of_another_platform_is_refused() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    layout.image("one", &[Layer::new(&[("arch", b"amd64")])]);
    let name = registry.reference("lone:1");
    skopeo_copy(&format!("oci:{}:one", layout.path().display()), &format!("docker://{name}"), &[]);
    let host = Host::new();
    let (arm, amd) = (Platform::parse("linux/arm64").unwrap(), Platform::parse("linux/amd64").unwrap());
    let ensure = |policy, platform| host.images.ensure(&name, policy, Some(platform), &mut Silent);
    let says = "was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)";
    let error = ensure(PullPolicy::Always, &arm).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    assert!(host.images.try_find(&name, None).unwrap().is_none(), "a refused image has no name");
    ensure(PullPolicy::Missing, &amd).unwrap();
    for policy in [PullPolicy::Never, PullPolicy::Missing] {
        let error = ensure(policy, &arm).unwrap_err();
        assert!(error.to_string().contains(says), "{policy:?}: {error}");
    }
}

#[test]
fn chooses_by_platform_and_names_what_there_is() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    let amd = [Layer::new(&[("arch", b"amd64")])];
    let arm = [Layer::new(&[("arch", b"arm64")])];
    layout.multi("m", &[("arm64", &arm), ("amd64", &amd)]);
    let name = registry.reference("multi:1");
    skopeo_copy(&format!("oci:{}:m", layout.path().display()), &format!("docker://{name}"), &["--all"]);
    let reference = Reference::parse(&name).unwrap();
    let host = Host::new();
    let pull = |platform: &str| {
        let options = PullOptions { platform: Some(Platform::parse(platform).unwrap()) };
        host.images.pull(&reference, &options, &mut Silent)
    };
    let error = pull("linux/s390x").unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error:?}");
    assert!(error.to_string().contains("linux/arm64, linux/amd64"), "{error}");
    let arm = pull("linux/arm64").unwrap().image;
    assert_eq!(host.read(&arm, "arch").as_deref(), Some("arm64"));
    // The one that was pulled is meant, until the host's is here too.
    assert_eq!(host.images.find(&name, None).unwrap().id, arm.id);
    let amd = pull("linux/amd64").unwrap().image;
    assert_eq!(host.read(&amd, "arch").as_deref(), Some("amd64"));
    assert_eq!(host.images.find(&name, Some(&Platform::parse("arm64").unwrap())).unwrap().id, arm.id);
    host.check();
    // A whole index is pushed as one.
    let copy = Reference::parse(&registry.reference("multi:2")).unwrap();
    host.images.tag(&name, &copy).unwrap();
    let pushed = host.images.push(&copy, &mut Silent).unwrap();
    assert_eq!(pushed.digest, host.images.find(&name, None).unwrap().target.digest);
}

#[test]
fn policies_decide_who_is_asked() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    layout.image("old", &[Layer::new(&[("v", b"1")])]);
    layout.image("new", &[Layer::new(&[("v", b"2")])]);
    let name = registry.push_layout(layout.path(), "old", "app:latest");
    let host = Host::new();
    let ensure = |policy| host.images.ensure(&name, policy, None, &mut Silent);
    let error = ensure(PullPolicy::Never).unwrap_err();
    assert!(matches!(error, Error::NoSuchImage { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::NotFound);
    let first = ensure(PullPolicy::Missing).unwrap();
    registry.push_layout(layout.path(), "new", "app:latest");
    assert_eq!(ensure(PullPolicy::Missing).unwrap().id, first.id);
    let second = ensure(PullPolicy::Always).unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(host.read(&second, "v").as_deref(), Some("2"));
    // The old one has lost its tag but not its digest.
    let address = registry.address();
    assert_eq!(host.listed(), [format!("{address}/app:<none>"), format!("{address}/app:latest")]);
    assert_eq!(host.images.find(&first.id.to_string(), None).unwrap().id, first.id);
}

#[test]
fn bad_names_and_dead_registries_are_named() {
    let registry = Registry::start();
    let host = Host::new();
    let error = host.pull(&registry.reference("no/such:thing")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert_eq!(cli_chain(&error).matches("no/such:thing").count(), 1, "said once: {}", cli_chain(&error));
    let dead = format!("127.0.0.1:{}/x", free_port());
    let error = host.pull(&dead).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(error.to_string().contains(&dead), "{error}");
    assert!(host.listed().is_empty());
}

#[test]
fn a_hostile_layer_is_refused_with_its_entry_named() {
    let registry = Registry::start();
    let evil = Layer::new(&[("fine", b"x"), ("../../outside", b"evil")]);
    let name = registry.push_layout(Layout::of("x", &[evil]).path(), "x", "evil:1");
    let host = Host::new();
    let error = host.pull(&name).unwrap_err();
    let text = cli_chain(&error);
    assert!(text.contains("../../outside"), "{text}");
    assert!(host.listed().is_empty());
    assert!(host.images.snapshots().chains().unwrap().is_empty());
    let found = files_below(host.directory.path());
    assert!(!found.iter().any(|path| path.ends_with("outside") || path.ends_with("fine")), "{found:?}");
    host.check();
}

#[test]
fn a_configuration_that_lies_about_a_layer_is_refused() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    let honest = Layer::new(&[("a", b"1")]);
    let manifest = layout.manifest(std::slice::from_ref(&honest), "amd64");
    let digest = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.path().join("blobs/sha256").join(digest)).unwrap()).unwrap();
    // Another layer than the configuration speaks of.
    let other = Layout::of("x", &[Layer::new(&[("b", b"2")])]);
    let other_manifest = fs::read_dir(other.path().join("blobs/sha256")).unwrap();
    for entry in other_manifest.flatten() {
        fs::copy(entry.path(), layout.path().join("blobs/sha256").join(entry.file_name())).unwrap();
    }
    let others = fs::read_to_string(other.path().join("index.json")).unwrap();
    let others: serde_json::Value = serde_json::from_str(&others).unwrap();
    let hex = others["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let others: serde_json::Value =
        serde_json::from_slice(&fs::read(other.path().join("blobs/sha256").join(hex)).unwrap()).unwrap();
    document["layers"] = others["layers"].clone();
    let descriptor = layout.blob(document.to_string().as_bytes(), oci_spec::image::MediaType::OCI_MANIFEST);
    layout.entry("lie", descriptor);
    let name = registry.push_layout(layout.path(), "lie", "lie:1");
    let host = Host::new();
    let error = host.pull(&name).unwrap_err();
    assert!(cli_chain(&error).contains("diffID"), "{}", cli_chain(&error));
    assert!(host.listed().is_empty());
}

#[test]
fn several_pulls_of_one_image_at_once_agree() {
    let registry = Registry::start();
    let name = registry.push_layout(Layout::of("x", &three_layers()).path(), "x", "app:1");
    let host = Host::new();
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| {
                let (name, root) = (name.clone(), host.directory.path());
                scope.spawn(move || {
                    let images = super::support::open(root);
                    let reference = Reference::parse(&name).unwrap();
                    images
                        .pull(&reference, &PullOptions::default(), &mut Silent)
                        .map(|pulled| pulled.image.id)
                })
            })
            .collect();
        let mut ids: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap().unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
    });
    assert_eq!(host.images.snapshots().chains().unwrap().len(), 3);
    host.check();
}

#[test]
fn a_prune_beside_a_pull_takes_nothing_from_it() {
    let registry = Registry::start();
    let host = Host::new();
    let names: Vec<String> = (0..4)
        .map(|seed| {
            let layers =
                [Layer::new(&[("n", &noise(300_000, seed))]), Layer::new(&[("m", &noise(1000, seed + 100))])];
            registry.push_layout(Layout::of("x", &layers).path(), "x", &format!("app:{seed}"))
        })
        .collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let images = super::support::open(host.directory.path());
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                images.prune(false, &[], &[]).unwrap();
                count += 1;
            }
            count
        });
        for name in &names {
            host.pull(name).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(pruner.join().unwrap() > 0);
    });
    assert_eq!(host.listed().len(), 4);
    host.check();
}

#[test]
fn logins_are_kept_as_docker_keeps_them() {
    let registry = Registry::start_with(BasicAuth { user: "ann", password: "s3cret" });
    let host = Host::new();
    let config = host.directory.join("docker/config.json");
    let error = host.pull(&registry.reference("app")).unwrap_err();
    assert!(
        cli_chain(&error).contains(&format!("strake login {}", registry.address())),
        "{}",
        cli_chain(&error)
    );
    let login = |password: &str| host.images.login(registry.address(), "ann", &Secret::new(password));
    let error = login("wrong").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unauthenticated);
    assert!(!config.exists(), "what the registry refuses is not kept");
    assert!(login("s3cret").unwrap().plain_http);
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(host.images.login_again(registry.address()).unwrap().as_deref(), Some("ann"));

    // Push and pull with it; skopeo reads the same file.
    let layout = Layout::of("x", &[Layer::new(&[("a", b"1")])]);
    let reference = Reference::parse(&registry.reference("app:1")).unwrap();
    let source = engine::images::LoadSource::Directory(layout.path().to_owned());
    host.images.load(source, Some(&reference), None, &mut Silent).unwrap();
    host.images.push(&reference, &mut Silent).unwrap();
    host.pull(&reference.to_string()).unwrap();
    skopeo_copy(
        &format!("docker://{reference}"),
        &format!("oci:{}:x", host.directory.join("copy").display()),
        &["--src-authfile", config.to_str().unwrap()],
    );

    assert!(host.images.logout(registry.address()).unwrap());
    assert!(!host.images.logout(registry.address()).unwrap());
    assert!(host.pull(&registry.reference("app:1")).is_err());
}

#[test]
fn mirrors_of_hosts_toml_serve_a_registry_that_is_away() {
    let mirror = Registry::start();
    let layout = Layout::of("x", &[Layer::new(&[("a", b"1")])]);
    mirror.push_layout(layout.path(), "x", "team/app:1");
    let host = Host::new();
    let folder = host.directory.join("certs.d/away.example");
    fs::create_dir_all(&folder).unwrap();
    let dead = free_port();
    let text = format!("server = \"http://127.0.0.1:{dead}\"\n[host.\"http://{}\"]\n", mirror.address());
    fs::write(folder.join("hosts.toml"), text).unwrap();
    host.pull("away.example/team/app:1").unwrap();
    assert_eq!(host.listed(), ["away.example/team/app:1"]);
}

#[test]
fn a_layer_that_comes_twice_is_fetched_once() {
    let registry = Registry::start();
    let layers = [
        Layer::new(&[("a", b"1"), ("twice", b"lower")]),
        Layer::new(&[("a", b"2")]),
        Layer::new(&[("a", b"1"), ("twice", b"lower")]),
    ];
    let name = registry.push_layout(Layout::of("x", &layers).path(), "x", "app:1");
    let host = Host::new();
    let mut told = Told::default();
    let reference = Reference::parse(&name).unwrap();
    let image = host.images.pull(&reference, &PullOptions::default(), &mut told).unwrap().image;
    assert_eq!(told.count(&LayerState::Downloaded), 2);
    assert_eq!(host.read(&image, "a").as_deref(), Some("1"));
    assert_eq!(host.images.snapshots().chains().unwrap().len(), 3);
    host.check();
}

/// The helper is a program on `PATH`: that is docker's protocol, so this test runs
/// itself again with one there.
#[test]
fn credential_helpers_are_asked() {
    const MARK: &str = "STRAKE_TEST_HELPERS";
    if std::env::var(MARK).is_err() {
        let helpers = testkit::TempDir::new();
        let helper = helpers.join("docker-credential-test");
        let script =
            "#!/bin/sh\ncase $1 in\nget) cat $0.kept;;\nstore) cat >$0.kept;;\nerase) rm $0.kept;;\nesac\n";
        fs::write(&helper, script).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", helpers.path().display(), std::env::var("PATH").unwrap());
        testkit::run(
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "images::pull::credential_helpers_are_asked", "--test-threads=2"])
                .env(MARK, "1")
                .env("PATH", path),
        )
        .ok();
        return;
    }
    let registry = Registry::start_with(BasicAuth { user: "ann", password: "s3cret" });
    let host = Host::new();
    let config = host.directory.join("docker/config.json");
    fs::create_dir(host.directory.join("docker")).unwrap();
    fs::write(&config, r#"{"credsStore":"test"}"#).unwrap();
    let outcome = host.images.login(registry.address(), "ann", &Secret::new("s3cret")).unwrap();
    assert!(outcome.by_helper);
    assert!(!fs::read_to_string(&config).unwrap().contains("s3cret"));
    let error = host.pull(&registry.reference("no/such")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound, "the helper's password counted: {}", cli_chain(&error));
    assert!(host.images.logout(registry.address()).unwrap());
}

/// A full disk is said as such, and the store works when there is space again.
#[test]
fn a_full_disk_leaves_a_usable_store() {
    testkit::isolated(|| {
        let registry = Registry::start();
        let layout = Layout::of("x", &[Layer::new(&[("noise", &noise(3_000_000, 5))])]);
        let name = registry.push_layout(layout.path(), "x", "big:1");
        let host = Host::new();
        let data = host.directory.join("small");
        fs::create_dir(&data).unwrap();
        let mount = |options: &str| {
            testkit::run(
                std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&data),
            )
            .ok()
            .to_owned()
        };
        mount("size=4m");
        let images = super::support::open(&data);
        let reference = Reference::parse(&name).unwrap();
        let error = images.pull(&reference, &PullOptions::default(), &mut Silent).unwrap_err();
        assert_eq!(error.class(), ErrorClass::ResourceExhausted, "{}", cli_chain(&error));
        assert!(cli_chain(&error).contains("No space left"), "{}", cli_chain(&error));
        assert!(images.list(&[]).unwrap().is_empty());
        mount("remount,size=64m");
        images.pull(&reference, &PullOptions::default(), &mut Silent).unwrap();
        drop(images);
    });
}

/// An error as the command line prints it.
pub(crate) fn cli_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
