//! Two containers, images or pods beside each other: what is different.
//!
//! Each side is a list of named facts, taken from the document that `inspect` prints (or the
//! API server's object) and, of what runs, from the kernel. What a thing is called and where its
//! own files are is no difference: its id is replaced before.

mod render;

use std::collections::BTreeMap;

use inspect::status::SeccompMode;
use serde::Serialize;
use serde_json::Value;

use crate::view::{Relation, View};

pub use render::render_comparison;

/// The answer: what `strake explain --diff A B --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The version of this form.
    pub version: u32,
    /// The first.
    pub a: SideName,
    /// The second.
    pub b: SideName,
    /// How many facts are the same.
    pub same: usize,
    /// The others, by section and name.
    pub differences: Vec<FactDifference>,
}

/// Which side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideName {
    /// `container`, `image`, `pod`.
    pub kind: String,
    /// As the user named it.
    pub name: String,
}

/// One fact that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactDifference {
    /// `environment`, `mounts`, `limits`…
    pub section: &'static str,
    /// `PATH`, `/data Source`, `Memory`.
    pub name: String,
    /// The value of the first; none when it has none.
    pub a: Option<String>,
    /// The value of the second.
    pub b: Option<String>,
}

/// All that is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    name: SideName,
    /// Words that name it and nothing else.
    own: Vec<String>,
    facts: BTreeMap<(usize, String), String>,
}

impl Side {
    /// A container, from `inspect`'s document.
    pub fn container(name: &str, document: &Value) -> Self {
        let mut side = Self::new("container", name, document);
        for key in ["Path", "Args", "Image", "RestartCount", "Platform", "AppArmorProfile"] {
            side.take(key, &document[key]);
        }
        for key in ["Status", "ExitCode", "OOMKilled", "Error"] {
            side.take(&format!("State.{key}"), &document["State"][key]);
        }
        side.take("State.Health.Status", &document["State"]["Health"]["Status"]);
        for (key, value) in document["Config"].as_object().into_iter().flatten() {
            side.take(&format!("Config.{key}"), value);
        }
        for (key, value) in document["HostConfig"].as_object().into_iter().flatten() {
            side.take(&format!("HostConfig.{key}"), value);
        }
        side.take("Mounts", &document["Mounts"]);
        for key in ["IPAddress", "GlobalIPv6Address", "Gateway", "MacAddress", "Ports", "Networks"] {
            side.take(&format!("NetworkSettings.{key}"), &document["NetworkSettings"][key]);
        }
        side
    }

    /// An image, from `image inspect`'s document.
    pub fn image(name: &str, document: &Value) -> Self {
        let mut side = Self::new("image", name, document);
        for key in ["Id", "Created", "Author", "Comment", "Architecture", "Variant", "Os", "Size", "RootFS"] {
            side.take(&format!("Image.{key}"), &document[key]);
        }
        for (key, value) in document["Config"].as_object().into_iter().flatten() {
            side.take(&format!("Config.{key}"), value);
        }
        side
    }

    /// A pod, as the API server has it.
    pub fn pod(name: &str, object: &Value) -> Self {
        let mut side = Self::new("pod", name, &Value::Null);
        for key in ["name", "uid"] {
            side.own.extend(object["metadata"][key].as_str().map(str::to_owned));
        }
        side.take("Pod.labels", &object["metadata"]["labels"]);
        side.take("Pod.annotations", &object["metadata"]["annotations"]);
        side.take("Pod.spec", &object["spec"]);
        side.take("Pod.phase", &object["status"]["phase"]);
        side.take("Pod.qosClass", &object["status"]["qosClass"]);
        side
    }

    /// Adds what the kernel holds of its first process.
    #[must_use]
    pub fn with_view(mut self, view: &View) -> Self {
        for found in view.namespaces.iter().flatten() {
            let relation = match found.relation {
                Relation::Hosts => "the host's",
                Relation::Private => "its own",
                Relation::Shared => "shared",
                Relation::Unknown => continue,
            };
            self.fact(NAMESPACES, &format!("kernel {}", found.namespace.value.kind.as_str()), relation);
        }
        if let Ok(status) = &view.status {
            for name in status.value.capabilities.effective.names() {
                self.fact(RIGHTS, &format!("kernel effective {name}"), "yes");
            }
            if let Some(set) = status.value.no_new_privs {
                self.fact(RIGHTS, "kernel no_new_privs", if set { "set" } else { "not set" });
            }
            let seccomp = match status.value.seccomp {
                Some(SeccompMode::Disabled) => "no filter",
                Some(SeccompMode::Strict) => "strict",
                Some(SeccompMode::Filter) => "filtered",
                None => "unknown",
            };
            self.fact(RIGHTS, "kernel seccomp", seccomp);
        }
        self
    }

