//! What the runtime is told about a container.

use std::collections::BTreeMap;

use rpc::cri::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, LinuxContainerResources,
    Mount, MountPropagation,
};
use serde_json::Value;

use super::security::{self, ImageUser};
use super::{
    CONTAINER_HASH, CONTAINER_NAME, ConfigError, Place, Sources, container_hash, environment, expand,
    log_path, pod_labels,
};
use crate::model::{Limits, Wanted};
use crate::read::{flag, items, text, texts};
use crate::resources;

/// A volume that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is on the node.
    pub path: String,
    /// Whether nobody may write.
    pub is_read_only: bool,
    /// The image that it is, for volumes of images.
    pub image: Option<String>,
}

/// What a container's configuration is made of, besides its specification.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// Which of its name.
    pub attempt: u32,
    /// What it refers to.
    pub sources: &'a Sources,
    /// What the node knows.
    pub place: Place<'a>,
    /// The image, as the runtime knows it, and as it was asked for.
    pub image_ref: &'a str,
    /// The image's user.
    pub image_user: &'a ImageUser,
    /// The volumes, by name.
    pub volumes: &'a BTreeMap<String, Mounted>,
    /// Where parts of volumes are (of images: in the image), by the place of the mount in the container's list.
    pub sub_paths: &'a BTreeMap<usize, String>,
    /// The managed `/etc/hosts` on the node.
    pub hosts: Option<&'a str>,
    /// The file for the container's last words.
    pub termination: Option<&'a str>,
    /// The container whose processes an ephemeral one joins, by id.
    pub target: Option<&'a str>,
    /// The machine that limits count on.
    pub machine: Machine,
}

/// What limits depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its memory in bytes.
    pub memory: i64,
    /// Its control groups are those of version 2.
    pub is_cgroup_v2: bool,
}

/// The container's configuration.
pub fn container_config(
    pod: &Value,
    wanted: &Wanted<'_>,
    making: &Making<'_>,
) -> Result<ContainerConfig, ConfigError> {
    let spec = wanted.spec;
    security::verify_user(pod, spec, making.image_user)?;
    let variables = environment(pod, spec, making.sources, &making.place)?;
    let known: BTreeMap<String, String> = variables.iter().cloned().collect();
    let expanded = |list: &str| -> Vec<String> {
        texts(spec, &[list]).iter().map(|text| expand(text, &known)).collect()
    };
    let mut labels = pod_labels(pod);
    labels.push((CONTAINER_NAME.to_owned(), wanted.name().to_owned()));
    let config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: wanted.name().to_owned(), attempt: making.attempt }),
        image: Some(ImageSpec {
            image: making.image_ref.to_owned(),
            user_specified_image: text(spec, &["image"]).to_owned(),
            ..ImageSpec::default()
        }),
        command: expanded("command"),
        args: expanded("args"),
        working_dir: text(spec, &["workingDir"]).to_owned(),
        envs: variables.into_iter().map(|(key, value)| KeyValue { key, value: value.into() }).collect(),
        mounts: mounts(spec, making)?,
        labels: labels.into_iter().collect(),
        annotations: annotations(pod, spec, making.attempt).into_iter().collect(),
        log_path: log_path(wanted.name(), making.attempt),
        stdin: flag(spec, &["stdin"]),
        stdin_once: flag(spec, &["stdinOnce"]),
        tty: wanted.has_terminal(),
        linux: Some(LinuxContainerConfig {
            resources: Some(container_resources(pod, spec, making.machine)),
            security_context: Some(security::context(pod, wanted, making.image_user, making.target)),
        }),
        stop_signal: stop_signal(text(spec, &["lifecycle", "stopSignal"])),
        ..ContainerConfig::default()
    };
    Ok(config)
}

fn annotations(pod: &Value, spec: &Value, attempt: u32) -> Vec<(String, String)> {
    let owned = |key: &str, value: String| (key.to_owned(), value);
    let policy = match text(spec, &["terminationMessagePolicy"]) {
        "" => "File",
        policy => policy,
    };
    let grace = crate::read::number(pod, &["spec", "terminationGracePeriodSeconds"]);
    let mut all = vec![
        owned(CONTAINER_HASH, container_hash(spec)),
        owned("io.kubernetes.container.restartCount", attempt.to_string()),
        owned(
            "io.kubernetes.container.terminationMessagePath",
            text(spec, &["terminationMessagePath"]).to_owned(),
        ),
        owned("io.kubernetes.container.terminationMessagePolicy", policy.to_owned()),
    ];
    all.extend(grace.map(|grace| owned(super::TERMINATION_GRACE, grace.to_string())));
    all
}

/// The limits, as the runtime is told.
pub fn container_resources(pod: &Value, spec: &Value, machine: Machine) -> LinuxContainerResources {
    let Limits { cpu_shares, cpu_quota, cpu_period, memory, oom_score_adj } =
        resources::limits(pod, spec, machine.memory);
    // A container that has lost one of its processes is not what was asked for: all of them end, and it is
    // started again. Version 1 knows of single processes only.
    let unified = machine.is_cgroup_v2.then(|| ("memory.oom.group".to_owned(), "1".to_owned()));
    LinuxContainerResources {
        cpu_shares,
        cpu_quota,
        cpu_period,
        memory_limit_in_bytes: memory,
        oom_score_adj,
        unified: unified.into_iter().collect(),
        ..LinuxContainerResources::default()
    }
}

