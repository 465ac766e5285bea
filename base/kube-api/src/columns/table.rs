//! Which kinds are printed how.

use super::{Column, Printer, cluster, config, network, pod, workload};

const fn column(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 0 }
}

const fn text(name: &'static str, description: &'static str) -> Column {
    column(name, "string", description)
}

const fn number(name: &'static str, description: &'static str) -> Column {
    column(name, "integer", description)
}

const fn flag(name: &'static str, description: &'static str) -> Column {
    column(name, "boolean", description)
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..text(name, description) }
}

const NAME: Column = Column { format: "name", ..text("Name", "The object's name.") };
const AGE: Column = text("Age", "Time since the object was created.");
const CREATED: Column = column("Created At", "date", "When the object was created.");
const CONTAINERS: Column = wide("Containers", "Names of the template's containers.");
const IMAGES: Column = wide("Images", "Images of the template's containers.");
const SELECTOR: Column = wide("Selector", "Which pods belong to it.");

macro_rules! printers {
    ($($constant:ident = $cells:path: [$($column:expr),* $(,)?];)*) => {
        $(const $constant: Printer = Printer { columns: &[$($column),*], cells: $cells };)*
    };
}

printers! {
    PLAIN = config::plain: [NAME, CREATED];
    AGED = config::aged: [NAME, AGE];
    POD = pod::cells: [
        NAME,
        text("Ready", "Containers that are ready, of all."),
        text("Status", "What the pod's containers are doing."),
        text("Restarts", "How often containers were restarted, and when last."),
        AGE,
        wide("IP", "The pod's first address."),
        wide("Node", "The node it runs on."),
        wide("Nominated Node", "The node on which room is being made for it."),
        wide("Readiness Gates", "Gates that are open, of all."),
    ];
    POD_TEMPLATE = workload::pod_template: [
        NAME,
        text("Containers", "Names of the template's containers."),
        text("Images", "Images of the template's containers."),
        text("Pod Labels", "Labels that pods of the template get."),
    ];
    BUDGET = workload::disruption_budget: [
        NAME,
        text("Min Available", "How many pods must stay available."),
        text("Max Unavailable", "How many pods may be unavailable."),
        number("Allowed Disruptions", "How many pods may be disrupted now."),
        AGE,
    ];
    CONTROLLER = workload::replication_controller: [
        NAME,
        number("Desired", "Pods that there should be."),
        number("Current", "Pods that there are."),
        number("Ready", "Pods that are ready."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    REPLICA_SET = workload::replica_set: [
        NAME,
        number("Desired", "Pods that there should be."),
        number("Current", "Pods that there are."),
        number("Ready", "Pods that are ready."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    DAEMON_SET = workload::daemon_set: [
        NAME,
        number("Desired", "Nodes that should run its pod."),
        number("Current", "Nodes that should run its pod and do."),
        number("Ready", "Nodes on which its pod is ready."),
        number("Up-to-date", "Nodes that run the newest pod."),
        number("Available", "Nodes on which its pod is available."),
        text("Node Selector", "Which nodes should run its pod."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    JOB = workload::job: [
        NAME,
        text("Status", "What the job is doing."),
        text("Completions", "Pods that succeeded, of those wanted."),
        text("Duration", "Time that it took, or has taken so far."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    CRON_JOB = workload::cron_job: [
        NAME,
        text("Schedule", "When jobs are started, as cron writes it."),
        text("Timezone", "The time zone of the schedule."),
        flag("Suspend", "Whether no jobs are started."),
        number("Active", "Jobs that run."),
        text("Last Schedule", "Time since a job was last started."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    SERVICE = network::service: [
        NAME,
        text("Type", "How the service is reached."),
        text("Cluster-IP", "Its address in the cluster."),
        text("External-IP", "Its addresses outside."),
        text("Port(s)", "Its ports."),
        AGE, SELECTOR,
    ];
    INGRESS = network::ingress: [
        NAME,
        text("Class", "Which controller is in charge."),
        text("Hosts", "Hosts that its rules name."),
        text("Address", "Where requests arrive."),
        text("Ports", "Ports on which requests arrive."),
        AGE,
    ];
    INGRESS_CLASS = network::ingress_class: [
        NAME,
        text("Controller", "Which controller handles the class."),
        text("Parameters", "The object with more parameters."),
        AGE,
    ];
    STATEFUL_SET = workload::stateful_set: [
        NAME,
        text("Ready", "Pods that are ready, of those wanted."),
        AGE, CONTAINERS, IMAGES,
    ];
    ENDPOINTS = network::endpoints: [NAME, text("Endpoints", "Addresses and ports."), AGE];
    NODE = cluster::node: [
        NAME,
        text("Status", "Whether it is ready for pods."),
        text("Roles", "Its roles."),
        AGE,
        text("Version", "The version of its kubelet."),
        wide("Internal-IP", "Its address in the cluster."),
        wide("External-IP", "Its address outside."),
        wide("OS-Image", "Its operating system."),
        wide("Kernel-Version", "Its kernel."),
        wide("Container-Runtime", "Its container runtime."),
    ];
    EVENT = cluster::event: [
        text("Last Seen", "Time since it happened last."),
        text("Type", "Normal or Warning."),
        text("Reason", "The machine's word for what happened."),
        text("Object", "What it is about."),
        wide("Subobject", "Which part of the object it is about."),
        wide("Source", "Who reports it."),
        text("Message", "What happened."),
        wide("First Seen", "Time since it happened first."),
        wide("Count", "How often it happened."),
        Column { priority: 1, ..NAME },
    ];
    NAMESPACE = cluster::namespace: [NAME, text("Status", "Whether it is going away."), AGE];
    SECRET = config::secret: [
        NAME,
        text("Type", "What it is for."),
        text("Data", "How many entries it has."),
        AGE,
    ];
    CONFIG_MAP = config::config_map: [NAME, text("Data", "How many entries it has."), AGE];
    SERVICE_ACCOUNT = config::service_account: [NAME, text("Secrets", "How many secrets it lists."), AGE];
    VOLUME = cluster::volume: [
        NAME,
        text("Capacity", "Its size."),
        text("Access Modes", "How it may be mounted."),
        text("Reclaim Policy", "What becomes of it when its claim goes."),
        text("Status", "Whether it is bound."),
        text("Claim", "The claim that it is bound to."),
        text("StorageClass", "Its storage class."),
        text("VolumeAttributesClass", "Its volume attributes class."),
        text("Reason", "Why it is in that status."),
        AGE,
        wide("VolumeMode", "A filesystem or a block device."),
    ];
    CLAIM = cluster::claim: [
        NAME,
        text("Status", "Whether it is bound."),
        text("Volume", "The volume that it is bound to."),
        text("Capacity", "The volume's size."),
        text("Access Modes", "How the volume may be mounted."),
        text("StorageClass", "Its storage class."),
        text("VolumeAttributesClass", "Its volume attributes class."),
        AGE,
        wide("VolumeMode", "A filesystem or a block device."),
    ];
    COMPONENT = cluster::component_status: [
        NAME,
        text("Status", "Whether the component is healthy."),
        text("Message", "What the check said."),
        text("Error", "Why the check failed."),
    ];
    DEPLOYMENT = workload::deployment: [
        NAME,
        text("Ready", "Pods that are ready, of those wanted."),
        text("Up-to-date", "Pods of the newest template."),
        text("Available", "Pods that are available."),
        AGE, CONTAINERS, IMAGES, SELECTOR,
    ];
    AUTOSCALER = workload::autoscaler: [
        NAME,
        text("Reference", "What it scales."),
        text("Targets", "Metrics: the current value and the target."),
        text("MinPods", "The least number of pods."),
        text("MaxPods", "The largest number of pods."),
        text("Replicas", "The current number of pods."),
        AGE,
    ];
    NETWORK_POLICY = network::network_policy: [NAME, text("Pod-Selector", "Which pods it is about."), AGE];
    BINDING = config::binding: [
        NAME,
        text("Role", "The role that it grants."),
        AGE,
        wide("Users", "Users that get the role."),
        wide("Groups", "Groups that get the role."),
        wide("ServiceAccounts", "Service accounts that get the role."),
    ];
    SIGNING_REQUEST = config::signing_request: [
        NAME, AGE,
        text("SignerName", "Who is to sign."),
        text("Requestor", "Who asked."),
        text("RequestedDuration", "How long the certificate should be valid."),
        text("Condition", "Whether it is approved and issued."),
    ];
    TRUST_BUNDLE = config::trust_bundle: [NAME, text("SignerName", "Whose certificates it has.")];
    POD_CERTIFICATE = config::pod_certificate: [
        NAME,
        text("PodName", "The pod that asks."),
        text("ServiceAccountName", "The pod's service account."),
        text("NodeName", "The pod's node."),
        text("SignerName", "Who is to sign."),
        text("State", "Whether it is issued."),
        AGE,
    ];
    LEASE = config::lease: [NAME, text("Holder", "Who holds it."), AGE];
    LEASE_CANDIDATE = config::lease_candidate: [
        NAME,
        text("LeaseName", "The lease that it would hold."),
        text("BinaryVersion", "The version of the candidate."),
        text("EmulationVersion", "The version that it emulates."),
        AGE,
    ];
    STORAGE_CLASS = config::storage_class: [
        NAME,
        text("Provisioner", "Who makes the volumes."),
        text("ReclaimPolicy", "What becomes of a volume when its claim goes."),
        text("VolumeBindingMode", "When volumes are made."),
        text("AllowVolumeExpansion", "Whether volumes may grow."),
        AGE,
    ];
    ATTRIBUTES_CLASS = config::attributes_class: [NAME, text("DriverName", "The driver that knows it."), AGE];
    REVISION = workload::controller_revision: [
        NAME,
        text("Controller", "Whose state it keeps."),
        text("Revision", "Its number."),
        AGE,
    ];
    QUOTA = cluster::quota: [
        NAME,
        text("Request", "Used and allowed, of requests and counts."),
        text("Limit", "Used and allowed, of limits."),
        AGE,
    ];
    PRIORITY_CLASS = config::priority_class: [
        NAME,
        number("Value", "The priority of its pods."),
        flag("Global-Default", "Whether pods that name no class get it."),
        AGE,
        text("PreemptionPolicy", "Whether its pods drive out others."),
    ];
    RUNTIME_CLASS = config::runtime_class: [NAME, text("Handler", "The handler that runs its pods."), AGE];
    ATTACHMENT = config::attachment: [
        NAME,
        Column { format: "name", ..text("Attacher", "The driver that attaches.") },
        text("PV", "The volume."),
        text("Node", "The node that it is attached to."),
        flag("Attached", "Whether it is attached."),
        AGE,
    ];
    SLICE = network::endpoint_slice: [
        NAME,
        text("AddressType", "What its addresses are."),
        text("Ports", "Its ports."),
        text("Endpoints", "Its addresses."),
        AGE,
    ];
    CSI_NODE = config::csi_node: [NAME, number("Drivers", "How many drivers the node has."), AGE];
    CSI_DRIVER = config::csi_driver: [
        NAME,
        flag("AttachRequired", "Whether volumes must be attached."),
        flag("PodInfoOnMount", "Whether it is told the pod on mount."),
        flag("StorageCapacity", "Whether it publishes its capacity."),
        text("TokenRequests", "Audiences of the tokens that it gets."),
        flag("RequiresRepublish", "Whether volumes are published again and again."),
        text("Modes", "Lifecycles of volumes that it supports."),
        AGE,
    ];
    CAPACITY = config::storage_capacity: [
        NAME,
        text("StorageClassName", "The storage class."),
        text("Capacity", "What is free."),
    ];
    WEBHOOKS = config::webhooks: [NAME, number("Webhooks", "How many webhooks it has."), AGE];
    VALIDATING_POLICY = config::admission_policy: [
        NAME,
        number("Validations", "How many rules it has."),
        text("ParamKind", "The kind of its parameters."),
        AGE,
    ];
    MUTATING_POLICY = config::admission_policy: [
        NAME,
        number("Mutations", "How many rules it has."),
        text("ParamKind", "The kind of its parameters."),
        AGE,
    ];
    POLICY_BINDING = config::admission_binding: [
        NAME,
        text("PolicyName", "The policy that it puts to use."),
        text("ParamRef", "The parameters."),
        AGE,
    ];
    FLOW_SCHEMA = config::flow_schema: [
        NAME,
        text("PriorityLevel", "The level of its requests."),
        text("MatchingPrecedence", "Its rank among the schemas that match."),
        text("DistinguisherMethod", "How its requests are told apart."),
        AGE,
        text("MissingPL", "Whether its level does not exist."),
    ];
    PRIORITY_LEVEL = config::priority_level: [
        NAME,
        text("Type", "Whether it is limited."),
        text("NominalConcurrencyShares", "Its share of the requests at once."),
        text("Queues", "How many queues it has."),
        text("HandSize", "How many queues a flow may use."),
        text("QueueLengthLimit", "How many requests may wait in a queue."),
        AGE,
    ];
    STORAGE_VERSION = config::storage_version: [
        NAME,
        text("CommonEncodingVersion", "The version in which all servers encode."),
        text("StorageVersions", "The version of each server."),
        AGE,
    ];
    SCALE = workload::scale: [
        text("Name", "The object's name."),
        number("Desired", "Pods that there should be."),
        number("Available", "Pods that there are."),
        AGE,
    ];
    RESOURCE_CLAIM = config::resource_claim: [NAME, text("State", "Whether it is allocated."), AGE];
    RESOURCE_SLICE = config::resource_slice: [
        NAME,
        text("Node", "The node that has the devices."),
        text("Driver", "The driver that offers them."),
        text("Pool", "The pool that they belong to."),
        AGE,
    ];
    CIDR = network::service_cidr: [NAME, text("CIDRs", "Its ranges."), AGE];
    ADDRESS = network::ip_address: [NAME, text("ParentRef", "Who uses it."), AGE];
    MIGRATION = config::migration: [
        text("Name", "The object's name."),
        text("Resource", "What is migrated."),
    ];
    API_SERVICE = config::api_service: [
        NAME,
        text("Service", "The service that serves it."),
        text("Available", "Whether it answers."),
        AGE,
    ];
}

/// How a kind is printed.
pub(super) fn printer(group: &str, kind: &str) -> Printer {
    match group {
        "" => core(kind),
        "admissionregistration.k8s.io" => match kind {
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => WEBHOOKS,
            "ValidatingAdmissionPolicy" => VALIDATING_POLICY,
            "MutatingAdmissionPolicy" => MUTATING_POLICY,
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => POLICY_BINDING,
            _ => PLAIN,
        },
        "apps" => match kind {
            "Deployment" => DEPLOYMENT,
            "ReplicaSet" => REPLICA_SET,
            "StatefulSet" => STATEFUL_SET,
            "DaemonSet" => DAEMON_SET,
            "ControllerRevision" => REVISION,
            _ => PLAIN,
        },
        "networking.k8s.io" => match kind {
            "Ingress" => INGRESS,
            "IngressClass" => INGRESS_CLASS,
            "NetworkPolicy" => NETWORK_POLICY,
            "ServiceCIDR" => CIDR,
            "IPAddress" => ADDRESS,
            _ => PLAIN,
        },
        "storage.k8s.io" => match kind {
            "StorageClass" => STORAGE_CLASS,
            "VolumeAttributesClass" => ATTRIBUTES_CLASS,
            "VolumeAttachment" => ATTACHMENT,
            "CSINode" => CSI_NODE,
            "CSIDriver" => CSI_DRIVER,
            "CSIStorageCapacity" => CAPACITY,
            _ => PLAIN,
        },
        _ => other(group, kind),
    }
}

fn core(kind: &str) -> Printer {
    match kind {
        "Pod" => POD,
        "PodTemplate" => POD_TEMPLATE,
        "ReplicationController" => CONTROLLER,
        "Service" => SERVICE,
        "Endpoints" => ENDPOINTS,
        "Node" => NODE,
        "Event" => EVENT,
        "Namespace" => NAMESPACE,
        "Secret" => SECRET,
        "ConfigMap" => CONFIG_MAP,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "PersistentVolume" => VOLUME,
        "PersistentVolumeClaim" => CLAIM,
        "ComponentStatus" => COMPONENT,
        "ResourceQuota" => QUOTA,
        _ => PLAIN,
    }
}

fn other(group: &str, kind: &str) -> Printer {
    match (group, kind) {
        ("apiregistration.k8s.io", "APIService") => API_SERVICE,
        ("autoscaling", "HorizontalPodAutoscaler") => AUTOSCALER,
        ("autoscaling", "Scale") => SCALE,
        ("batch", "Job") => JOB,
        ("batch", "CronJob") => CRON_JOB,
        ("certificates.k8s.io", "CertificateSigningRequest") => SIGNING_REQUEST,
        ("certificates.k8s.io", "ClusterTrustBundle") => TRUST_BUNDLE,
        ("certificates.k8s.io", "PodCertificateRequest") => POD_CERTIFICATE,
        ("coordination.k8s.io", "Lease") => LEASE,
        ("coordination.k8s.io", "LeaseCandidate") => LEASE_CANDIDATE,
        ("discovery.k8s.io", "EndpointSlice") => SLICE,
        ("events.k8s.io", "Event") => EVENT,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => PRIORITY_LEVEL,
        ("internal.apiserver.k8s.io", "StorageVersion") => STORAGE_VERSION,
        ("node.k8s.io", "RuntimeClass") => RUNTIME_CLASS,
        ("policy", "PodDisruptionBudget") => BUDGET,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => BINDING,
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate" | "DeviceTaintRule") => AGED,
        ("resource.k8s.io", "ResourceClaim") => RESOURCE_CLAIM,
        ("resource.k8s.io", "ResourceSlice") => RESOURCE_SLICE,
        ("scheduling.k8s.io", "PriorityClass") => PRIORITY_CLASS,
        ("storagemigration.k8s.io", "StorageVersionMigration") => MIGRATION,
        _ => PLAIN,
    }
}