    fn new(kind: &str, name: &str, document: &Value) -> Self {
        let mut own = Vec::new();
        if let Some(id) = document["Id"].as_str().filter(|_| kind == "container") {
            own.push(id.to_owned());
            own.extend(id.get(..SHORT_ID).map(str::to_owned));
        }
        let name = SideName { kind: kind.to_owned(), name: name.to_owned() };
        Self { name, own, facts: BTreeMap::new() }
    }

    fn take(&mut self, path: &str, value: &Value) {
        let Some((section, name)) = place(path) else { return };
        let mut found = Vec::new();
        flatten(&name, value, &mut found);
        for (name, value) in found {
            self.fact(section, &name, &value);
        }
    }

    fn fact(&mut self, section: usize, name: &str, value: &str) {
        let own = |text: &str| self.own.iter().fold(text.to_owned(), |text, own| text.replace(own, "{id}"));
        let (name, value) = (own(name), own(value));
        self.facts.insert((section, name), value);
    }
}

/// Puts two things beside each other.
pub fn compare(a: &Side, b: &Side) -> Comparison {
    let mut differences = Vec::new();
    let mut same = 0;
    let keys: std::collections::BTreeSet<_> = a.facts.keys().chain(b.facts.keys()).collect();
    for key in keys {
        match (a.facts.get(key), b.facts.get(key)) {
            (left, right) if left == right => same += 1,
            (left, right) => differences.push(FactDifference {
                section: SECTIONS[key.0],
                name: key.1.clone(),
                a: left.cloned(),
                b: right.cloned(),
            }),
        }
    }
    Comparison { version: VERSION, a: a.name.clone(), b: b.name.clone(), same, differences }
}

/// In which section a fact stands and under which name; none when it names the thing itself.
fn place(path: &str) -> Option<(usize, String)> {
    let (group, key) = path.split_once('.').unwrap_or(("", path));
    let section = match (group, key) {
        ("NetworkSettings", _) => NETWORK,
        ("Image", _) | ("", "Image" | "Platform") | ("Config", "Image") => IMAGE,
        ("", "Path" | "Args") | ("Config", "Cmd" | "Entrypoint" | "WorkingDir" | "User" | "Shell") => COMMAND,
        ("Config", "Env") => return Some((ENVIRONMENT, String::new())),
        ("Config", "Labels") | ("Pod", "labels" | "annotations") => LABELS,
        ("", "Mounts") => return Some((MOUNTS, String::new())),
        ("HostConfig", "Binds" | "Tmpfs" | "VolumesFrom" | "Mounts" | "ShmSize") | ("Config", "Volumes") => {
            MOUNTS
        }
        ("HostConfig", key) if LIMITS_OF_HOST_CONFIG.iter().any(|prefix| key.starts_with(prefix)) => LIMITS,
        ("HostConfig", key) if key.ends_with("Mode") && key != "RestartMode" => NAMESPACES,
        (
            "HostConfig",
            "Privileged" | "CapAdd" | "CapDrop" | "SecurityOpt" | "ReadonlyRootfs" | "MaskedPaths"
            | "ReadonlyPaths" | "GroupAdd" | "Devices" | "DeviceCgroupRules",
        )
        | ("", "AppArmorProfile") => RIGHTS,
        (
            "HostConfig",
            "PortBindings" | "Dns" | "DnsOptions" | "DnsSearch" | "ExtraHosts" | "PublishAllPorts",
        )
        | ("Config", "ExposedPorts" | "Hostname" | "Domainname" | "MacAddress") => NETWORK,
        // It says the container's name to itself.
        ("HostConfig", "ContainerIDFile") => return None,
        ("State", _) | ("", "RestartCount") | ("Pod", "phase") => STATE,
        _ => OTHER,
    };
    let name = match (group, key) {
        ("Pod", "spec") => String::new(),
        ("Config" | "HostConfig" | "NetworkSettings" | "Image" | "Pod" | "State", key) => key.to_owned(),
        _ => path.to_owned(),
    };
    Some((section, name))
}

