//! What several layers make together, as the OCI image-spec's `layer.md` says.

use std::os::unix::fs::MetadataExt;

use archive::tar::{Header, Timestamp};
use snapshot::MountOptions;

use crate::tree::{show, show_chain};
use crate::{add, chain, key, layer, store, tar};

#[track_caller]
fn check(layers: &[&str], seen: &str) {
    let (_directory, store) = store();
    let chain = chain(&store, layers);
    assert_eq!(show_chain(&store, &chain), seen, "{layers:?}");
    // The same with a writable directory on top.
    store.prepare(&key("written"), Some(&chain), None).unwrap();
    let mount = store.mount(&key("written"), MountOptions::default()).unwrap();
    assert_eq!(show(&mount), seen, "{layers:?}, writable");
}

#[test]
fn one_layer() {
    check(&["a=1 d/ d/b=2 l->a"], "a=1 d/ d/b=2 l->a");
    check(&["./ ./a=1"], "a=1");
    check(&[""], "");
}

#[test]
fn upper_layers_win() {
    check(&["a=1 b=1", "a=2"], "a=2 b=1");
    check(&["d/ d/a=1", "d/ d/b=2", "d/ d/c=3"], "d/ d/a=1 d/b=2 d/c=3");
    check(&["a=1", "a=2", "a=3"], "a=3");
}

#[test]
fn kinds_replace_each_other() {
    check(&["d/ d/x=1", "d=file"], "d=file");
    check(&["d=file", "d/ d/x=1"], "d/ d/x=1");
    check(&["d/ d/x=1", "d->e"], "d->e");
    check(&["d/ d/x=1", "d=file", "d/"], "d/");
}

#[test]
fn whiteouts_delete_what_is_below() {
    check(&["a=1 b=1", ".wh.a"], "b=1");
    check(&["d/ d/a=1 d/b=1", "d/.wh.a"], "d/ d/b=1");
    check(&["d/ d/a=1", ".wh.d"], "");
    check(&["a=1", ".wh.a", "a=3"], "a=3");
    check(&["d/ d/a=1", ".wh.d", "d/ d/b=3"], "d/ d/b=3");
}

/// "Whiteout files MUST only apply to resources in lower/parent layers."
#[test]
fn whiteouts_spare_their_own_layer() {
    check(&["a=1", ".wh.a a=2"], "a=2");
    check(&["a=1", "a=2 .wh.a"], "a=2");
    check(&["d/ d/a=1", "d/ d/b=2 .wh.d"], "d/ d/b=2");
    check(&["d/ d/a=1", ".wh.d d/ d/b=2"], "d/ d/b=2");
    check(&["d/ d/a=1", ".wh.d d/b=2"], "d/ d/b=2");
}

#[test]
fn whiteouts_of_nothing_do_not_show() {
    check(&["a=1 .wh.b"], "a=1");
    check(&["a=1", "d/ d/.wh.x d/y=1"], "a=1 d/ d/y=1");
    check(&["a=1", "d/.wh.x"], "a=1 d/");
    check(&["d=file", "d/ d/.wh.x"], "d/");
}

#[test]
fn opaque_directories_hide_what_is_below() {
    check(&["d/ d/a=1 d/s/ d/s/x=1", "d/ d/.wh..wh..opq d/b=2"], "d/ d/b=2");
    check(&["d/ d/a=1", "d/ d/b=2 d/.wh..wh..opq"], "d/ d/b=2");
    check(&["d/ d/a=1", "d/.wh..wh..opq"], "d/");
    check(&["d/ d/a=1", "d/.wh..wh..opq d/.wh.a d/.wh.c"], "d/");
    check(&["d/ d/a=1", "d/.wh..wh..opq", "d/c=3"], "d/ d/c=3");
    check(&["a=1 d/ d/x=1 e/ e/x=1", ".wh..wh..opq b=2 d/ d/y=2"], "b=2 d/ d/y=2");
}

#[test]
fn metadata_of_aufs_is_left_out() {
    check(&[".wh..wh.aufs .wh..wh.plnk a=1"], "a=1");
}

#[test]
fn hard_links_reach_into_lower_layers() {
    check(&["a=1", "b=>a"], "a=1 b=1");
    check(&["d/ d/a=1", "b=>d/a c=>b"], "b=1 c=1 d/ d/a=1");
    check(&["a=1", "a=2 b=>a"], "a=2 b=2");
    check(
        &["usr/ usr/lib/ usr/lib/a=1 lib->usr/lib", "b=>lib/a"],
        "b=1 lib->usr/lib usr/ usr/lib/ usr/lib/a=1",
    );
    check(&["a=1 b=2", "b=>a .wh.b"], "a=1 b=1");
    check(&["a=1 b=2", ".wh.b b=>a"], "a=1 b=1");
    check(&["l->x", "m=>l"], "l->x m->x");
}

