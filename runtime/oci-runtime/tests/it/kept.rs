//! Compiled filters are kept for the next container with the same section, and for no other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use sys::seccomp::{Action, Flags, Policy};
use testkit::isolated;

use crate::bundle::Bundle;

const DENIED: &str = "denied denied";

/// Tells whether directories can be made and removed.
fn bundle(section: Value) -> Bundle {
    let each = |verb: &str| format!("if {verb} 2> /tmp/said; then echo -n allowed; else echo -n denied; fi");
    let script = format!("{}; echo -n ' '; {}", each("mkdir /tmp/made"), each("rmdir /tmp/there"));
    let bundle = Bundle::new().with(|spec| spec["linux"]["seccomp"] = section).script(&script);
    std::os::unix::fs::symlink("busybox", bundle.in_root("bin/rmdir")).unwrap();
    bundle
}

fn denies(names: &[&str]) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 122 }]
    })
}

fn run(bundle: &Bundle) -> String {
    prepare(bundle);
    bundle.run().ok().to_owned()
}

fn prepare(bundle: &Bundle) {
    for (name, there) in [("made", false), ("there", true)] {
        let dir = bundle.in_root("tmp").join(name);
        let _ = if there { fs::create_dir(dir) } else { fs::remove_dir(dir) };
    }
}

/// The files with kept filters.
fn files(bundle: &Bundle) -> Vec<PathBuf> {
    fs::read_dir(bundle.kept()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_filter_is_kept_for_the_next_container_with_its_section() {
    isolated(|| {
        let bundle = bundle(denies(&["mkdir", "rmdir"]));
        assert_eq!(run(&bundle), DENIED);
        bundle.create().ok();
        let filter = fs::read(bundle.state_root().join("c/seccomp.bpf")).unwrap();
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let [file] = &files(&bundle)[..] else { panic!("{:?}", files(&bundle)) };
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        // It is really taken from there: another filter behind the same section shows.
        let all = fs::read(file).unwrap();
        let key = all.strip_suffix(&*filter).unwrap();
        let flags = Flags { tsync: false, log: false, spec_allow: true, wait_killable_recv: false };
        let allows = Policy { default: Action::Allow, arches: Vec::new(), rules: Vec::new(), flags };
        let allows = sys::seccomp::compile(&allows).unwrap().to_bytes();
        let exchange = || fs::write(file, [key, &allows].concat()).unwrap();
        exchange();
        assert_eq!(run(&bundle), "allowed allowed");
        // What others could have written is not, nor what is no filter; both are made anew.
        fs::set_permissions(file, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(fs::read(file).unwrap(), all);
        exchange();
        std::os::unix::fs::chown(file, Some(1000), None).unwrap();
        assert_eq!(run(&bundle), DENIED);
        fs::write(file, &all[..all.len() - 1]).unwrap();
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(fs::read(file).unwrap(), all);
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink(bundle.dir.join("config.json"), file).unwrap();
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(fs::read(file).unwrap(), all);
        // Another program may compile otherwise.
        let mut others = [key, &allows].concat();
        others[8] ^= 1;
        fs::write(file, others).unwrap();
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(fs::read(file).unwrap(), all);
        // And what was cut off in the middle is none.
        fs::write(file, &all[..all.len() / 2]).unwrap();
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(run(&bundle), DENIED);
        assert_eq!(&files(&bundle)[..], std::slice::from_ref(file));
        bundle.assert_nothing_left();
        assert_eq!(bundle.runtime(&["list", "--quiet"]).ok(), "");
    });
}

#[test]
fn a_section_of_the_same_length_gets_a_filter_of_its_own() {
    isolated(|| {
        let bundle = bundle(denies(&["mkdir"]));
        assert_eq!(run(&bundle), "denied allowed");
        let bundle = bundle.with(|spec| spec["linux"]["seccomp"] = denies(&["rmdir"]));
        assert_eq!(run(&bundle), "allowed denied");
        let bundle = bundle.with(|spec| spec["linux"]["seccomp"] = denies(&["mkdir"]));
        assert_eq!(run(&bundle), "denied allowed");
        assert_eq!(files(&bundle).len(), 1);
    });
}

/// Of a member that is there twice the last counts: what was made from that must not be found by the text
/// of the first.
#[test]
fn se_04_no_container_is_given_a_filter_that_another_had_made_for_it() {
    isolated(|| {
        let bundle = bundle(denies(&["mkdir", "rmdir"]));
        bundle.write_config();
        let config = bundle.dir.join("config.json");
        let (section, path) = (denies(&["mkdir", "rmdir"]).to_string(), bundle.dir.path().to_str().unwrap());
        let text = fs::read_to_string(&config).unwrap();
        let twice = format!("\"seccomp\":{section},\"seccomp\":{{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}");
        let twice = text.replacen(&format!("\"seccomp\":{section}"), &twice, 1);
        assert_ne!(twice, text);
        let run_twice = || {
            prepare(&bundle);
            fs::write(&config, &twice).unwrap();
            assert_eq!(bundle.runtime(&["run", "--bundle", path, "c"]).ok(), "allowed allowed");
        };
        run_twice();
        assert_eq!(run(&bundle), DENIED);
        // The first has its filter by now, and still it does not count.
        run_twice();
        assert_eq!(run(&bundle), DENIED);
    });
}

#[test]
fn what_has_to_be_said_each_time_is_said_each_time() {
    isolated(|| {
        let bundle = bundle(denies(&["mkdir", "no_such_call"]));
        for _ in 0..2 {
            let output = bundle.run();
            assert!(output.stderr.contains("no_such_call"), "{}", output.stderr);
        }
        assert_eq!(files(&bundle).len(), 0);
    });
}
