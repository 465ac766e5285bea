//! The parameters that a binding gives to its policy.

use std::sync::Arc;

use kube_object::label_selector::{InvalidLabelSelector, LabelSelector};
use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use serde_json::Value;

use super::compiled::{Binding, Policy};
use crate::host::Host;
use crate::matching::labels;
use crate::read::{at, text};
use crate::request::Request;

/// The parameters cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParamError {
    #[error("paramKind kind `{api_version}, Kind={kind}` not known")]
    UnknownKind { api_version: String, kind: String },
    #[error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")]
    NoNamespace,
    #[error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")]
    NamespaceGiven,
    #[error("one of name or selector must be provided")]
    Neither,
    #[error("no params found for policy binding with `Deny` parameterNotFoundAction")]
    NotFound,
    #[error(transparent)]
    Selector(#[from] InvalidLabelSelector),
    #[error("{0}")]
    Status(#[from] Status),
}

/// What a policy is evaluated with, once for each; null where it takes no parameters.
/// Empty if there are none and the binding lets requests pass then.
pub(super) async fn params(
    policy: &Policy,
    binding: &Binding,
    request: &Request,
    host: &Host,
) -> Result<Vec<Arc<Value>>, ParamError> {
    let reference = &binding.param_ref;
    let Some(kind) = policy.param_kind.as_ref().filter(|_| reference.is_object()) else {
        return Ok(vec![Arc::new(Value::Null)]);
    };
    let Some((resource, namespaced)) = host.kinds.resource_of(kind) else {
        return Err(ParamError::UnknownKind { api_version: kind.api_version(), kind: kind.kind.clone() });
    };
    let given = text(reference, &["namespace"]);
    let namespace = match (namespaced, given) {
        (false, "") => "",
        (false, _) => return Err(ParamError::NamespaceGiven),
        (true, "") if request.namespace.is_empty() => return Err(ParamError::NoNamespace),
        (true, "") => &request.namespace,
        (true, given) => given,
    };
    let resource = resource.group_resource();
    let (name, selector) = (text(reference, &["name"]), at(reference, &["selector"]));
    let found: Vec<Arc<Value>> = if !name.is_empty() {
        match host.cluster.get(&resource, namespace, name) {
            Some(found) => vec![found],
            None => match host.writer.read(&resource, namespace, name).await {
                Ok(found) => vec![Arc::new(found)],
                Err(status) if status.code == 404 => Vec::new(),
                Err(status) => return Err(status.into()),
            },
        }
    } else if selector.is_object() {
        let selector = LabelSelector::from_value(selector)?;
        let all = host.cluster.list(&resource, namespaced.then_some(namespace));
        all.into_iter().filter(|param| selector.matches(&labels(param))).collect()
    } else {
        return Err(ParamError::Neither);
    };
    if found.is_empty() && text(reference, &["parameterNotFoundAction"]) == "Deny" {
        return Err(ParamError::NotFound);
    }
    let mut params = Vec::new();
    for param in found {
        params.push(in_version(param, kind, host).await?);
    }
    Ok(params)
}

async fn in_version(param: Arc<Value>, kind: &GroupVersionKind, host: &Host) -> Result<Arc<Value>, Status> {
    if text(&param, &["apiVersion"]) == kind.api_version() {
        return Ok(param);
    }
    host.kinds.convert(param.as_ref().clone(), kind).await.map(Arc::new)
}
