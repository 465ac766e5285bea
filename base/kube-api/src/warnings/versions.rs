//! Versions that are on their way out.

use kube_object::resource::GroupVersionKind;

/// The release in which a version is deprecated, the one that no longer serves it, and what to use instead.
struct Lifecycle {
    kind: (&'static str, &'static str),
    deprecated: u32,
    removed: Option<u32>,
    instead: Option<&'static str>,
}

/// The release that is served: what it deprecates later is no news yet.
const RELEASE: u32 = 36;

const fn beta(api_version: &'static str, kind: &'static str, deprecated: u32) -> Lifecycle {
    Lifecycle { kind: (api_version, kind), deprecated, removed: Some(deprecated + 3), instead: None }
}

const LIFECYCLES: [Lifecycle; 19] = [
    Lifecycle { kind: ("v1", "ComponentStatus"), deprecated: 19, removed: None, instead: None },
    Lifecycle {
        kind: ("v1", "Endpoints"),
        deprecated: 33,
        removed: None,
        instead: Some("discovery.k8s.io/v1 EndpointSlice"),
    },
    beta("admissionregistration.k8s.io/v1alpha1", "MutatingAdmissionPolicy", 35),
    beta("admissionregistration.k8s.io/v1alpha1", "MutatingAdmissionPolicyBinding", 35),
    beta("certificates.k8s.io/v1alpha1", "ClusterTrustBundle", 34),
    beta("coordination.k8s.io/v1alpha2", "LeaseCandidate", 35),
    beta("coordination.k8s.io/v1beta1", "LeaseCandidate", 36),
    beta("networking.k8s.io/v1beta1", "IPAddress", 34),
    beta("networking.k8s.io/v1beta1", "ServiceCIDR", 34),
    beta("resource.k8s.io/v1alpha3", "DeviceTaintRule", 36),
    beta("resource.k8s.io/v1beta1", "DeviceClass", 35),
    beta("resource.k8s.io/v1beta1", "ResourceClaim", 35),
    beta("resource.k8s.io/v1beta1", "ResourceClaimTemplate", 35),
    beta("resource.k8s.io/v1beta1", "ResourceSlice", 35),
    beta("resource.k8s.io/v1beta2", "DeviceClass", 36),
    beta("resource.k8s.io/v1beta2", "ResourceClaim", 36),
    beta("resource.k8s.io/v1beta2", "ResourceClaimTemplate", 36),
    beta("resource.k8s.io/v1beta2", "ResourceSlice", 36),
    Lifecycle {
        kind: ("storage.k8s.io/v1beta1", "VolumeAttributesClass"),
        deprecated: 34,
        removed: Some(37),
        instead: Some("storage.k8s.io/v1 VolumeAttributesClass"),
    },
];

/// What clients are told of every request, reads too, for a kind in a version that is deprecated.
pub fn deprecated_version(gvk: &GroupVersionKind) -> Option<String> {
    let version = gvk.api_version();
    let found = LIFECYCLES.iter().find(|one| one.kind == (version.as_str(), gvk.kind.as_str()))?;
    if found.deprecated > RELEASE {
        return None;
    }
    let mut sentence = format!("{version} {} is deprecated in v1.{}+", gvk.kind, found.deprecated);
    if let Some(removed) = found.removed {
        sentence.push_str(&format!(", unavailable in v1.{removed}+"));
    }
    if let Some(instead) = found.instead {
        sentence.push_str(&format!("; use {instead}"));
    }
    Some(sentence)
}
