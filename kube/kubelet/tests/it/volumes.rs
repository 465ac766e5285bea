//! Volumes as containers find them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use client::{Call, PatchType};
use kube_object::resource::GroupVersionResource;
use serde_json::json;

use crate::rig::Rig;

fn mounted(rig: &Rig, container: &str, at: &str) -> PathBuf {
    let config = rig.runtime.config(&rig.runtime.running(container).unwrap());
    let found = config.mounts.iter().find(|mount| mount.container_path == at);
    Path::new(&found.unwrap_or_else(|| panic!("no mount at {at}: {:?}", config.mounts)).host_path).to_owned()
}

#[tokio::test]
async fn a_config_map_is_mounted_and_follows_changes() {
    let rig = Rig::new().await;
    let maps = GroupVersionResource::new("", "v1", "configmaps");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "1", "b": "2"}});
    let spec = json!({"containers": [{"name": "c", "image": "x", "volumeMounts": [
            {"name": "conf", "mountPath": "/conf"}, {"name": "empty", "mountPath": "/empty"},
            {"name": "empty", "mountPath": "/part", "subPath": "x/y"}]}],
        "volumes": [{"name": "conf", "configMap": {"name": "cm", "defaultMode": 0o640, "items": [{"key": "a", "path": "d/f"}]}},
            {"name": "empty", "emptyDir": {}}]});
    rig.pod("web", spec).await;
    // It waits for what it refers to.
    rig.until("the volume is asked for", async |rig| {
        let pod = rig.get("web").await?;
        (pod["status"]["phase"] == "Pending" && pod["status"]["startTime"].is_string()).then_some(())
    })
    .await;
    rig.call(Call::create(&maps, "default", map)).await.unwrap();
    rig.until_status("web", &[("/phase", json!("Running"))]).await;
    let file = mounted(&rig, "c", "/conf").join("d/f");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::metadata(mounted(&rig, "c", "/empty")).unwrap().permissions().mode() & 0o777, 0o777);
    let part = mounted(&rig, "c", "/part");
    std::fs::write(part.join("seen"), "x").unwrap();
    assert!(mounted(&rig, "c", "/empty").join("x/y/seen").exists());
    let patch = json!({"data": {"a": "changed"}});
    rig.call(Call::patch(&maps, "default", "cm", PatchType::Merge, patch)).await.unwrap();
    rig.until("the file changes", async |_| {
        (std::fs::read_to_string(&file).unwrap() == "changed").then_some(())
    })
    .await;
    let pods = crate::rig::pods();
    rig.call(Call::delete(&pods, "default", "web")).await.unwrap();
    rig.until("the pod goes", async |rig| rig.get("web").await.is_none().then_some(())).await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_missing_secret_in_the_environment_is_told() {
    let rig = Rig::new().await;
    let from = json!({"secretKeyRef": {"name": "none", "key": "k"}});
    rig.pod(
        "web",
        json!({"containers": [{"name": "c", "image": "x", "env": [{"name": "A", "valueFrom": from}]}]}),
    )
    .await;
    let waits = ("/containerStatuses/0/state/waiting/reason", json!("CreateContainerConfigError"));
    let pod = rig.until_status("web", &[waits]).await;
    let why = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(why, "secret \"none\" not found");
    let secrets = GroupVersionResource::new("", "v1", "secrets");
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "none"}, "stringData": {"k": "v"}});
    rig.call(Call::create(&secrets, "default", secret)).await.unwrap();
    rig.until_status("web", &[("/phase", json!("Running"))]).await;
}
