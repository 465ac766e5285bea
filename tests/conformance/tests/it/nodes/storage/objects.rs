//! Config maps and secrets as files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Place, container, mount, place, pod, push, repeat};

/// An object that holds data, and how volumes name it.
#[derive(Clone, Copy)]
struct Source {
    is_secret: bool,
    is_projected: bool,
}

const CONFIG_MAP: Source = Source { is_secret: false, is_projected: false };
const SECRET: Source = Source { is_secret: true, is_projected: false };
const PROJECTED_CONFIG_MAP: Source = Source { is_secret: false, is_projected: true };
const PROJECTED_SECRET: Source = Source { is_secret: true, is_projected: true };

/// How a volume shows its object.
#[derive(Clone, Copy, Default)]
struct How {
    /// `defaultMode`.
    mode: Option<u32>,
    /// `data-2` alone, as `path/to/data-2`.
    mapped: bool,
    /// The mode of that one.
    item_mode: Option<u32>,
    optional: bool,
    /// Who looks, if not root.
    user: Option<u32>,
    /// `fsGroup`.
    group: Option<u32>,
}

const PLAIN: How =
    How { mode: None, mapped: false, item_mode: None, optional: false, user: None, group: None };
const MAPPED: How = How { mapped: true, ..PLAIN };
/// A user that the image knows.
const USER: Option<u32> = Some(1000);

impl Source {
    fn path(self, place: &Place) -> String {
        place.path(if self.is_secret { "secrets" } else { "configmaps" })
    }

    fn object(self, name: &str, data: &[(&str, &str)]) -> Value {
        let kind = if self.is_secret { "Secret" } else { "ConfigMap" };
        let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
        for (key, value) in data {
            let value = if self.is_secret { STANDARD.encode(value) } else { (*value).to_owned() };
            object["data"][*key] = json!(value);
        }
        object
    }

    fn volume(self, volume: &str, object: &str, how: How) -> Value {
        let name = if self.is_secret && !self.is_projected { "secretName" } else { "name" };
        let mut source = json!({ name: object });
        if how.optional {
            source["optional"] = json!(true);
        }
        if how.mapped {
            source["items"] = json!([{ "key": "data-2", "path": "path/to/data-2" }]);
        }
        if let Some(mode) = how.item_mode {
            source["items"][0]["mode"] = json!(mode);
        }
        let kind = if self.is_secret { "secret" } else { "configMap" };
        let mut whole = if self.is_projected { json!({ "sources": [{ kind: source }] }) } else { source };
        if let Some(mode) = how.mode {
            whole["defaultMode"] = json!(mode);
        }
        json!({ "name": volume, if self.is_projected { "projected" } else { kind }: whole })
    }
}

/// A pod that prints a file of its volume, its mode and who it is.
fn reader(source: Source, object: &str, how: How) -> Value {
    let file = format!("{FILES}/{}", if how.mapped { "path/to/data-2" } else { "data-1" });
    let mut pod = pod(&format!("cat {file}; echo; stat -L -c %A {file}; id -u"));
    mount(&mut pod, source.volume("files", object, how), FILES);
    let context = &mut pod["spec"]["securityContext"];
    *context = json!({});
    if let Some(user) = how.user {
        context["runAsUser"] = json!(user);
    }
    if let Some(group) = how.group {
        context["fsGroup"] = json!(group);
    }
    pod
}

fn consumable(source: Source, how: How, mode: &str) {
    let place = place();
    place.post(&source.path(&place), &source.object("data", VALUES));
    let said = place.output(&reader(source, "data", how));
    let value = if how.mapped { "value-2" } else { "value-1" };
    assert_eq!(said, format!("{value}\n{mode}\n{}\n", how.user.unwrap_or(0)));
}

fn in_two_volumes(source: Source) {
    let place = place();
    place.post(&source.path(&place), &source.object("data", VALUES));
    let mut pod = pod(&format!("cat {FILES}-1/data-1 {FILES}-2/data-1"));
    mount(&mut pod, source.volume("one", "data", PLAIN), &format!("{FILES}-1"));
    mount(&mut pod, source.volume("two", "data", PLAIN), &format!("{FILES}-2"));
    assert_eq!(place.output(&pod), "value-1value-1");
}

fn follows_updates(source: Source) {
    let place = place();
    let objects = source.path(&place);
    place.post(&objects, &source.object("data", &[("data-1", "value-1")]));
    let mut pod = pod(&repeat(&format!("{FILES}/data-1")));
    mount(&mut pod, source.volume("files", "data", PLAIN), FILES);
    place.running(&place.namespace, &pod);
    place.until_said("main", "value-1");
    let mut object = place.get(&format!("{objects}/data"));
    object["data"]["data-1"] = json!("value-2");
    place.put(&format!("{objects}/data"), &object);
    place.until_said("main", "value-2");
}

