//! Volumes and mounts.

use std::collections::BTreeMap;

use engine::request::MountRequest;
use engine::{Error, RemoveOptions};
use testkit::isolated;

use crate::world::World;

#[test]
fn fs_09_volumes_outlive_containers_and_begin_with_the_images_files() {
    isolated(|| {
        let world = World::new();
        let with = |script: &str, volume: &str| {
            let mut request = world.request(script);
            request.files.mounts = vec![MountRequest::parse_volume(volume).unwrap()];
            request
        };
        let (code, output) = world.run(with("ls /etc; echo kept > /etc/new", "data:/etc"));
        assert_eq!(code, Some(0));
        assert!(output.contains("passwd"), "the image's files: {output}");
        assert_eq!(world.run(with("cat /v/new", "data:/v:ro")).1, "kept\n");
        assert_eq!(world.run(with("touch /v/x 2>/dev/null || echo refused", "data:/v:ro")).1, "refused\n");
        assert_eq!(world.run(with("ls /etc | wc -l", "empty:/etc:nocopy")).0, Some(0));
        let busy = world.engine.remove_volume("data").unwrap_err();
        assert!(matches!(busy, Error::VolumeInUse { .. }), "{busy}");
    });
}

#[test]
fn anonymous_volumes_go_with_their_container_when_asked() {
    isolated(|| {
        let world = World::new();
        let anonymous = || {
            let mut request = world.request("true");
            request.files.mounts = vec![MountRequest::parse_volume("/v").unwrap()];
            world.create(request).unwrap()
        };
        let (first, second) = (anonymous(), anonymous());
        assert_eq!(world.engine.volumes().unwrap().len(), 2);
        world.engine.remove(&first.id, RemoveOptions { force: false, volumes: true }).unwrap();
        assert_eq!(world.engine.volumes().unwrap().len(), 1);
        world.engine.remove(&second.id, RemoveOptions::default()).unwrap();
        assert_eq!(world.engine.volumes().unwrap().len(), 1);
    });
}

#[test]
fn a_missing_source_is_made_or_refused() {
    isolated(|| {
        let world = World::new();
        let missing = world.home.path().join("not/there");
        let with = |mount: MountRequest| {
            let mut request = world.request("touch /h/x");
            request.files.mounts = vec![mount];
            request
        };
        let text = format!("type=bind,src={},dst=/h", missing.display());
        let error = world.create(with(MountRequest::parse_mount(&text).unwrap())).unwrap_err();
        assert!(matches!(error, Error::NoMountSource { .. }), "{error}");
        assert!(world.engine.list().unwrap().is_empty(), "nothing is left");
        let text = format!("{}:/h", missing.display());
        assert_eq!(world.run(with(MountRequest::parse_volume(&text).unwrap())).0, Some(0));
        assert!(missing.join("x").exists());
    });
}

#[test]
fn named_volumes_have_labels() {
    isolated(|| {
        let world = World::new();
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let wanted = engine::NewVolume { labels: labels.clone(), ..Default::default() };
        world.engine.create_volume(Some("data"), wanted.clone()).unwrap();
        assert_eq!(world.engine.volume("data").unwrap().labels, labels);
        assert!(world.engine.create_volume(Some("../x"), wanted).is_err());
        world.engine.remove_volume("data").unwrap();
        assert!(world.engine.volume("data").unwrap_err().is_not_found());
    });
}

#[test]
fn cve_2021_41091_what_images_bring_is_closed_to_other_users() {
    isolated(|| {
        let world = World::new();
        let mut request = world.request("true");
        request.files.mounts.push(MountRequest::parse_volume("data:/bin").unwrap());
        let record = world.create(request).unwrap();
        // Set-user-id programs of images lie below these.
        let upper = world.engine.snapshots().unwrap().snapshot(&record.id).unwrap().upper.unwrap();
        for path in [world.engine.volume_data("data"), upper] {
            let closed = path.ancestors().skip(1).take_while(|dir| *dir != world.home.path()).any(|dir| {
                std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(dir).unwrap()) & 0o077 == 0
            });
            assert!(closed, "{}", path.display());
        }
    });
}
