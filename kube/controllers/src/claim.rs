//! Whose is what: owners adopt what they select and nobody manages, and let go what they select no more.

use std::sync::Arc;

use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};

use crate::object::{
    controller_of, controller_reference, is_controlled_by, is_deleting, labels, namespace, set, uid,
};
use crate::observed::View;
use crate::plan::{Action, Target};

/// Who claims what.
pub(crate) struct Claim<'a> {
    /// The owner.
    pub(crate) owner: &'a Value,
    /// Its resource.
    pub(crate) owner_resource: &'a GroupVersionResource,
    /// Its group and version.
    pub(crate) api_version: &'a str,
    /// Its kind.
    pub(crate) kind: &'a str,
    /// The resource of what it owns.
    pub(crate) claimed: &'a GroupVersionResource,
    /// What it selects.
    pub(crate) selector: LabelSelector,
    /// The finalizer of what it owns, if it counts the ends of that.
    pub(crate) finalizer: Option<&'static str>,
}

/// What an owner has, and what makes that so.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    /// What it manages, with what it is about to adopt.
    pub(crate) mine: Vec<Arc<Value>>,
    /// Adoptions and releases.
    pub(crate) actions: Vec<Action>,
}

impl Claim<'_> {
    /// Looks at all that it selects or manages, as far as `counts` says so.
    pub(crate) fn of(&self, view: &dyn View, counts: impl Fn(&Value) -> bool) -> Claimed {
        let me = uid(self.owner);
        let mut claimed = Claimed::default();
        for object in view.owned(self.claimed, me) {
            if !is_controlled_by(&object, me) || !counts(&object) {
                continue;
            }
            if self.selector.matches(&labels(&object)) {
                claimed.mine.push(object);
            } else if !is_deleting(self.owner) && !is_deleting(&object) {
                claimed.actions.push(self.release(&object));
            }
        }
        if is_deleting(self.owner) {
            return claimed;
        }
        let mut adopted = Vec::new();
        for object in view.select(self.claimed, namespace(self.owner), &self.selector) {
            if controller_of(&object).is_none() && !is_deleting(&object) && counts(&object) {
                adopted.push(self.adopt(&object));
                claimed.mine.push(object);
            }
        }
        if !adopted.is_empty() {
            // The cache may not know yet that the owner is gone: then it must not adopt.
            let owner = Action::Present(Target::of(self.owner_resource, self.owner));
            claimed.actions.push(owner);
            claimed.actions.append(&mut adopted);
        }
        claimed
    }

    fn adopt(&self, object: &Value) -> Action {
        let reference = controller_reference(self.owner, self.api_version, self.kind);
        let mut patch = json!({"metadata": {"uid": uid(object), "ownerReferences": [reference]}});
        if let Some(finalizer) = self.finalizer {
            set(&mut patch, &["metadata", "finalizers"], json!([finalizer]));
        }
        Action::patch(self.claimed, object, patch)
    }

    fn release(&self, object: &Value) -> Action {
        let reference = json!({"$patch": "delete", "uid": uid(self.owner)});
        let mut patch = json!({"metadata": {"uid": uid(object), "ownerReferences": [reference]}});
        if let Some(finalizer) = self.finalizer {
            set(&mut patch, &["metadata", "$deleteFromPrimitiveList/finalizers"], json!([finalizer]));
        }
        Action::patch(self.claimed, object, patch)
    }
}
