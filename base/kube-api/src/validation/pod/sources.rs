//! Kinds of volumes, one check each.

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::volumes::Site;
use super::{claim, words};
use crate::quantity::{self, Quantity};
use crate::validation::{Errors, PathRef};
use crate::value::{items, members, text};

pub(super) fn empty_dir(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let limit = &source["sizeLimit"];
    if !limit.is_null() && quantity::read(limit).is_none_or(Quantity::is_negative) {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(path.child("sizeLimit"), why));
    }
}

pub(super) fn host_path(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let value = text(&source["path"]);
    let at = path.child("path");
    if value.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    words::no_backsteps(value, &at, errors);
    words::if_set_one_of(&source["type"], &HOST_PATH_TYPES, &path.child("type"), errors);
}

const HOST_PATH_TYPES: [&str; 8] =
    ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

pub(super) fn git_repo(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["repository"], path, errors);
    words::descending_path(text(&source["directory"]), &path.child("directory"), errors);
}

pub(super) fn gce_disk(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["pdName"], path, errors);
    partition(&source["partition"], path, errors);
}

pub(super) fn aws_disk(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["volumeID"], path, errors);
    partition(&source["partition"], path, errors);
}

fn partition(number: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if number.as_i64().is_some_and(|number| !(0..=255).contains(&number)) {
        let why = "must be between 1 and 255, inclusive";
        errors.push(FieldError::invalid(path.child("partition"), number.clone(), why));
    }
}

pub(super) fn secret(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["secretName"], path, errors);
    files(source, path, errors);
}

pub(super) fn config_map(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["name"], path, errors);
    files(source, path, errors);
}

fn files(source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    words::file_mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    let list = path.child("items");
    for (at, item) in items(&source["items"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        key_to_path(item, &list.index(at), errors);
    }
}

/// A key that becomes a file.
pub(super) fn key_to_path(item: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(item, &["key", "path"], path, errors);
    words::unreserved_path(text(&item["path"]), &path.child("path"), errors);
    words::file_mode(&item["mode"], &path.child("mode"), errors);
}

pub(super) fn nfs(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["server", "path"], path, errors);
    let value = text(&source["path"]);
    if !value.starts_with('/') {
        errors.push(FieldError::invalid(path.child("path"), value, "must be an absolute path"));
    }
}

pub(super) fn iscsi(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["targetPortal"], path, errors);
    let name = text(&source["iqn"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("iqn"), ""));
    } else {
        iscsi_name(name, &path.child("iqn"), errors);
    }
    words::within(&source["lun"], (0, 255), &path.child("lun"), errors);
    let authenticates = |name: &str| source[name].as_bool() == Some(true);
    if (authenticates("chapAuthDiscovery") || authenticates("chapAuthSession"))
        && source["secretRef"].is_null()
    {
        errors.push(FieldError::required(path.child("secretRef"), ""));
    }
    if let Some(name) = source["initiatorName"].as_str() {
        iscsi_name(name, &path.child("initiatorname"), errors);
    }
}

fn iscsi_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let alphanumeric =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let sound = match name.get(..3) {
        Some("iqn") => is_qualified_iscsi_name(name),
        Some("eui") => name.len() > 4 && name.is_char_boundary(4) && alphanumeric(&name[4..], 16),
        Some("naa") => name.len() > 4 && name.is_char_boundary(4) && alphanumeric(&name[4..], 32),
        _ => {
            errors.push(FieldError::invalid(
                path,
                name,
                "must be valid format starting with iqn, eui, or naa",
            ));
            return;
        }
    };
    if !sound {
        errors.push(FieldError::invalid(path, name, "must be valid format"));
    }
}

/// `iqn.YYYY-MM.AUTHORITY:NAME`, as RFC 3720 has it.
fn is_qualified_iscsi_name(name: &str) -> bool {
    let Some((head, unique)) = name.split_once(':') else { return false };
    let mut parts = head.splitn(3, '.');
    let (Some("iqn"), Some(date), Some(authority)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let dated = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let odd = |letter: char| ",;*&$|".contains(letter) || letter.is_whitespace();
    dated
        && !authority.is_empty()
        && authority.bytes().all(plain)
        && !unique.is_empty()
        && !unique.contains(odd)
}

pub(super) fn flocker(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let (name, uuid) = (text(&source["datasetName"]), text(&source["datasetUUID"]));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => {
            errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required"));
        }
        (false, false) => {
            let why = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
        _ => {}
    }
    if name.contains('/') {
        errors.push(FieldError::invalid(path.child("datasetName"), name, "must not contain '/'"));
    }
}

pub(super) fn rbd(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    monitors(source, path, errors);
    words::needs(source, &["image"], path, errors);
}

pub(super) fn ceph_fs(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    monitors(source, path, errors);
}

fn monitors(source: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if items(&source["monitors"]).is_empty() {
        errors.push(FieldError::required(path.child("monitors"), ""));
    }
}

pub(super) fn cinder(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["volumeID"], path, errors);
    named_secret(source, "secretRef", path, errors);
}