fn mounts(spec: &Value, making: &Making<'_>) -> Result<Vec<Mount>, ConfigError> {
    let mut all = Vec::new();
    let mut has_hosts = false;
    for (at, wanted) in items(spec, &["volumeMounts"]).iter().enumerate() {
        let (name, path) = (text(wanted, &["name"]), text(wanted, &["mountPath"]));
        let Some(volume) = making.volumes.get(name) else {
            return Err(ConfigError::Mount(format!(
                "cannot find volume {name:?} to mount into container {path:?}"
            )));
        };
        has_hosts = has_hosts || path == HOSTS;
        let is_read_only = volume.is_read_only || flag(wanted, &["readOnly"]);
        let propagation = match text(wanted, &["mountPropagation"]) {
            "HostToContainer" => MountPropagation::PropagationHostToContainer,
            "Bidirectional" => MountPropagation::PropagationBidirectional,
            _ => MountPropagation::PropagationPrivate,
        };
        let container_path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let is_image = volume.image.is_some();
        all.push(Mount {
            container_path,
            host_path: match making.sub_paths.get(&at) {
                Some(path) if !is_image => path.clone(),
                _ => volume.path.clone(),
            },
            readonly: is_read_only,
            recursive_read_only: is_read_only
                && matches!(text(wanted, &["recursiveReadOnly"]), "Enabled" | "IfPossible"),
            propagation: propagation as i32,
            image: volume.image.clone().map(|image| ImageSpec { image, ..ImageSpec::default() }),
            image_sub_path: making.sub_paths.get(&at).filter(|_| is_image).cloned().unwrap_or_default(),
            ..Mount::default()
        });
    }
    let file = |container_path: &str, host_path: &str| Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_owned(),
        ..Mount::default()
    };
    if let Some(hosts) = making.hosts.filter(|_| !has_hosts) {
        all.push(file(HOSTS, hosts));
    }
    let last_words = text(spec, &["terminationMessagePath"]);
    if let Some(path) = making.termination.filter(|_| !last_words.is_empty()) {
        all.push(file(last_words, path));
    }
    Ok(all)
}

/// `SIGUSR1` as the runtime's number of it; 0 is the image's or the default.
fn stop_signal(name: &str) -> i32 {
    rpc::cri::Signal::from_str_name(name).map_or(0, |signal| signal as i32)
}

const HOSTS: &str = "/etc/hosts";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_processes_end_when_memory_does_on_version_2() {
        let machine = |is_cgroup_v2| Machine { memory: 1 << 30, is_cgroup_v2 };
        let pod = json!({"spec": {"containers": [{"name": "c"}]}});
        let spec = &pod["spec"]["containers"][0];
        let told = container_resources(&pod, spec, machine(true)).unified;
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [("memory.oom.group".to_owned(), "1".to_owned())]);
        assert!(container_resources(&pod, spec, machine(false)).unified.is_empty());
    }

    #[test]
    fn a_container_as_the_runtime_is_told() {
        let pod = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}, "spec": {"containers": [{
            "name": "c", "image": "nginx", "command": ["run", "$(A)"], "args": ["$(B)"], "workingDir": "/w",
            "env": [{"name": "A", "value": "1"}], "tty": true, "terminationMessagePath": "/dev/termination-log",
            "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": true, "subPath": "x"}],
            "resources": {"limits": {"cpu": "100m", "memory": "1Mi"}, "requests": {"cpu": "100m", "memory": "1Mi"}}}]}});
        let volumes =
            BTreeMap::from([("v".to_owned(), Mounted { path: "/pods/v".to_owned(), ..Mounted::default() })]);
        let sub_paths = BTreeMap::from([(0, "/pods/sub/0".to_owned())]);
        let making = Making {
            attempt: 3,
            sources: &Sources::default(),
            place: Place { host_addresses: &[], pod_addresses: &[], allocatable: &Value::Null },
            image_ref: "sha256:1",
            image_user: &ImageUser::default(),
            volumes: &volumes,
            sub_paths: &sub_paths,
            hosts: Some("/pods/etc-hosts"),
            termination: Some("/pods/term"),
            target: None,
            machine: Machine { memory: 1 << 30, is_cgroup_v2: false },
        };
        let wanted = Wanted::main(&pod).next().unwrap();
        let found = container_config(&pod, &wanted, &making).unwrap();
        assert_eq!(
            (found.command, found.args),
            (vec!["run".to_owned(), "1".to_owned()], vec!["$(B)".to_owned()])
        );
        assert_eq!((found.log_path.as_str(), found.tty), ("c/3.log", true));
        let mounts: Vec<String> = found
            .mounts
            .iter()
            .map(|it| format!("{}:{}:{}", it.host_path, it.container_path, it.readonly))
            .collect();
        let expected = [
            "/pods/sub/0:/data:true",
            "/pods/etc-hosts:/etc/hosts:false",
            "/pods/term:/dev/termination-log:false",
        ];
        assert_eq!(mounts, expected);
        let resources = found.linux.unwrap().resources.unwrap();
        assert_eq!((resources.cpu_quota, resources.memory_limit_in_bytes), (10_000, 1 << 20));
        assert_eq!(resources.oom_score_adj, -997);
        assert!(resources.unified.is_empty(), "version 1 has no such file");
        let mut lost = pod.clone();
        lost["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("w");
        let wanted = Wanted::main(&lost).next().unwrap();
        assert!(container_config(&lost, &wanted, &making).is_err());
    }
}
