//! What a container may do.

use engine::request::{AppArmor, DeviceRequest, SeccompRequest, SecurityRequest, capability_name};
use rpc::cri::security_profile::ProfileType;
use rpc::cri::{Device, LinuxContainerSecurityContext, SecurityProfile};

use super::{PlanError, invalid};

/// `profile` is the text of a filter on the node, when one is asked for.
pub(super) fn security(
    context: &LinuxContainerSecurityContext,
    devices: &[Device],
    profile: Option<&str>,
) -> Result<SecurityRequest, PlanError> {
    let capabilities = context.capabilities.clone().unwrap_or_default();
    if let Some(name) = capabilities.add_ambient_capabilities.first() {
        let why = "this runtime gives no ambient capabilities; add it as an ordinary one";
        return Err(invalid("capabilities.add_ambient_capabilities", name, why));
    }
    let names = |option, list: &[String]| -> Result<Vec<String>, PlanError> {
        list.iter().map(|name| Ok(capability_name(option, name)?)).collect()
    };
    // Without a list, as with an empty one on the wire, nothing is masked: the kubelet sends its
    // list unless the pod asks for an unmasked /proc.
    Ok(SecurityRequest {
        privileged: context.privileged,
        cap_add: names("capabilities.add_capabilities", &capabilities.add_capabilities)?,
        cap_drop: names("capabilities.drop_capabilities", &capabilities.drop_capabilities)?,
        seccomp: seccomp(context, profile)?,
        apparmor: apparmor(context.apparmor.as_ref())?,
        no_new_privileges: context.no_new_privs,
        masked_paths: Some(context.masked_paths.clone()),
        readonly_paths: Some(context.readonly_paths.clone()),
        devices: devices.iter().map(device).collect(),
        ..SecurityRequest::default()
    })
}

fn seccomp(
    context: &LinuxContainerSecurityContext,
    profile: Option<&str>,
) -> Result<SeccompRequest, PlanError> {
    let Some(wanted) = context.seccomp.as_ref().filter(|_| !context.privileged) else {
        return Ok(SeccompRequest::Unconfined);
    };
    match (wanted.profile_type(), profile) {
        (ProfileType::RuntimeDefault, _) => Ok(SeccompRequest::Default),
        (ProfileType::Unconfined, _) => Ok(SeccompRequest::Unconfined),
        (ProfileType::Localhost, Some(text)) => Ok(SeccompRequest::Profile(text.to_owned())),
        (ProfileType::Localhost, None) => Err(invalid(
            "seccomp.localhost_ref",
            &wanted.localhost_ref,
            "there is no such profile on this node",
        )),
    }
}

fn apparmor(profile: Option<&SecurityProfile>) -> Result<AppArmor, PlanError> {
    match profile.map(|profile| (profile.profile_type(), profile)) {
        None | Some((ProfileType::RuntimeDefault, _)) => Ok(AppArmor::Default),
        Some((ProfileType::Unconfined, _)) => Ok(AppArmor::Unconfined),
        Some((ProfileType::Localhost, profile)) => Ok(AppArmor::Profile(profile.localhost_ref.clone())),
    }
}

fn device(device: &Device) -> DeviceRequest {
    DeviceRequest {
        host: device.host_path.clone().into(),
        container: device.container_path.clone().into(),
        access: device.permissions.clone(),
    }
}
