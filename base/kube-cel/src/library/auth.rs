//! The authorizer: a question grows call by call, and `check` asks it.

use std::sync::Arc;

use super::Result;
use crate::authorizer::{Check, Decision, Stage};
use crate::error::EvalError;
use crate::eval::Machine;
use crate::val::Val;

pub(super) fn call<'a>(
    machine: &Machine<'a>,
    name: &str,
    check: &Check,
    args: &[Val<'a>],
) -> Option<Result<'a>> {
    let texts: Vec<&str> = args
        .iter()
        .filter_map(|arg| match arg {
            Val::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let mut next = check.clone();
    match (check.stage, name, texts.as_slice()) {
        (Stage::Subject, "path", [""]) => return Some(Err(EvalError::text("path must not be empty"))),
        (Stage::Subject, "path", [path]) => {
            next.stage = Stage::Path;
            next.path = (*path).to_owned();
        }
        (Stage::Subject, "group", [group]) => {
            next.stage = Stage::Group;
            next.group = (*group).to_owned();
        }
        (Stage::Subject, "serviceAccount", [namespace, name]) => {
            if !kube_object::names::dns1123_subdomain(name).is_empty() {
                return Some(Err(EvalError::text("Invalid service account name")));
            }
            if !kube_object::names::dns1123_label(namespace).is_empty() {
                return Some(Err(EvalError::text("Invalid service account namespace")));
            }
            next.service_account = Some(((*namespace).to_owned(), (*name).to_owned()));
        }
        (Stage::Group, "resource", [""]) => {
            return Some(Err(EvalError::text("resource must not be empty")));
        }
        (Stage::Group, "resource", [resource]) => {
            next.stage = Stage::Resource;
            next.resource = (*resource).to_owned();
        }
        (Stage::Resource, "subresource", [text]) => next.subresource = (*text).to_owned(),
        (Stage::Resource, "namespace", [text]) => next.namespace = (*text).to_owned(),
        (Stage::Resource, "name", [text]) => next.name = (*text).to_owned(),
        (Stage::Resource, "fieldSelector", [text]) => next.field_selector = Some((*text).to_owned()),
        (Stage::Resource, "labelSelector", [text]) => next.label_selector = Some((*text).to_owned()),
        (Stage::Resource | Stage::Path, "check", [verb]) => {
            next.verb = (*verb).to_owned();
            let answer = match machine.authorizer() {
                Some(authorizer) => authorizer.decide(&next),
                None => Err("no authorizer".to_owned()),
            };
            return Some(Ok(Val::Decision(Arc::new(Decision { answer }))));
        }
        _ => return None,
    }
    Some(Ok(Val::Check(Arc::new(next))))
}

/// A member function of an answer.
pub(super) fn answer<'a>(name: &str, decision: &Decision) -> Option<Result<'a>> {
    let answer = &decision.answer;
    Some(Ok(match name {
        "allowed" => Val::Bool(answer.as_ref().is_ok_and(|answer| answer.allowed)),
        "reason" => Val::text(answer.as_ref().map_or("", |answer| &answer.reason)),
        "errored" => Val::Bool(answer.is_err()),
        "error" => Val::text(answer.as_ref().err().map_or("", String::as_str)),
        _ => return None,
    }))
}
