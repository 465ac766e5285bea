//! Roles and bindings in `kube-system` and `kube-public`.

use super::{BindingFacts, EVENTS, READ, RoleFacts, binding, named, role, rule};

/// The roles, each with its namespace.
pub(super) const ROLES: &[(&str, RoleFacts)] = &[
    (
        SYSTEM,
        role(
            "extension-apiserver-authentication-reader",
            &[named(READ, "core", "configmaps", "extension-apiserver-authentication")],
        ),
    ),
    (SYSTEM, role("system:controller:bootstrap-signer", &[rule(READ, "core", "secrets")])),
    (
        SYSTEM,
        role("system:controller:cloud-provider", &[rule("create get list watch", "core", "configmaps")]),
    ),
    (
        SYSTEM,
        role("system:controller:token-cleaner", &[rule("get list watch delete", "core", "secrets"), EVENTS]),
    ),
    (
        SYSTEM,
        role(
            "system::leader-locking-kube-controller-manager",
            &[
                rule("watch", "core", "configmaps"),
                named("get update", "core", "configmaps", "kube-controller-manager"),
            ],
        ),
    ),
    (
        SYSTEM,
        role(
            "system::leader-locking-kube-scheduler",
            &[
                rule("watch", "core", "configmaps"),
                named("get update", "core", "configmaps", "kube-scheduler"),
            ],
        ),
    ),
    (
        PUBLIC,
        role(
            "system:controller:bootstrap-signer",
            &[
                rule(READ, "core", "configmaps"),
                named("update", "core", "configmaps", "cluster-info"),
                EVENTS,
            ],
        ),
    ),
];

/// The bindings, each with its namespace.
pub(super) const BINDINGS: &[(&str, BindingFacts)] = &[
    (
        SYSTEM,
        // Nodes learn from it whom the API server's certificate is signed by.
        BindingFacts {
            name: "strake:node-authentication-reader",
            role: "extension-apiserver-authentication-reader",
            subjects: "group:system:nodes",
        },
    ),
    (
        SYSTEM,
        BindingFacts {
            name: "system::extension-apiserver-authentication-reader",
            role: "extension-apiserver-authentication-reader",
            subjects: "user:system:kube-controller-manager user:system:kube-scheduler",
        },
    ),
    (
        SYSTEM,
        binding(
            "system::leader-locking-kube-controller-manager",
            "user:system:kube-controller-manager sa:kube-system/kube-controller-manager",
        ),
    ),
    (
        SYSTEM,
        binding(
            "system::leader-locking-kube-scheduler",
            "user:system:kube-scheduler sa:kube-system/kube-scheduler",
        ),
    ),
    (SYSTEM, binding("system:controller:bootstrap-signer", "sa:kube-system/bootstrap-signer")),
    (SYSTEM, binding("system:controller:cloud-provider", "sa:kube-system/cloud-provider")),
    (SYSTEM, binding("system:controller:token-cleaner", "sa:kube-system/token-cleaner")),
    (PUBLIC, binding("system:controller:bootstrap-signer", "sa:kube-system/bootstrap-signer")),
];

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
