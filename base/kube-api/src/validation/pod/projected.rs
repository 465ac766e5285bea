//! Projected volumes: files of several sources in one folder.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::volumes::Site;
use super::{env, sources, words};
use crate::validation::{Errors, PathRef, metadata};
use crate::value::{items, text};

/// Checks a projected volume.
pub(super) fn check(source: &Value, _: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    words::file_mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    let mut taken = BTreeSet::new();
    let list = path.child("sources");
    for (at, projection) in items(&source["sources"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = list.index(at);
        let mut kinds = 0;
        for (name, check) in KINDS {
            let found = &projection[name];
            if !found.is_null() {
                kinds += 1;
                check(found, &mut Place { taken: &mut taken, volume: path, here: &at.child(name) }, errors);
            }
        }
        if kinds > 1 {
            let why = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(at, why));
        }
    }
}

/// Where a source stands, and which paths are taken.
struct Place<'a, 'v> {
    taken: &'a mut BTreeSet<&'v str>,
    volume: &'a PathRef<'a>,
    here: &'a PathRef<'a>,
}

impl<'v> Place<'_, 'v> {
    /// A file may have one source; `owner` is shown if it has two.
    fn take(&mut self, file: &'v str, owner: &str, errors: &mut Errors) {
        if !self.taken.insert(file) {
            errors.push(FieldError::invalid(self.volume, owner, "conflicting duplicate paths"));
        }
    }

    fn take_checked(&mut self, source: &'v Value, member: &str, errors: &mut Errors) -> bool {
        let file = text(&source[member]);
        if file.is_empty() {
            return false;
        }
        words::unreserved_path(file, &self.here.child(member), errors);
        self.take(file, file, errors);
        true
    }
}

type Check = for<'v> fn(&'v Value, &mut Place<'_, 'v>, &mut Errors);

const KINDS: [(&str, Check); 6] = [
    ("secret", keys),
    ("configMap", keys),
    ("downwardAPI", fields),
    ("serviceAccountToken", token),
    ("clusterTrustBundle", trust_bundle),
    ("podCertificate", certificate),
];

fn keys<'v>(source: &'v Value, place: &mut Place<'_, 'v>, errors: &mut Errors) {
    words::needs(source, &["name"], place.here, errors);
    let list = place.here.child("items");
    for (at, item) in items(&source["items"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        sources::key_to_path(item, &list.index(at), errors);
        let file = text(&item["path"]);
        if !file.is_empty() {
            place.take(file, text(&source["name"]), errors);
        }
    }
}

fn fields<'v>(source: &'v Value, place: &mut Place<'_, 'v>, errors: &mut Errors) {
    for file in items(&source["items"]) {
        if words::enough(errors) {
            return;
        }
        env::downward_file(file, place.here, errors);
        let path = text(&file["path"]);
        if !path.is_empty() {
            place.take(path, path, errors);
        }
    }
}

fn token<'v>(source: &'v Value, place: &mut Place<'_, 'v>, errors: &mut Errors) {
    let seconds = &source["expirationSeconds"];
    let number = seconds.as_i64().unwrap_or(0);
    let at = place.here.child("expirationSeconds");
    if number < 10 * 60 {
        errors.push(FieldError::invalid(at, number, "may not specify a duration less than 10 minutes"));
    }
    if number > 1 << 32 {
        errors.push(FieldError::invalid(at, number, "may not specify a duration larger than 2^32 seconds"));
    }
    let file = text(&source["path"]);
    let at = place.volume.child("path");
    if file.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else {
        words::unreserved_path(file, &at, errors);
    }
}

fn trust_bundle<'v>(source: &'v Value, place: &mut Place<'_, 'v>, errors: &mut Errors) {
    let here = place.here;
    match (source["name"].as_str(), source["signerName"].as_str()) {
        (Some(_), Some(_)) => {
            let why = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(here, source.clone(), why));
        }
        (Some(name), None) => {
            let at = here.child("name");
            if name.is_empty() {
                errors.push(FieldError::required(at, "must be a valid object name"));
            }
            for why in bundle_name(name) {
                let why = format!("not a valid clustertrustbundlename: {why}");
                errors.push(FieldError::invalid(at, name, why));
            }
            if !source["labelSelector"].is_null() {
                let why = "labelSelector must be unset if name is specified";
                errors.push(FieldError::invalid(
                    here.child("labelSelector"),
                    source["labelSelector"].clone(),
                    why,
                ));
            }
        }
        (None, Some(signer)) => {
            let at = here.child("signerName");
            if signer.is_empty() {
                errors.push(FieldError::required(at, "must be a valid signer name"));
            }
            signer_name(signer, &at, errors);
            words::selector(&source["labelSelector"], &here.child("labelSelector"), errors);
        }
        (None, None) => {
            errors.push(FieldError::required(here, "either name or signerName must be specified"));
        }
    }
    words::needs(source, &["path"], here, errors);
    let file = text(&source["path"]);
    words::unreserved_path(file, &here.child("path"), errors);
    place.take(file, file, errors);
}

/// A bundle's name: its signer's name with colons for slashes, then its own.
fn bundle_name(name: &str) -> Vec<String> {
    names::dns1123_subdomain(name.rsplit_once(':').map_or(name, |(_, own)| own))
}

/// A signer's name: a domain and a path.
fn signer_name(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let Some((domain, own)) = name.split_once('/').filter(|(_, own)| !own.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, name, why));
        return;
    };
    words::faults(names::dns1123_subdomain(domain), domain, path, errors);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, why));
    }
    if own.is_empty() {
        errors.push(FieldError::invalid(path, own, "must be a non-empty path"));
    }
}

fn certificate<'v>(source: &'v Value, place: &mut Place<'_, 'v>, errors: &mut Errors) {
    let here = place.here;
    let signer = text(&source["signerName"]);
    signer_name(signer, &here.child("signerName"), errors);
    metadata::annotations(&source["userAnnotations"], &here.child("userAnnotations"), errors);
    words::known_text(text(&source["keyType"]), &KEY_TYPES, &here.child("keyType"), errors);
    if let Some(seconds) = source["maxExpirationSeconds"].as_i64() {
        let at = here.child("maxExpirationSeconds");
        let most = if signer.starts_with("kubernetes.io/") { CERTIFICATE_DAY } else { CERTIFICATE_MOST };
        if seconds < CERTIFICATE_LEAST {
            let why = format!("if provided, maxExpirationSeconds must be >= {CERTIFICATE_LEAST}");
            errors.push(FieldError::invalid(at, seconds, why));
        }
        if seconds > most {
            let why = format!("if provided, maxExpirationSeconds must be <= {most}");
            errors.push(FieldError::invalid(at, seconds, why));
        }
    }
    let mut files = false;
    for member in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        files |= place.take_checked(source, member, errors);
    }
    if !files {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(FieldError::required(here, why));
    }
}

const KEY_TYPES: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
/// Seconds that a certificate of a pod may be good for.
const CERTIFICATE_LEAST: i64 = 60 * 60;
const CERTIFICATE_DAY: i64 = 24 * 60 * 60;
const CERTIFICATE_MOST: i64 = 91 * CERTIFICATE_DAY;
