//! What a process in the container finds itself with: descriptors and a working directory, and
//! nothing of the runtime's or its caller's, also after calls that failed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use testkit::{Output, isolated};

use crate::bundle::Bundle;

/// The runtime, called by one who has left descriptors open: the host's root, a directory with a
/// secret, and a file. (`args` are words without blanks.)
fn called_carelessly(bundle: &Bundle, args: &str) -> Output {
    let command = bundle.command(&[]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.display().to_string())
        .collect();
    let (dir, line) = (bundle.dir.path().display(), words.join(" "));
    let script = format!("exec 3</ 4<{dir} 5</etc/passwd 6<>{dir}/config.json 9</proc/1/ns; {line} {args}");
    testkit::run(Command::new("sh").args(["-c", &script]))
}

/// Lists a process's descriptors; `ls` itself has one more than it was given.
const LIST: &str = "ls /proc/self/fd";

fn numbers(output: &str) -> Vec<&str> {
    output.split_whitespace().collect()
}

fn carelessly_run(bundle: &Bundle, options: &str) -> Output {
    bundle.write_config();
    called_carelessly(bundle, &format!("run {options} --bundle {} c", bundle.dir.path().display()))
}

#[test]
fn cve_2024_21626_only_the_standard_streams_and_what_is_preserved_are_open() {
    isolated(|| {
        let bundle = Bundle::new().script(LIST);
        assert_eq!(numbers(carelessly_run(&bundle, "").ok()), ["0", "1", "2", "3"]);
        assert_eq!(numbers(carelessly_run(&bundle, "--preserve-fds 2").ok()), ["0", "1", "2", "3", "4", "5"]);
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        assert_eq!(numbers(called_carelessly(&bundle, &format!("exec c {LIST}")).ok()), ["0", "1", "2", "3"]);
        let preserving = format!("exec --preserve-fds 1 c {LIST}");
        assert_eq!(numbers(called_carelessly(&bundle, &preserving).ok()), ["0", "1", "2", "3", "4"]);
    });
}

/// What is to be passed on and was never opened: none of the runtime's own descriptors gets that number. Its log did.
#[test]
fn cve_2024_21626_descriptors_that_nobody_opened_are_not_the_runtimes() {
    isolated(|| {
        let bundle = Bundle::new().script(LIST);
        bundle.write_config();
        let (path, log) = (bundle.dir.path().display().to_string(), bundle.dir.join("log"));
        let open = |bundle: &Bundle, args: &str| {
            let command = bundle.command(&["--debug", "--log", log.to_str().unwrap()]);
            let mut line = command.get_program().display().to_string();
            command.get_args().for_each(|word| line.extend([" ", word.to_str().unwrap()]));
            let script = format!("exec 3<&- 4</etc/passwd 5<&- 6<&- 7<&-; {line} {args}");
            let output = testkit::run(Command::new("sh").args(["-c", &script]));
            let told = fs::read_to_string(&log).unwrap();
            assert!(told.contains("descriptors to preserve are not open, number 3 the first"), "{told}");
            fs::remove_file(&log).unwrap();
            output.ok().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        // `ls` itself takes the lowest that is free.
        for (count, passed) in [(1, "0 1 2 3"), (5, "0 1 2 3 4")] {
            let run = open(&bundle, &format!("run --preserve-fds {count} --bundle {path} c"));
            assert_eq!(run, passed, "{count}");
        }
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        assert_eq!(open(&bundle, &format!("exec --preserve-fds 5 c {LIST}")), "0 1 2 3 4");
    });
}

#[test]
fn cve_2024_21626_after_errors_nothing_more_is_open() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.write_config();
        let path = bundle.dir.path().display().to_string();
        // The caller's output is a pipe: init must not hold it open, or we would wait for ever.
        let create = format!("create --bundle {path} c >/dev/null 2>&1");
        called_carelessly(&bundle, &create).ok();
        called_carelessly(&bundle, &create).exits(1);
        bundle.runtime(&["start", "c"]).ok();
        for args in [
            "exec c nope",
            "exec --cwd /nope c true",
            "exec --cap CAP_NOPE c true",
            "exec -u 4294967295 c true",
        ] {
            assert_ne!(called_carelessly(&bundle, args).code, 0, "{args}");
            let list = format!("exec c {LIST}");
            assert_eq!(numbers(called_carelessly(&bundle, &list).ok()), ["0", "1", "2", "3"], "{args}");
        }
        let fds = fs::read_dir(format!("/proc/{}/fd", bundle.pid())).unwrap().flatten();
        let mut fds: Vec<_> = fds.map(|entry| entry.file_name().display().to_string()).collect();
        fds.sort();
        assert_eq!(fds, ["0", "1", "2"], "init's own");
    });
}

#[test]
fn cve_2024_21626_hooks_get_their_standard_streams_only() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /tmp/start");
        let hook = |file: &str| {
            let script = format!("{LIST} > {file}");
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }])
        };
        let outside = ["runtime", "container"].map(|name| bundle.dir.join(name));
        let hooks = json!({
            "createRuntime": hook(&outside[0].display().to_string()),
            "createContainer": hook(&outside[1].display().to_string()),
            "startContainer": hook("/tmp/start"),
        });
        let bundle = bundle.with(|spec| spec["hooks"] = hooks);
        assert_eq!(numbers(carelessly_run(&bundle, "").ok()), ["0", "1", "2", "3"]);
        for file in outside {
            assert_eq!(
                numbers(&fs::read_to_string(&file).unwrap()),
                ["0", "1", "2", "3"],
                "{}",
                file.display()
            );
        }
    });
}

#[test]
fn cve_2024_21626_a_preserved_directory_of_the_host_is_no_working_directory() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        for number in [3, 4, 5, 6, 9] {
            symlink(format!("/proc/self/fd/{number}"), bundle.in_root(&format!("link{number}"))).unwrap();
            for cwd in [
                format!("/proc/self/fd/{number}"),
                format!("/proc/self/fd/{number}/."),
                format!("/link{number}"),
            ] {
                for preserve in ["", "--preserve-fds 7"] {
                    let args = format!("exec {preserve} --cwd {cwd} c cat config.json");
                    let output = called_carelessly(&bundle, &args);
                    assert_eq!((output.code, output.stdout.as_str()), (255, ""), "{args}");
                    let other = Bundle::new()
                        .script("cat config.json")
                        .with(|spec| spec["process"]["cwd"] = json!(cwd));
                    symlink(format!("/proc/self/fd/{number}"), other.in_root(&format!("link{number}")))
                        .unwrap();
                    let output = carelessly_run(&other, preserve);
                    assert_ne!(output.code, 0, "{preserve} {cwd}");
                    assert_eq!(output.stdout, "", "{preserve} {cwd}");
                    other.assert_nothing_left();
                }
            }
        }
    });
}

#[test]
fn cve_2022_29162_a_further_process_of_any_user_inherits_no_capability() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        for user in ["0", "1000", "1000:1000"] {
            for extra in [&[][..], &["--cap", "CAP_NET_ADMIN"]] {
                let mut args = vec!["exec", "-u", user];
                args.extend(extra);
                args.extend(["c", "grep", "CapInh", "/proc/self/status"]);
                assert_eq!(bundle.runtime(&args).ok(), "CapInh:\t0000000000000000", "{args:?}");
            }
        }
    });
}