/// One object that goes, one that changes and one that comes, all optional.
fn follows_optional(source: Source) {
    let place = place();
    let objects = source.path(&place);
    place.post(&objects, &source.object("goes", &[("data-1", "value-1")]));
    place.post(&objects, &source.object("changes", &[("data-1", "value-1")]));
    let mut pod = pod("");
    pod["spec"]["containers"] = json!([]);
    for (name, file) in [("goes", "data-1"), ("changes", "data-3"), ("comes", "data-1")] {
        let mut looker = container(name, &repeat(&format!("{FILES}/{file}")));
        push(&mut looker["volumeMounts"], json!({ "name": name, "mountPath": FILES }));
        push(&mut pod["spec"]["containers"], looker);
        let how = How { optional: true, ..PLAIN };
        push(&mut pod["spec"]["volumes"], source.volume(name, name, how));
    }
    place.running(&place.namespace, &pod);
    place.until_said("goes", "value-1");
    place.until_said("changes", "absent");
    place.until_said("comes", "absent");
    place.delete(&format!("{objects}/goes"));
    let mut changed = place.get(&format!("{objects}/changes"));
    changed["data"] = source.object("", &[("data-3", "value-3")])["data"].take();
    place.put(&format!("{objects}/changes"), &changed);
    place.post(&objects, &source.object("comes", &[("data-1", "value-1")]));
    place.until_said("comes", "value-1");
    place.until_said("changes", "value-3");
    place.until_said("goes", "absent");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume() {
    consumable(CONFIG_MAP, PLAIN, "-rw-r--r--");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume_with_default_mode_set() {
    consumable(CONFIG_MAP, How { mode: Some(0o400), ..PLAIN }, "-r--------");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume as non-root [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume_as_non_root() {
    consumable(CONFIG_MAP, How { user: USER, ..PLAIN }, "-rw-r--r--");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume with mappings [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume_with_mappings() {
    consumable(CONFIG_MAP, MAPPED, "-rw-r--r--");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume with mappings and Item mode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume_with_mappings_and_item_mode_set() {
    consumable(CONFIG_MAP, How { item_mode: Some(0o400), ..MAPPED }, "-r--------");
}

/// `[sig-storage] ConfigMap should be consumable from pods in volume with mappings as non-root [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_from_pods_in_volume_with_mappings_as_non_root() {
    consumable(CONFIG_MAP, How { user: USER, ..MAPPED }, "-rw-r--r--");
}

/// `[sig-storage] ConfigMap should be consumable in multiple volumes in the same pod [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_in_multiple_volumes_in_the_same_pod() {
    in_two_volumes(CONFIG_MAP);
}

/// `[sig-storage] ConfigMap updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn config_map_updates_should_be_reflected_in_volume() {
    follows_updates(CONFIG_MAP);
}

/// `[sig-storage] ConfigMap optional updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn config_map_optional_updates_should_be_reflected_in_volume() {
    follows_optional(CONFIG_MAP);
}

/// `[sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn config_map_binary_data_should_be_reflected_in_volume() {
    let place = place();
    let mut object = CONFIG_MAP.object("data", &[("data-1", "value-1")]);
    let bytes = [0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff];
    object["binaryData"] = json!({ "dump.bin": STANDARD.encode(bytes) });
    place.post(&place.path("configmaps"), &object);
    let mut pod = pod(&format!("cat {FILES}/data-1; echo; od -An -tx1 {FILES}/dump.bin"));
    mount(&mut pod, CONFIG_MAP.volume("files", "data", PLAIN), FILES);
    assert_eq!(place.output(&pod), "value-1\n de ca fe ba d0 fe ff\n");
}

/// `[sig-storage] Secrets should be consumable from pods in volume [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_volume() {
    consumable(SECRET, PLAIN, "-rw-r--r--");
}

/// `[sig-storage] Secrets should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_volume_with_default_mode_set() {
    consumable(SECRET, How { mode: Some(0o400), ..PLAIN }, "-r--------");
}

/// `[sig-storage] Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_volume_as_non_root_with_default_mode_and_fs_group_set() {
    consumable(SECRET, How { mode: Some(0o440), user: USER, group: Some(1001), ..PLAIN }, "-r--r-----");
}

/// `[sig-storage] Secrets should be consumable from pods in volume with mappings [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_volume_with_mappings() {
    consumable(SECRET, MAPPED, "-rw-r--r--");
}

/// `[sig-storage] Secrets should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_volume_with_mappings_and_item_mode_set() {
    consumable(SECRET, How { item_mode: Some(0o400), ..MAPPED }, "-r--------");
}

/// `[sig-storage] Secrets should be consumable in multiple volumes in a pod [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_in_multiple_volumes_in_a_pod() {
    in_two_volumes(SECRET);
}

/// `[sig-storage] Secrets optional updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn secrets_optional_updates_should_be_reflected_in_volume() {
    follows_optional(SECRET);
}

