//! Credentials, capabilities, id maps.

use base::{Classified as _, ErrorClass};
use inspect::idmap::Range;
use inspect::{CapSet, Proc};
use testkit::isolated;

use crate::child::Held;

#[test]
fn credentials_and_capabilities_are_as_set() {
    isolated(|| {
        let arguments = [
            "--reuid=10005",
            "--regid=10006",
            "--groups=7,8",
            "--no-new-privs",
            "--bounding-set=-all,+chown,+kill",
            "--inh-caps=-all,+kill",
            "--ambient-caps=-all,+kill",
        ];
        let held = Held::start("setpriv", &arguments);
        let status = held.process().status().unwrap().value;
        assert_eq!((status.uid.real, status.uid.effective, status.uid.saved), (10005, 10005, 10005));
        assert_eq!((status.gid.effective, status.groups.as_slice()), (10006, &[7, 8][..]));
        assert_eq!(status.no_new_privs, Some(true));
        assert_eq!(status.capabilities.bounding, CapSet::of(["CHOWN", "KILL"]));
        assert_eq!(status.capabilities.ambient, CapSet::of(["KILL"]));
        assert_eq!(status.capabilities.effective, CapSet::of(["KILL"]));
        assert_eq!(status.name, "cat");
        let process = held.process();
        assert_eq!(process.command_line().unwrap().value, ["cat"]);
        assert!(process.executable().unwrap().value.ends_with("/cat"));
        let parents = process.ancestors(&Proc::open().unwrap()).unwrap().value;
        assert_eq!(parents.last().map(|ancestor| ancestor.pid), Some(1));
    });
}

#[test]
fn id_maps_are_as_written() {
    isolated(|| {
        let held = Held::start(
            "setpriv",
            &["--reuid=10005", "--regid=10006", "--clear-groups", "unshare", "--user", "--map-root-user"],
        );
        let process = held.process();
        let users = process.uid_map().unwrap().value;
        assert_eq!(users.0, [Range { inside: 0, outside: 10005, count: 1 }]);
        assert_eq!(process.gid_map().unwrap().value.0, [Range { inside: 0, outside: 10006, count: 1 }]);
        assert!(Proc::open().unwrap().this().unwrap().uid_map().unwrap().value.is_identity());
    });
}

#[test]
fn a_process_that_ends_while_it_is_read_is_not_found() {
    let held = Held::start("env", &[]);
    let process = held.process();
    drop(held);
    for error in [
        process.status().unwrap_err(),
        process.namespaces().unwrap_err(),
        process.mounts().unwrap_err(),
        process.cgroup_memberships().unwrap_err(),
        process.interfaces().unwrap_err(),
        process.os_release().unwrap_err(),
        process.uid_map().unwrap_err(),
    ] {
        assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    }
}

#[test]
fn a_process_without_a_filter_is_denied_nothing() {
    isolated(|| {
        let held = Held::start("env", &[]);
        let found = held.process().filter_summary().unwrap().value;
        assert_eq!((found.filters, found.denied.len()), (0, 0));
        assert!(found.known > 300);
        // It goes on as before.
        assert_eq!(held.process().status().unwrap().value.tracer, 0);
    });
}
