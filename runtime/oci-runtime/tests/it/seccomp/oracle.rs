//! libseccomp as runc drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use serde_json::{Value, json};
use sys::seccomp::{Action, Arch, Call, Instruction, evaluate, number};

use super::ARCHES;

/// A profile as libseccomp compiles it, under runc's rule for calls that are too new.
pub(crate) struct Oracle {
    program: Vec<Instruction>,
    unknown: BTreeSet<String>,
    /// The newest call that the profile names, where what is newer does not exist.
    newest: BTreeMap<Arch, u32>,
}

impl Oracle {
    /// Compiles all of them in one go.
    pub(crate) fn of(profiles: &[LinuxSeccomp]) -> Vec<Self> {
        let profiles: Vec<Value> =
            profiles.iter().map(|profile| serde_json::to_value(profile).unwrap()).collect();
        let wanted: Vec<Value> = profiles.iter().map(as_wanted).collect();
        let answers = ask(&json!(wanted));
        let oracle = |(profile, answer): (&Value, &Value)| {
            let unknown: BTreeSet<String> = serde_json::from_value(answer["unknown"].clone()).unwrap();
            let known = |name: &&str| !unknown.contains(*name);
            let newest = |arch| names(profile).filter(known).filter_map(|name| number(arch, name)).max();
            Self {
                program: program(answer["program"].as_str().unwrap()),
                newest: ARCHES.iter().filter_map(|arch| Some((*arch, newest(*arch)?))).collect(),
                unknown,
            }
        };
        profiles.iter().zip(answers.as_array().unwrap()).map(oracle).collect()
    }

    /// Calls that libseccomp has no number of.
    pub(crate) fn unknown(&self) -> BTreeSet<&str> {
        self.unknown.iter().map(String::as_str).collect()
    }

    /// The verdict. runc puts a few instructions before libseccomp's: a call newer than the newest
    /// that the profile names does not exist. All profiles here deny by default.
    pub(crate) fn evaluate(&self, arch: Arch, call: &Call) -> Action {
        if self.newest.get(&arch).is_some_and(|newest| call.number > *newest) {
            return Action::Errno(38);
        }
        evaluate(&self.program, call)
    }
}

fn names(profile: &Value) -> impl Iterator<Item = &str> {
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    rules.flat_map(|rule| rule["names"].as_array().into_iter().flatten()).filter_map(Value::as_str)
}

/// A profile of docker's form for these capabilities, as docker itself reads it.
pub(crate) fn resolve(text: &str, capabilities: &Capabilities) -> LinuxSeccomp {
    let mut profile: Value = serde_json::from_str(text).unwrap();
    let capabilities: Vec<Value> =
        capabilities.iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    let all = |condition: &Value, wanted: bool| {
        let list = |key: &str| condition[key].as_array().cloned().unwrap_or_default();
        let (caps, arches) = (list("caps"), list("arches"));
        caps.iter().all(|cap| capabilities.contains(cap) == wanted)
            && (arches.is_empty() || arches.contains(&json!("amd64")) == wanted)
    };
    let rules = profile["syscalls"].as_array_mut().unwrap();
    rules.retain(|rule| all(&rule["includes"], true) && all(&rule["excludes"], false));
    for rule in rules.iter_mut() {
        rule.as_object_mut().unwrap().retain(|key, value| {
            ["names", "action", "errnoRet", "args"].contains(&key.as_str()) && !value.is_null()
        });
    }
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    profile.as_object_mut().unwrap().retain(|key, _| key != "archMap" && key != "defaultErrno");
    serde_json::from_value(profile).unwrap()
}

/// What the script wants: plain numbers, and no rule that says what the default says.
fn as_wanted(profile: &Value) -> Value {
    let default = action(profile, "defaultAction", "defaultErrnoRet");
    let empty = Vec::new();
    let rules = profile["syscalls"].as_array().unwrap().iter().filter_map(|rule| {
        let action = action(rule, "action", "errnoRet");
        let args = rule["args"].as_array().unwrap_or(&empty);
        let args = args.iter().map(|arg| {
            let op = arg["op"].as_str().unwrap().trim_start_matches("SCMP_CMP_");
            let value_two = arg["valueTwo"].as_u64().unwrap_or_default();
            json!({ "index": arg["index"], "op": op, "value": arg["value"], "valueTwo": value_two })
        });
        (action != default)
            .then(|| json!({ "action": action, "names": rule["names"], "args": args.collect::<Vec<_>>() }))
    });
    json!({ "default": default, "arches": ["x86", "x32"], "rules": rules.collect::<Vec<_>>() })
}

fn action(holder: &Value, action: &str, errno: &str) -> u32 {
    let errno = holder[errno].as_u64().unwrap_or(1);
    let action = match holder[action].as_str().unwrap() {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(u16::try_from(errno).unwrap()),
        other => panic!("no profile here has {other}"),
    };
    action.ret()
}

fn ask(question: &Value) -> Value {
    // The system's own: another Python need not find the system's libraries.
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", include_str!("libseccomp.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("Debian's python3");
    let mut stdin = child.stdin.take().unwrap();
    let text = question.to_string();
    // It reads all before it writes.
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "libseccomp2 is there, and takes the profile");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn program(hex: &str) -> Vec<Instruction> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let one = |b: &[u8]| Instruction {
        code: u16::from_ne_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.chunks_exact(8).map(one).collect()
}
