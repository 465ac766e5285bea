//! A chart of several services, from a folder, by the world's helm.

use std::fs;

use testkit::cluster::Cluster;
use testkit::kube::clients;
use testkit::{Output, isolated, run};

use super::{cluster, member};

/// Template of one of the chart's services; `NAME` is its own, `TELLS` what it answers.
const SERVICE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-NAME, labels: {part: NAME}}
spec:
  replicas: {{ .Values.NAME.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}-NAME}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}-NAME}
      annotations: {words: {{ .Values.word | sha256sum }}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
      - name: write
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'cp /words/word /w/index.html']
        volumeMounts: [{name: web, mountPath: /w}, {name: words, mountPath: /words}]
      containers:
      - name: app
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -p, "80", -h, /w]
        readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}
        volumeMounts: [{name: web, mountPath: /w}]
      volumes:
      - {name: web, emptyDir: {}}
      - {name: words, configMap: {name: {{ .Release.Name }}-words}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-NAME}
spec: {selector: {app: {{ .Release.Name }}-NAME}, ports: [{port: 80}]}
"#;

const WORDS: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-words}
data: {word: {{ .Values.word | quote }}}
"#;

/// A store with a disk of its own, which keeps what it was told.
const STORE: &str = r#"apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ .Release.Name }}-store}
spec:
  serviceName: {{ .Release.Name }}-store
  replicas: 2
  selector: {matchLabels: {app: {{ .Release.Name }}-store}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}-store}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'test -s /data/since || echo {{ .Release.Revision }} > /data/since; exec httpd -f -p 80 -h /data']
        env: [{name: REVISION, value: {{ .Release.Revision | quote }}}]
        readinessProbe: {httpGet: {port: 80, path: /since}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-store}
spec: {clusterIP: None, selector: {app: {{ .Release.Name }}-store}, ports: [{port: 80}]}
"#;

/// Looks at all of them by their names, as `helm test` and before each upgrade's end.
const LOOKS: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-looks, annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers:
  - name: app
    image: strake.local/tools
    imagePullPolicy: IfNotPresent
    command: [probe, http, 'http://{{ .Release.Name }}-front/']
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-announce
  annotations: {helm.sh/hook: "post-install,post-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  backoffLimit: 5
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: app
        image: strake.local/tools
        imagePullPolicy: IfNotPresent
        command: [probe, http, 'http://{{ .Release.Name }}-store-1.{{ .Release.Name }}-store/since']
"#;

/// Writes the chart into the test's own directory.
fn write_chart(cluster: &Cluster) {
    let chart = cluster.home().join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    let template = |name: &str, text: &str| fs::write(chart.join("templates").join(name), text).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n").unwrap();
    fs::write(chart.join("values.yaml"), "word: hello\nfront: {replicas: 2}\nback: {replicas: 1}\n").unwrap();
    template("front.yaml", &SERVICE.replace("NAME", "front"));
    template("back.yaml", &SERVICE.replace("NAME", "back"));
    template("words.yaml", WORDS);
    template("store.yaml", STORE);
    template("looks.yaml", LOOKS);
}

#[test]
fn a_chart_of_several_services_is_installed_upgraded_and_rolled_back() {
    isolated(|| {
        let cluster = cluster();
        write_chart(&cluster);
        let helm = |args: &[&str]| -> Output { run(&mut cluster.command(&clients().helm, args)) };
        let waits = ["--wait", "--timeout", "180s"];
        let asked = |name: &str| {
            let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc {name} 80 | tail -n 1");
            cluster
                .kubectl(&["exec", "deployment/shop-back", "-c", "app", "--", "sh", "-c", &ask])
                .ok()
                .to_owned()
        };
        let installed = helm(&[&["install", "shop", "chart"][..], &waits].concat());
        assert!(installed.ok().contains("STATUS: deployed"), "{installed:?}\n{}", cluster.report());
        assert_eq!(asked("shop-front"), "hello");
        assert_eq!(member(&cluster, "statefulset/shop-store", ".status.readyReplicas"), "2");
        assert_eq!(member(&cluster, "job/shop-announce", ".status.succeeded"), "1");
        let tested = helm(&["test", "shop"]);
        assert!(tested.ok().contains("Phase:          Succeeded"), "{tested:?}");
        let upgrade = ["upgrade", "shop", "chart", "--set", "word=bye,front.replicas=3"];
        helm(&[&upgrade[..], &waits].concat()).ok();
        assert_eq!(asked("shop-front"), "bye");
        assert_eq!(member(&cluster, "deployment/shop-front", ".status.readyReplicas"), "3");
        // Its disk has outlived the container that wrote it.
        let since = |ordinal: u32| {
            let pod = format!("shop-store-{ordinal}");
            cluster
                .kubectl(&["exec", &pod, "--", "sh", "-c", "cat /data/since; echo $REVISION"])
                .ok()
                .to_owned()
        };
        assert_eq!((since(0), since(1)), ("1\n2".to_owned(), "1\n2".to_owned()));
        helm(&[&["rollback", "shop", "1"][..], &waits].concat()).ok();
        assert_eq!(asked("shop-front"), "hello");
        // The templates of then, with the revision of then.
        assert_eq!(since(0), "1\n1");
        helm(&["uninstall", "shop", "--wait"]).ok();
        cluster.wait_for(&["get", "pods", "-l", "app"], "No resources found in default namespace.\n");
        // What was claimed by a StatefulSet is its owner's to give up.
        let claims = member(&cluster, "persistentvolumeclaims", ".items[*].status.phase");
        assert_eq!(claims, "Bound Bound");
    });
}