#[test]
fn hard_links_to_lower_files_are_one_file() {
    let (_directory, store) = store();
    let chain = chain(&store, &["d/ d/a=1", "b=>d/a"]);
    let layers = store.layers(&chain).unwrap();
    let top = &layers.last().unwrap().path;
    let link = std::fs::metadata(top.join("b")).unwrap();
    assert_eq!((link.nlink(), link.ino()), (2, std::fs::metadata(top.join("d/a")).unwrap().ino()));
}

/// Some tools write files into `/lib` without saying what `/lib` is.
#[test]
fn directories_that_are_links_below_are_followed() {
    let base = "usr/ usr/lib/ usr/lib/a=1 lib->usr/lib";
    check(&[base, "lib/b=2"], "lib->usr/lib usr/ usr/lib/ usr/lib/a=1 usr/lib/b=2");
    check(&[base, "lib/s/t=2"], "lib->usr/lib usr/ usr/lib/ usr/lib/a=1 usr/lib/s/ usr/lib/s/t=2");
    check(&[base, "lib/.wh.a"], "lib->usr/lib usr/ usr/lib/");
    check(
        &[base, "usr/ usr/lib/ usr/lib/c=3 lib/b=2"],
        "lib->usr/lib usr/ usr/lib/ usr/lib/a=1 usr/lib/b=2 usr/lib/c=3",
    );
    // Absolute and climbing links stay within the image.
    check(&["t/ l->/t", "l/x=1"], "l->/t t/ t/x=1");
    check(&["t/ l->../../t", "l/x=1"], "l->../../t t/ t/x=1");
    check(&["t/ m->t l->m", "l/x=1"], "l->m m->t t/ t/x=1");
    // An entry of its own makes it a directory.
    check(&[base, "lib/ lib/b=2"], "lib/ lib/b=2 usr/ usr/lib/ usr/lib/a=1");
}

#[test]
fn unlisted_directories_keep_what_they_are() {
    let (_directory, store) = store();
    let time = Timestamp { seconds: 1_000_000_000, nanos: 0 };
    let tmp = Header { mtime: time, ..Header::directory("tmp") }.with_mode(0o1777).with_owner(5, 6);
    let root = Header { mtime: time, ..Header::directory("./") }.with_mode(0o711).with_owner(7, 8);
    let base = add(&store, &tar(&[(root, b""), (tmp.with_xattr("user.k", "v"), b"")]), None).unwrap();
    let top = add(&store, &layer("tmp/a=1 new/b=2"), Some(&base.chain_id)).unwrap();
    let mode = |path: &str| {
        let found = std::fs::metadata(top.path.join(path)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid(), found.mtime())
    };
    assert_eq!(mode("tmp"), (0o1777, 5, 6, 1_000_000_000));
    assert_eq!(mode(""), (0o711, 7, 8, 1_000_000_000));
    assert_eq!(mode("new"), (0o755, 0, 0, 0));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(top.path.join("tmp"), "user.k", &mut value), Ok(1));
    // What a container sees of the root is what its upper directory is.
    let active = store.prepare(&key("c"), Some(&top.chain_id), None).unwrap();
    assert_eq!(std::fs::metadata(active.upper.unwrap()).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn very_many_layers() {
    let (_directory, store) = store();
    let texts: Vec<String> = (0..140).map(|n| format!("d/ d/f{n:03}={n} last={n}")).collect();
    let chain = chain(&store, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let seen = show_chain(&store, &chain);
    assert_eq!(seen.split(' ').count(), 142);
    assert!(seen.ends_with("last=139"), "{seen}");
}

/// Empty layers are all the same layer; overlayfs takes a directory only once.
#[test]
fn a_layer_may_be_in_a_chain_twice() {
    let (_directory, store) = store();
    let mut parent = None;
    for text in ["a=1", "", "b=2", "", "c=3", "a=1", "d/x=4"] {
        let archive = layer(text);
        let layer = match store.share(&crate::spec(&archive), parent.as_ref()).unwrap() {
            Some(layer) => layer,
            None => add(&store, &archive, parent.as_ref()).unwrap(),
        };
        parent = Some(layer.chain_id);
    }
    assert_eq!(store.usage().unwrap().layers, 5);
    assert_eq!(show_chain(&store, &parent.unwrap()), "a=1 b=2 c=3 d/ d/x=4");
    check(&["a=1", "", "b=2", "", "c=3"], "a=1 b=2 c=3");
    check(&["d/ d/a=1", "d/ d/a=2", "d/ d/a=1"], "d/ d/a=1");
}
