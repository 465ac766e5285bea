//! Pods from files.

use client::Call;
use serde_json::json;

use crate::rig::{Rig, pods};

#[tokio::test]
async fn a_file_is_a_pod_as_long_as_it_is_there() {
    let rig = Rig::new().await;
    let folder = rig.dir.path().join("manifests");
    std::fs::create_dir_all(&folder).unwrap();
    let file = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: nginx\n";
    std::fs::write(folder.join("web.yaml"), file).unwrap();
    let pod = rig.until_status("web-node", &[("/phase", json!("Running"))]).await;
    let mark = pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].as_str().unwrap();
    assert_eq!(pod["metadata"]["annotations"]["kubernetes.io/config.hash"], mark);
    // Whoever deletes what stands for it gets a new one; the containers do not notice.
    let force = |options: &mut client::CallOptions| options.grace_period_seconds = Some(0);
    rig.call(Call::delete(&pods(), "default", "web-node").with(force)).await.unwrap();
    let again = rig
        .until("it is there again", async |rig| {
            let found = rig.get("web-node").await?;
            (found["metadata"]["uid"] != pod["metadata"]["uid"]).then_some(found)
        })
        .await;
    assert_eq!(again["metadata"]["annotations"]["kubernetes.io/config.mirror"], mark);
    assert_eq!(rig.runtime.calls().iter().filter(|call| call.starts_with("create")).count(), 1);
    std::fs::remove_file(folder.join("web.yaml")).unwrap();
    rig.until("both are gone", async |rig| {
        (rig.get("web-node").await.is_none() && rig.runtime.sandboxes() == 0).then_some(())
    })
    .await;
}
