//! Protobuf messages of objects, kept while they are asked for.
//!
//! The cache has every object as JSON. Its message is made when a client wants it, and the newest
//! ones are kept up to a fixed size: clients list the same objects again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use client::Item;
use kube_object::protobuf::{self, InvalidProtobuf};
use kube_object::resource::GroupVersionKind;

/// The newest messages; an object's own memo lasts as long as its message is in here.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    newest_last: VecDeque<Arc<[u8]>>,
    size: usize,
}

impl Messages {
    /// The message of an object of this kind, without an envelope.
    pub(crate) fn of(&self, gvk: &GroupVersionKind, item: &Item) -> Result<Bytes, InvalidProtobuf> {
        let message = item.message(|json| {
            let made: Arc<[u8]> = protobuf::transcode(gvk, json)?.into();
            self.keep(Arc::clone(&made));
            Ok::<_, InvalidProtobuf>(made)
        })?;
        Ok(Bytes::from_owner(message))
    }

    fn keep(&self, message: Arc<[u8]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.size += message.len();
        kept.newest_last.push_back(message);
        while kept.size > SIZE_MAX {
            let Some(oldest) = kept.newest_last.pop_front() else { break };
            kept.size -= oldest.len();
        }
    }
}

/// About 10,000 pods with their managed fields.
const SIZE_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_made_once_while_there_is_place() {
        let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
        let item = |name: &str, size: usize| {
            let json = format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"k":"{}"}}}}"#, "x".repeat(size));
            Item::parse(json.into(), 1).unwrap()
        };
        let messages = Messages::default();
        let first = item("first", 10);
        let made = messages.of(&gvk, &first).unwrap();
        let place = made.as_ptr();
        drop(made);
        assert_eq!(messages.of(&gvk, &first).unwrap().as_ptr(), place);
        // A megabyte each: the first one has to go.
        let large: Vec<Item> = (0..17).map(|at| item(&format!("n{at}"), 1024 * 1024)).collect();
        for item in &large {
            messages.of(&gvk, item).unwrap();
        }
        let kept = messages.kept.lock().unwrap();
        assert!(kept.size <= SIZE_MAX && kept.newest_last.len() == 15, "{}", kept.newest_last.len());
        drop(kept);
        assert!(first.message(|_| Err::<Arc<[u8]>, ()>(())).is_err());
    }
}
