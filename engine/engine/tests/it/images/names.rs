//! Tags, removal and pruning.

use std::io::Cursor;
use std::time::SystemTime;

use base::{Classified as _, ErrorClass};
use engine::images::{Error, Image, ImageUse, ImportOptions, ListFilter, Removed};
use oci_spec::Reference;

use super::support::{Host, tar};

fn made(host: &Host, name: &str, content: &str) -> Image {
    let options = ImportOptions {
        reference: Some(Reference::parse(name).unwrap()),
        created: Some(SystemTime::now()),
        ..ImportOptions::default()
    };
    let archive = tar(&[("content", content.as_bytes())]);
    host.images.import(&mut Cursor::new(archive), "test", &options).unwrap()
}

fn tag(host: &Host, source: &str, target: &str) {
    host.images.tag(source, &Reference::parse(target).unwrap()).unwrap();
}

fn used_by(image: &Image, running: bool) -> [ImageUse; 1] {
    [ImageUse { image: image.id.clone(), container: "web".to_owned(), running }]
}

#[test]
fn a_name_of_several_goes_alone_the_last_takes_the_image() {
    let host = Host::new();
    let image = made(&host, "app:1", "x");
    tag(&host, "app:1", "app:2");
    let removed = host.images.remove("app:1", false, &[]).unwrap();
    assert_eq!(removed, [Removed::Untagged("app:1".to_owned())]);
    assert_eq!(host.listed(), ["app:2"]);
    let removed = host.images.remove("app:2", false, &[]).unwrap();
    assert!(removed.contains(&Removed::Deleted(image.id.clone())), "{removed:?}");
    assert!(removed.contains(&Removed::Deleted(image.chain_id().unwrap())), "{removed:?}");
    assert!(host.images.store().blobs().unwrap().is_empty());
    assert!(host.images.snapshots().chains().unwrap().is_empty());
    assert_eq!(host.images.snapshots().usage().unwrap().other_bytes, 0, "the files are gone too");
    let error = host.images.remove("app:2", false, &[]).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn an_id_with_names_in_several_repositories_wants_force() {
    let host = Host::new();
    let image = made(&host, "app:1", "x");
    tag(&host, "app:1", "other:1");
    let id = image.id.short();
    let error = host.images.remove(id, false, &[]).unwrap_err();
    assert!(matches!(error, Error::SeveralNames { count: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("app:1") && error.to_string().contains("other:1"));
    host.images.remove(id, true, &[]).unwrap();
    assert!(host.listed().is_empty());
}

#[test]
fn containers_protect_their_image() {
    let host = Host::new();
    let image = made(&host, "app:1", "x");
    let id = image.id.short().to_owned();
    for (name, force, running, refused) in [
        ("app:1", false, false, true),
        ("app:1", false, true, true),
        (id.as_str(), false, false, true),
        (id.as_str(), true, true, true),
    ] {
        let error = host.images.remove(name, force, &used_by(&image, running)).err();
        assert_eq!(error.is_some(), refused, "{name} {force} {running}");
        let text = error.unwrap().to_string();
        assert!(text.contains("container web"), "{text}");
    }
    // One name of two is no loss to anyone.
    tag(&host, "app:1", "app:2");
    host.images.remove("app:2", false, &used_by(&image, true)).unwrap();
    host.images.remove("app:1", true, &used_by(&image, false)).unwrap();
    assert!(host.listed().is_empty());
}

#[test]
fn a_moved_tag_leaves_a_nameless_image_for_prune() {
    let host = Host::new();
    let old = made(&host, "app:1", "old");
    let new = made(&host, "app:1", "new");
    assert_eq!(host.listed(), ["<none>:<none>", "app:1"]);
    let dangling = ListFilter::parse("dangling=true", &host.images, SystemTime::now()).unwrap();
    let rows = host.images.list(&[dangling]).unwrap();
    assert_eq!(rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&old.id]);
    // While a container uses it, it stays.
    host.images.prune(false, &[], &used_by(&old, false)).unwrap();
    assert_eq!(host.listed().len(), 2);
    let report = host.images.prune(false, &[], &[]).unwrap();
    assert!(report.reclaimed_bytes > 0);
    assert!(report.removed.contains(&Removed::Deleted(old.id)));
    assert_eq!(host.listed(), ["app:1"]);
    // A nameless image gets a name again.
    let third = made(&host, "app:1", "third");
    tag(&host, new.id.short(), "saved:1");
    assert_eq!(host.listed(), ["app:1", "saved:1"]);
    let report = host.images.prune(true, &[], &used_by(&third, true)).unwrap();
    assert_eq!(report.removed[0], Removed::Untagged("saved:1".to_owned()));
    assert_eq!(host.listed(), ["app:1"]);
    host.check();
}

#[test]
fn filters_choose() {
    let host = Host::new();
    made(&host, "team/app:1", "a");
    made(&host, "q.example/web:2", "b");
    let names = |text: &str| -> Vec<String> {
        let filter = ListFilter::parse(text, &host.images, SystemTime::now()).unwrap();
        host.images.list(&[filter]).unwrap().into_iter().filter_map(|row| row.repository).collect()
    };
    assert_eq!(names("reference=team/*"), ["team/app"]);
    assert_eq!(names("reference=*/*:2"), ["q.example/web"]);
    assert!(names("reference=web").is_empty());
    assert_eq!(names("since=team/app:1"), ["q.example/web"]);
    assert_eq!(names("before=q.example/web:2"), ["team/app"]);
    assert!(names("label=x").is_empty());
    assert!(names("until=1h").is_empty());
    for wrong in ["x", "size=3", "dangling=maybe", "until=soon", "before=nothing"] {
        assert!(ListFilter::parse(wrong, &host.images, SystemTime::now()).is_err(), "{wrong}");
    }
}
