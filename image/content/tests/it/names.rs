//! Image names, labels and what they stand for.

use std::collections::BTreeMap;

use base::{Classified, Digest, ErrorClass};
use content::Store;
use oci_spec::image::{Descriptor, MediaType};

use crate::images::pull;
use crate::store;

#[test]
fn names_are_set_moved_listed_and_removed() {
    let (_directory, store) = store();
    let first = pull(&store, "docker.io/library/a:latest", &["x"]).unwrap();
    pull(&store, "docker.io/library/b:latest", &["y"]).unwrap();
    assert_eq!(store.name("docker.io/library/a:latest").unwrap().target.digest, first);
    let second = pull(&store, "docker.io/library/a:latest", &["z"]).unwrap();
    assert_ne!(first, second);
    let names: Vec<_> = store.names().unwrap().into_iter().map(|name| name.name).collect();
    assert_eq!(names, ["docker.io/library/a:latest", "docker.io/library/b:latest"]);
    assert!(store.remove_name("docker.io/library/a:latest").unwrap());
    assert!(!store.remove_name("docker.io/library/a:latest").unwrap());
    let error = store.name("docker.io/library/a:latest").unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn a_name_needs_its_content() {
    let (_directory, store) = store();
    let absent = Descriptor::of(MediaType::from(MediaType::OCI_MANIFEST), b"absent");
    let error = store.set_name("a", &absent, &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains(&absent.digest.to_string()), "{error}");
}

#[test]
fn names_may_be_long_and_odd() {
    let (_directory, store) = store();
    let digest = store.put(b"{}").unwrap();
    let target = Descriptor::new(MediaType::from(MediaType::OCI_MANIFEST), digest, 2);
    for name in ["../../etc/passwd", &"long/".repeat(100), "", "ümlaut\n"] {
        store.set_name(name, &target, &BTreeMap::new()).unwrap();
        assert_eq!(store.name(name).unwrap().name, name);
    }
}

#[test]
fn setting_a_name_syncs_what_was_committed() {
    let (_directory, store) = store();
    let store = Store::open(store.root()).unwrap();
    pull(&store, "a", &["x"]).unwrap();
    assert!(store.journal().is_empty().unwrap());
}

#[test]
fn labels_merge_and_go() {
    let (_directory, store) = store();
    let digest = store.put(b"x").unwrap();
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    store.set_labels(&digest, &labels(&[("a", "1"), ("b", "2")])).unwrap();
    store.set_labels(&digest, &labels(&[("b", ""), ("c", "3")])).unwrap();
    assert_eq!(store.labels(&digest).unwrap(), labels(&[("a", "1"), ("c", "3")]));
    assert_eq!(store.labels(&Digest::sha256_of(b"y")).unwrap(), labels(&[]));
    store.gc().unwrap();
    assert_eq!(store.labels(&digest).unwrap(), labels(&[]), "labels go with their blob");
}
