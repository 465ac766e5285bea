//! Facts that the published API description leaves out: short names and categories.
//!
//! They are what a 1.36 server answers on `/api/v1` and `/apis/GROUP/VERSION`.

/// Group, plural, short names.
const SHORT_NAMES: &[(&str, &str, &str)] = &[
    ("", "componentstatuses", "cs"),
    ("", "configmaps", "cm"),
    ("", "endpoints", "ep"),
    ("", "events", "ev"),
    ("", "limitranges", "limits"),
    ("", "namespaces", "ns"),
    ("", "nodes", "no"),
    ("", "persistentvolumeclaims", "pvc"),
    ("", "persistentvolumes", "pv"),
    ("", "pods", "po"),
    ("", "replicationcontrollers", "rc"),
    ("", "resourcequotas", "quota"),
    ("", "serviceaccounts", "sa"),
    ("", "services", "svc"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "crd,crds"),
    ("apps", "daemonsets", "ds"),
    ("apps", "deployments", "deploy"),
    ("apps", "replicasets", "rs"),
    ("apps", "statefulsets", "sts"),
    ("autoscaling", "horizontalpodautoscalers", "hpa"),
    ("batch", "cronjobs", "cj"),
    ("certificates.k8s.io", "certificatesigningrequests", "csr"),
    ("events.k8s.io", "events", "ev"),
    ("networking.k8s.io", "ingresses", "ing"),
    ("networking.k8s.io", "ipaddresses", "ip"),
    ("networking.k8s.io", "networkpolicies", "netpol"),
    ("policy", "poddisruptionbudgets", "pdb"),
    ("scheduling.k8s.io", "priorityclasses", "pc"),
    ("storage.k8s.io", "storageclasses", "sc"),
    ("storage.k8s.io", "volumeattributesclasses", "vac"),
];

/// Members of the category `all`.
const ALL: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("", "services"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
];

/// The short names of a resource, comma-separated, or `-`.
pub(crate) fn short_names(group: &str, plural: &str) -> &'static str {
    SHORT_NAMES.iter().find(|(g, p, _)| *g == group && *p == plural).map_or("-", |found| found.2)
}

/// The categories of a resource, comma-separated, or `-`.
pub(crate) fn categories(group: &str, plural: &str) -> &'static str {
    match group {
        "admissionregistration.k8s.io" => "api-extensions",
        "apiextensions.k8s.io" | "apiregistration.k8s.io" => "api-extensions",
        _ if ALL.contains(&(group, plural)) => "all",
        _ => "-",
    }
}