/// Takes a document apart into lines. What is empty is as if it were not there.
fn flatten(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name} {key}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&below(key), value, found)),
        Value::Array(items) if ORDERED.iter().any(|ordered| name.ends_with(ordered)) => {
            if !items.is_empty() {
                found.push((name.to_owned(), value.to_string()));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::String(text) => {
                        let (key, value) = text.split_once('=').unwrap_or((text, "yes"));
                        found.push((below(key), value.to_owned()));
                    }
                    Value::Object(map) => {
                        let key = KEYS.iter().find_map(|key| map.get(*key)).filter(|key| !key.is_object());
                        let key = key.map_or_else(|| index.to_string(), plain);
                        flatten(&below(&key), item, found);
                    }
                    other => found.push((below(&index.to_string()), plain(other))),
                }
            }
        }
        Value::String(text) if text.is_empty() => {}
        scalar => found.push((name.to_owned(), plain(scalar))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Lists whose order means something.
const ORDERED: [&str; 8] = ["Args", "Cmd", "Entrypoint", "args", "command", "Layers", "Dns", "Test"];
/// What tells the members of a list apart, in this order.
const KEYS: [&str; 11] = [
    "Destination",
    "Target",
    "PathInContainer",
    "Name",
    "name",
    "mountPath",
    "containerPort",
    "HostPort",
    "key",
    "ip",
    "Path",
];
const LIMITS_OF_HOST_CONFIG: [&str; 9] =
    ["Memory", "Cpu", "NanoCpus", "Pids", "Blkio", "Ulimits", "Oom", "IO", "Cgroup"];
const SECTIONS: [&str; 11] = [
    "image",
    "command",
    "environment",
    "labels",
    "mounts",
    "limits",
    "rights",
    "namespaces",
    "network",
    "other",
    "state",
];
const IMAGE: usize = 0;
const COMMAND: usize = 1;
const ENVIRONMENT: usize = 2;
const LABELS: usize = 3;
const MOUNTS: usize = 4;
const LIMITS: usize = 5;
const RIGHTS: usize = 6;
const NAMESPACES: usize = 7;
const NETWORK: usize = 8;
const OTHER: usize = 9;
const STATE: usize = 10;
const SHORT_ID: usize = 12;
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(id: &str) -> Value {
        json!({
            "Id": id.repeat(64), "Path": "sleep", "Args": ["1"], "Image": "sha256:1",
            "State": {"Status": "running", "Pid": 5},
            "Config": {"Env": ["PATH=/bin", "A=1"], "Hostname": id.repeat(12), "Labels": {"k": "v"}},
            "HostConfig": {"Memory": 0, "CapAdd": null, "NetworkMode": "bridge"},
            "Mounts": [{"Destination": "/data", "Source": "/a", "RW": true}],
            "NetworkSettings": {"Ports": {}},
        })
    }

    fn differences(a: &Value, b: &Value) -> Vec<(&'static str, String, Option<String>, Option<String>)> {
        let compared = compare(&Side::container("a", a), &Side::container("b", b));
        compared.differences.into_iter().map(|d| (d.section, d.name, d.a, d.b)).collect()
    }

    #[test]
    fn the_same_but_for_its_name_has_no_difference() {
        assert_eq!(differences(&document("a"), &document("b")), []);
    }

    #[test]
    fn each_difference_stands_in_its_section() {
        let (a, mut b) = (document("a"), document("b"));
        b["Config"]["Env"] = json!(["PATH=/sbin", "B=2"]);
        b["HostConfig"]["Memory"] = json!(64);
        b["HostConfig"]["CapAdd"] = json!(["NET_ADMIN"]);
        b["HostConfig"]["NetworkMode"] = json!("host");
        b["Mounts"][0]["RW"] = json!(false);
        b["Args"] = json!(["2"]);
        let some = |text: &str| Some(text.to_owned());
        let expected = [
            ("command", "Args", some(r#"["1"]"#), some(r#"["2"]"#)),
            ("environment", "A", some("1"), None),
            ("environment", "B", None, some("2")),
            ("environment", "PATH", some("/bin"), some("/sbin")),
            ("mounts", "/data RW", some("true"), some("false")),
            ("limits", "Memory", some("0"), some("64")),
            ("rights", "CapAdd NET_ADMIN", None, some("yes")),
            ("namespaces", "NetworkMode", some("bridge"), some("host")),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(s, n, a, b)| (s, n.to_owned(), a, b)).collect();
        assert_eq!(differences(&a, &b), expected);
    }

    #[test]
    fn pods_are_compared_by_their_containers_names() {
        let pod = |image: &str| json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "web", "image": image}]}});
        let compared = compare(&Side::pod("a", &pod("nginx:1")), &Side::pod("b", &pod("nginx:2")));
        assert_eq!(compared.differences.len(), 1);
        assert_eq!(compared.differences[0].name, "containers web image");
    }

    #[test]
    fn the_form_is_stable() {
        let mut b = document("b");
        b["Args"] = json!(["2"]);
        let compared = compare(&Side::container("a", &document("a")), &Side::container("b", &b));
        let expected = json!({
            "version": 1, "same": 9,
            "a": {"kind": "container", "name": "a"}, "b": {"kind": "container", "name": "b"},
            "differences": [{"section": "command", "name": "Args", "a": "[\"1\"]", "b": "[\"2\"]"}],
        });
        let mut json = serde_json::to_value(&compared).unwrap();
        json["same"] = json!(9);
        assert_eq!(json, expected);
        let other = compare(&Side::container("b", &b), &Side::container("a", &json!({})));
        let documents = [json, serde_json::to_value(&other).unwrap()];
        testkit::Documented::read("json-explain-diff").check_all(&documents);
        assert!(compared.same > 5);
    }
}