fn named_secret(source: &Value, member: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if !source[member].is_null() {
        words::needs(&source[member], &["name"], &path.child(member), errors);
    }
}

pub(super) fn quobyte(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let registry = text(&source["registry"]);
    let why = "must be a host:port pair or multiple pairs separated by commas";
    if registry.is_empty() {
        errors.push(FieldError::required(path.child("registry"), why));
    } else if text(&source["tenant"]).len() >= 65 {
        let why = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(path.child("tenant"), why));
    } else {
        let unpaired = registry.split(',').filter(|pair| pair.rsplit_once(':').is_none());
        errors.extend(unpaired.map(|_| FieldError::invalid(path.child("registry"), registry, why)));
    }
    words::needs(source, &["volume"], path, errors);
}

pub(super) fn downward_api(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::file_mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for file in items(&source["items"]) {
        if words::enough(errors) {
            return;
        }
        super::env::downward_file(file, path, errors);
    }
}

pub(super) fn fibre_channel(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let names = &source["targetWWNs"];
    let (by_name, by_id) = (!items(names).is_empty(), !items(&source["wwids"]).is_empty());
    let at = path.child("targetWWNs");
    if !by_name && !by_id {
        let why = "must specify either targetWWNs or wwids, but not both";
        errors.push(FieldError::required(at, why));
    }
    if by_name && by_id {
        let why = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(at, names.clone(), why));
    }
    if by_name {
        let at = path.child("lun");
        if source["lun"].is_null() {
            errors.push(FieldError::required(at, "lun is required if targetWWNs is specified"));
        } else {
            words::within(&source["lun"], (0, 255), &at, errors);
        }
    }
}

pub(super) fn flex_volume(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["driver"], path, errors);
    let list = path.child("options");
    for (key, _) in members(&source["options"]) {
        if words::enough(errors) {
            break;
        }
        let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace);
        let domain = format!(".{}", namespace.to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(list.key(key), key.as_str(), why));
        }
    }
}

pub(super) fn azure_disk(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(source, &["diskName", "diskURI"], path, errors);
    let modes = ["None", "ReadOnly", "ReadWrite"];
    words::if_set_one_of(&source["cachingMode"], &modes, &path.child("cachingMode"), errors);
    let kinds = ["Dedicated", "Managed", "Shared"];
    words::if_set_one_of(&source["kind"], &kinds, &path.child("kind"), errors);
    let uri = text(&source["diskURI"]);
    let (start, form) = match source["kind"].as_str() {
        None => return,
        Some("Managed") => ("/subscriptions/", AZURE_MANAGED),
        Some(_) => ("https://", AZURE_BLOB),
    };
    if !uri.starts_with(start) {
        errors.push(FieldError::not_supported(path.child("diskURI"), uri, &[form]));
    }
}

const AZURE_MANAGED: &str =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const AZURE_BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

pub(super) fn storage_os(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&source["volumeName"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("volumeName"), ""));
    } else {
        words::label(name, &path.child("volumeName"), errors);
    }
    let namespace = text(&source["volumeNamespace"]);
    if !namespace.is_empty() {
        words::label(namespace, &path.child("volumeNamespace"), errors);
    }
    named_secret(source, "secretRef", path, errors);
}

pub(super) fn csi(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    csi_driver(text(&source["driver"]), &path.child("driver"), errors);
    let secret = &source["nodePublishSecretRef"];
    if secret.is_null() {
        return;
    }
    let name = text(&secret["name"]);
    if name.is_empty() {
        words::needs(secret, &["name"], &path.child("nodePublishSecretRef"), errors);
    } else {
        words::subdomain(name, &path.child("name"), errors);
    }
}

/// A CSI driver's name.
pub(in crate::validation) fn csi_driver(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if name.len() > 63 {
        errors.push(FieldError::too_long(path, 63));
    }
    words::faults(names::dns1123_subdomain(&name.to_lowercase()), name, path, errors);
}

pub(super) fn ephemeral(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let template = &source["volumeClaimTemplate"];
    let at = path.child("volumeClaimTemplate");
    if template.is_null() {
        errors.push(FieldError::required(at, ""));
    } else {
        claim::template(template, &at, errors);
    }
}

pub(super) fn image(source: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    if !site.pod.is_empty() {
        words::needs(source, &["reference"], path, errors);
    }
    words::one_of(&source["pullPolicy"], &PULL_POLICIES, &path.child("pullPolicy"), errors);
}

/// When an image is pulled.
pub(super) const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
