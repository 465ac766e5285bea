//! The resources that loops know by name.

use std::sync::LazyLock;

use kube_object::resource::GroupVersionResource;

macro_rules! resources {
    ($($function:ident = $group:literal $version:literal $resource:literal;)*) => {
        $(
            #[doc = concat!("`", $resource, "` of `", $group, "/", $version, "`.")]
            pub fn $function() -> &'static GroupVersionResource {
                static RESOURCE: LazyLock<GroupVersionResource> =
                    LazyLock::new(|| GroupVersionResource::new($group, $version, $resource));
                &RESOURCE
            }
        )*
    };
}

resources! {
    namespaces = "" "v1" "namespaces";
    nodes = "" "v1" "nodes";
    pods = "" "v1" "pods";
    services = "" "v1" "services";
    endpoints = "" "v1" "endpoints";
    secrets = "" "v1" "secrets";
    config_maps = "" "v1" "configmaps";
    service_accounts = "" "v1" "serviceaccounts";
    resource_quotas = "" "v1" "resourcequotas";
    replication_controllers = "" "v1" "replicationcontrollers";
    persistent_volumes = "" "v1" "persistentvolumes";
    persistent_volume_claims = "" "v1" "persistentvolumeclaims";
    events = "" "v1" "events";
    replica_sets = "apps" "v1" "replicasets";
    deployments = "apps" "v1" "deployments";
    stateful_sets = "apps" "v1" "statefulsets";
    daemon_sets = "apps" "v1" "daemonsets";
    controller_revisions = "apps" "v1" "controllerrevisions";
    jobs = "batch" "v1" "jobs";
    cron_jobs = "batch" "v1" "cronjobs";
    endpoint_slices = "discovery.k8s.io" "v1" "endpointslices";
    pod_disruption_budgets = "policy" "v1" "poddisruptionbudgets";
    cluster_roles = "rbac.authorization.k8s.io" "v1" "clusterroles";
    leases = "coordination.k8s.io" "v1" "leases";
    signing_requests = "certificates.k8s.io" "v1" "certificatesigningrequests";
    storage_classes = "storage.k8s.io" "v1" "storageclasses";
    csi_drivers = "storage.k8s.io" "v1" "csidrivers";
    csi_nodes = "storage.k8s.io" "v1" "csinodes";
    csi_storage_capacities = "storage.k8s.io" "v1" "csistoragecapacities";
    volume_attachments = "storage.k8s.io" "v1" "volumeattachments";
    volume_attributes_classes = "storage.k8s.io" "v1" "volumeattributesclasses";
    ip_addresses = "networking.k8s.io" "v1" "ipaddresses";
    service_cidrs = "networking.k8s.io" "v1" "servicecidrs";
    autoscalers = "autoscaling" "v2" "horizontalpodautoscalers";
    resource_claims = "resource.k8s.io" "v1" "resourceclaims";
    resource_claim_templates = "resource.k8s.io" "v1" "resourceclaimtemplates";
    definitions = "apiextensions.k8s.io" "v1" "customresourcedefinitions";
}