/// `[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_able_to_mount_in_a_volume_regardless_of_another_of_the_same_name() {
    let place = place();
    let other = format!("/api/v1/namespaces/{}/secrets", place.cluster.namespace());
    place.post(&other, &SECRET.object("data", &[("this_should_not_match_content", "x")]));
    place.post(&SECRET.path(&place), &SECRET.object("data", VALUES));
    assert_eq!(place.output(&reader(SECRET, "data", PLAIN)), "value-1\n-rw-r--r--\n0\n");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume() {
    consumable(PROJECTED_CONFIG_MAP, PLAIN, "-rw-r--r--");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume_with_default_mode_set() {
    consumable(PROJECTED_CONFIG_MAP, How { mode: Some(0o400), ..PLAIN }, "-r--------");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume as non-root [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume_as_non_root() {
    consumable(PROJECTED_CONFIG_MAP, How { user: USER, ..PLAIN }, "-rw-r--r--");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume with mappings [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume_with_mappings() {
    consumable(PROJECTED_CONFIG_MAP, MAPPED, "-rw-r--r--");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume with mappings and Item mode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume_with_mappings_and_item_mode_set() {
    consumable(PROJECTED_CONFIG_MAP, How { item_mode: Some(0o400), ..MAPPED }, "-r--------");
}

/// `[sig-storage] Projected configMap should be consumable from pods in volume with mappings as non-root [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_from_pods_in_volume_with_mappings_as_non_root() {
    consumable(PROJECTED_CONFIG_MAP, How { user: USER, ..MAPPED }, "-rw-r--r--");
}

/// `[sig-storage] Projected configMap should be consumable in multiple volumes in the same pod [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_should_be_consumable_in_multiple_volumes_in_the_same_pod() {
    in_two_volumes(PROJECTED_CONFIG_MAP);
}

/// `[sig-storage] Projected configMap updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_updates_should_be_reflected_in_volume() {
    follows_updates(PROJECTED_CONFIG_MAP);
}

/// `[sig-storage] Projected configMap optional updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn projected_config_map_optional_updates_should_be_reflected_in_volume() {
    follows_optional(PROJECTED_CONFIG_MAP);
}

/// `[sig-storage] Projected secret should be consumable from pods in volume [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_from_pods_in_volume() {
    consumable(PROJECTED_SECRET, PLAIN, "-rw-r--r--");
}

/// `[sig-storage] Projected secret should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_from_pods_in_volume_with_default_mode_set() {
    consumable(PROJECTED_SECRET, How { mode: Some(0o400), ..PLAIN }, "-r--------");
}

/// `[sig-storage] Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_from_pods_in_volume_as_non_root_with_default_mode_and_fs_group_set()
{
    consumable(
        PROJECTED_SECRET,
        How { mode: Some(0o440), user: USER, group: Some(1001), ..PLAIN },
        "-r--r-----",
    );
}

/// `[sig-storage] Projected secret should be consumable from pods in volume with mappings [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_from_pods_in_volume_with_mappings() {
    consumable(PROJECTED_SECRET, MAPPED, "-rw-r--r--");
}

/// `[sig-storage] Projected secret should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_from_pods_in_volume_with_mappings_and_item_mode_set() {
    consumable(PROJECTED_SECRET, How { item_mode: Some(0o400), ..MAPPED }, "-r--------");
}

/// `[sig-storage] Projected secret should be consumable in multiple volumes in a pod [NodeConformance] [Conformance]`
#[test]
fn projected_secret_should_be_consumable_in_multiple_volumes_in_a_pod() {
    in_two_volumes(PROJECTED_SECRET);
}

/// `[sig-storage] Projected secret optional updates should be reflected in volume [NodeConformance] [Conformance]`
#[test]
fn projected_secret_optional_updates_should_be_reflected_in_volume() {
    follows_optional(PROJECTED_SECRET);
}

/// `[sig-storage] Projected combined should project all components that make up the projection API [Projection] [NodeConformance] [Conformance]`
#[test]
fn projected_combined_should_project_all_components_that_make_up_the_projection_api() {
    let place = place();
    place.post(
        &CONFIG_MAP.path(&place),
        &CONFIG_MAP.object("map", &[("configmap-data", "configmap-value-1")]),
    );
    place.post(&SECRET.path(&place), &SECRET.object("secret", &[("secret-data", "secret-value-1")]));
    let mut pod = pod("cat /all/podname; echo; cat /all/secret-data; echo; cat /all/configmap-data");
    let podname = json!([{ "path": "podname", "fieldRef": { "fieldPath": "metadata.name" } }]);
    let sources = json!([
        { "secret": { "name": "secret" } }, { "configMap": { "name": "map" } },
        { "downwardAPI": { "items": podname } },
    ]);
    mount(&mut pod, json!({ "name": "all", "projected": { "sources": sources } }), "/all");
    assert_eq!(place.output(&pod), "pod\nsecret-value-1\nconfigmap-value-1");
}

/// What objects hold.
const VALUES: &[(&str, &str)] = &[("data-1", "value-1"), ("data-2", "value-2"), ("data-3", "value-3")];
/// Where it is seen.
const FILES: &str = "/etc/files";
