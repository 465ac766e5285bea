//! Volumes beyond what the conformance specs ask for: images and parts of them, folders of nodes for claims, memory
//! that is bounded, parts of volumes that would lead out.

use std::path::Path;

use testkit::isolated;

use super::{busybox, cluster, exec, member};

/// A pod with a claim, an image and memory, on a node.
fn user(node: &str) -> String {
    format!(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: user}}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  securityContext: {{runAsUser: 1000}}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, '3600']
    env: [{{name: FILE, value: passwd}}]
    volumeMounts:
    - {{name: claim, mountPath: /data}}
    - {{name: image, mountPath: /image}}
    - {{name: image, mountPath: /part, subPath: etc}}
    - {{name: image, mountPath: /file, subPathExpr: etc/$(FILE)}}
    - {{name: memory, mountPath: /memory}}
  volumes:
  - {{name: claim, persistentVolumeClaim: {{claimName: data}}}}
  - {{name: image, image: {{reference: busybox, pullPolicy: IfNotPresent}}}}
  - {{name: memory, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
"
    )
}

#[test]
fn images_claims_and_memory_are_volumes() {
    isolated(|| {
        let mut cluster = cluster();
        // What a joined node may do is decided by the server.
        let node = cluster.join(busybox(), &[]).name.clone();
        cluster.apply(&user(&node));
        cluster.wait_pod("user");
        let sh = |script: &str| exec(&cluster, "user", "main", &["sh", "-c", script]);
        let passwd = sh("cat /image/etc/passwd");
        assert!(passwd.starts_with("root:"), "{passwd}");
        assert_eq!((sh("cat /part/passwd"), sh("cat /file")), (passwd.clone(), passwd));
        assert_eq!(sh("touch /part/new 2>/dev/null || echo refused"), "refused");
        assert_eq!(sh("df -k /memory | tail -n 1 | tr -s ' ' | cut -d' ' -f2"), "1024");

        sh("echo kept > /data/file");
        let volume = member(&cluster, "pvc/data", ".spec.volumeName");
        let folder = member(&cluster, &format!("pv/{volume}"), ".spec.hostPath.path");
        assert_eq!(std::fs::read_to_string(Path::new(&folder).join("file")).unwrap(), "kept\n");
        cluster.kubectl(&["delete", "pod", "user"]).ok();
        assert!(Path::new(&folder).join("file").exists());
        cluster.kubectl(&["delete", "pvc", "data"]).ok();
        cluster.kubectl(&["wait", "--for=delete", "--timeout=120s", &format!("pv/{volume}")]).ok();
        assert!(!Path::new(&folder).exists(), "{folder}");
    });
}

#[test]
fn a_part_that_leads_out_of_its_volume_is_refused() {
    isolated(|| {
        let cluster = cluster();
        let container = |name: &str, command: &str, mount: &str| {
            format!(
                "  - name: {name}\n    image: busybox\n    imagePullPolicy: IfNotPresent\n    \
                 command: [sh, -c, '{command}']\n    volumeMounts: [{mount}]\n"
            )
        };
        let links = container("links", "ln -s /etc /v/out; ln -s . /v/in", "{name: v, mountPath: /v}");
        let main = |part: &str| {
            container("main", "sleep 3600", &format!("{{name: v, mountPath: /part, subPath: {part}}}"))
        };
        let pod = |name: &str, part: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
                 volumes: [{{name: v, emptyDir: {{}}}}]\n  initContainers:\n{links}  containers:\n{}",
                main(part)
            )
        };
        cluster.apply(&format!("{}---\n{}", pod("inside", "in"), pod("outside", "out")));
        cluster.wait_pod("inside");
        assert!(exec(&cluster, "inside", "main", &["ls", "/part"]).contains("out"));
        let waiting = |field: &str| format!(".status.containerStatuses[0].state.waiting.{field}");
        let reason = format!("jsonpath={{{}}}", waiting("reason"));
        cluster.wait_for(&["get", "pod", "outside", "-o", &reason], "CreateContainerConfigError");
        let message = member(&cluster, "pod/outside", &waiting("message"));
        assert_eq!(message, "failed to prepare subPath for volumeMount \"v\" of container \"main\"");
    });
}
