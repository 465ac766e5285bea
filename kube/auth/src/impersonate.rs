//! Acting as somebody else: the `Impersonate-…` headers, if the real user may.

use std::collections::BTreeMap;

use kube_object::status::Status;
use kube_object::user::User;

use crate::attributes::{Attributes, ResourceAttributes};
use crate::authn::{
    ANONYMOUS, AUTHENTICATED, Headers, UNAUTHENTICATED, after_prefix, extra_key, service_account,
};
use crate::authorizer::Authorizer;

/// The user that the headers ask to be; none if they ask nothing.
pub fn impersonate(
    headers: &dyn Headers,
    user: &User,
    authorizer: &Authorizer,
) -> Result<Option<User>, Status> {
    let wanted = Wanted::from_headers(headers);
    if wanted.is_nothing() {
        return Ok(None);
    }
    let Some(name) = &wanted.user else {
        let words = "requested impersonation of groups, a UID or extras without impersonating a user";
        return Err(Status::bad_request(words));
    };
    let ask = |resource: ResourceAttributes<'_>| {
        let attributes = Attributes::of_resource(user, "impersonate", resource);
        let decision = authorizer.authorize(&attributes);
        if decision.is_allowed() { Ok(()) } else { Err(attributes.forbidden(decision.reason().as_str())) }
    };
    let account = service_account_of(name);
    let core = |resource, name| ResourceAttributes { resource, name, version: "v1", ..Default::default() };
    match account {
        Some((namespace, name)) => {
            ask(ResourceAttributes { namespace, ..core("serviceaccounts", name) })?;
        }
        None => ask(core("users", name))?,
    }
    for group in &wanted.groups {
        ask(core("groups", group))?;
    }
    let extended = |resource, subresource, name| ResourceAttributes {
        group: "authentication.k8s.io",
        version: "v1",
        resource,
        subresource,
        name,
        ..Default::default()
    };
    if let Some(uid) = &wanted.uid {
        ask(extended("uids", "", uid))?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            ask(extended("userextras", key, value))?;
        }
    }
    let namespace = account.map(|(namespace, _)| namespace.to_owned());
    Ok(Some(wanted.into_user(namespace)))
}

#[derive(Default)]
struct Wanted {
    user: Option<String>,
    groups: Vec<String>,
    uid: Option<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn from_headers(headers: &dyn Headers) -> Self {
        let mut wanted = Self::default();
        headers.each(&mut |name, value| {
            if name.eq_ignore_ascii_case("Impersonate-User") {
                wanted.user.get_or_insert_with(|| value.to_owned());
            } else if name.eq_ignore_ascii_case("Impersonate-Group") {
                wanted.groups.push(value.to_owned());
            } else if name.eq_ignore_ascii_case("Impersonate-Uid") {
                wanted.uid.get_or_insert_with(|| value.to_owned());
            } else if let Some(key) = after_prefix(name, "Impersonate-Extra-") {
                wanted.extra.entry(extra_key(key)).or_default().push(value.to_owned());
            }
        });
        wanted.user = wanted.user.filter(|user| !user.is_empty());
        wanted.uid = wanted.uid.filter(|uid| !uid.is_empty());
        wanted
    }

    fn is_nothing(&self) -> bool {
        self.user.is_none() && self.groups.is_empty() && self.uid.is_none() && self.extra.is_empty()
    }

    fn into_user(self, account_namespace: Option<String>) -> User {
        let mut groups = self.groups;
        // A service account is in its groups, unless somebody says which it is in.
        if groups.is_empty()
            && let Some(namespace) = account_namespace
        {
            groups = service_account::groups(&namespace);
        }
        let name = self.user.unwrap_or_default();
        let known = groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
        if name == ANONYMOUS {
            if !groups.iter().any(|group| group == UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !known {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name, uid: self.uid.unwrap_or_default(), groups, extra: self.extra }
    }
}

fn service_account_of(name: &str) -> Option<(&str, &str)> {
    let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let valid = !namespace.is_empty() && !account.is_empty() && !account.contains(':');
    valid.then_some((namespace, account))
}
