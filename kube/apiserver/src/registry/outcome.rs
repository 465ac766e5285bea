//! What a verb answers: bytes where they exist already, so that HTTP sends them as they are.

use std::sync::Arc;

use client::Item;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

/// The answer to a request for one object.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The HTTP status: 200, 201 for what was created, 202 for what will end.
    pub code: u16,
    /// What the answer is: the resource's kind, `Status` or a subresource's kind.
    pub gvk: GroupVersionKind,
    /// The answer.
    pub answer: Answer,
}

/// An object, encoded or not.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Complete JSON, shared with the cache where possible.
    Item(Arc<Item>),
    /// What was made for this answer alone: a `Status`, a `Scale`, a review.
    Value(Value),
}

/// A list at one revision. HTTP writes the frame around the items.
#[derive(Clone, Debug)]
pub struct List {
    /// The kind of the list, such as `PodList`, and its version.
    pub gvk: GroupVersionKind,
    /// `metadata.resourceVersion`.
    pub revision: u64,
    /// `metadata.continue`; empty at the end.
    pub continue_token: String,
    /// `metadata.remainingItemCount`.
    pub remaining: Option<u64>,
    /// The items in order. Those of built-in kinds are written without their type, see
    /// [`Item::untyped_pieces`]; those of custom kinds whole.
    pub items: Vec<Arc<Item>>,
    /// Whether items are written with `kind` and `apiVersion`.
    pub typed_items: bool,
}

impl Outcome {
    /// An object that was read, written or marked.
    pub fn item(code: u16, gvk: &GroupVersionKind, item: Arc<Item>) -> Self {
        Self { code, gvk: gvk.clone(), answer: Answer::Item(item) }
    }

    /// Anything else.
    pub fn value(code: u16, gvk: GroupVersionKind, value: Value) -> Self {
        Self { code, gvk, answer: Answer::Value(value) }
    }

    /// The answer, decoded for the caller alone.
    pub fn into_value(self) -> Value {
        match self.answer {
            Answer::Item(item) => item.decode(),
            Answer::Value(value) => value,
        }
    }

    /// The answer, decoded.
    pub fn to_value(&self) -> Arc<Value> {
        match &self.answer {
            Answer::Item(item) => item.value(),
            Answer::Value(value) => Arc::new(value.clone()),
        }
    }
}
