//! What strict decoding says of a type's JSON, in the order of the text: unknown fields and keys that
//! stand twice, as they are met.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::is_enough;
use crate::shape::Shape;

/// The notes on a text that has been read before, so that it is known to be JSON.
///
/// What stands in unknown fields, and in values of any type, is not looked at.
pub fn ordered_notes(bytes: &[u8], shape: &dyn Shape) -> Vec<String> {
    let mut walk = Walk { path: String::new(), notes: Vec::new(), strange: 0 };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // Whoever has read the text has said what is wrong with it.
    drop(Node { walk: &mut walk, shape }.deserialize(&mut deserializer));
    walk.notes
}

struct Walk {
    path: String,
    notes: Vec<String>,
    /// How often something was strange, told or not.
    strange: usize,
}

impl Walk {
    /// Ends the walk when looking further serves nobody.
    fn goes_on<E: serde::de::Error>(&self) -> Result<(), E> {
        let over = self.strange >= STRANGE_MAX || is_enough(&self.notes);
        if over { Err(E::custom("enough")) } else { Ok(()) }
    }

    fn note(&mut self, what: &str) {
        self.strange += 1;
        let note = format!("{what} field {:?}", self.path);
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

struct Node<'a> {
    walk: &'a mut Walk,
    shape: &'a dyn Shape,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let len = self.walk.path.len();
        let Some(shape) = self.shape.item() else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for at in 0usize.. {
            self.walk.path.push_str(&format!("[{at}]"));
            let more = items.next_element_seed(Node { walk: &mut *self.walk, shape })?;
            self.walk.path.truncate(len);
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let len = self.walk.path.len();
        let mut seen = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if self.shape.is_open() {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            if len > 0 {
                self.walk.path.push('.');
            }
            self.walk.path.push_str(&name);
            match self.shape.field(&name) {
                Some(shape) => {
                    if !seen.insert(name) {
                        self.walk.note("duplicate");
                        self.walk.goes_on()?;
                    }
                    fields.next_value_seed(Node { walk: &mut *self.walk, shape })?;
                }
                None => {
                    self.walk.note("unknown");
                    self.walk.goes_on()?;
                    fields.next_value::<IgnoredAny>()?;
                }
            }
            self.walk.path.truncate(len);
        }
        Ok(())
    }
}

/// So much that is strange is looked at: the same may be said of all of it.
const STRANGE_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::GroupVersionKind;
    use crate::schema_shape;

    #[test]
    fn goes_by_the_order_of_the_text() {
        let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
        let text = br#"{"spec": {"zebra": 1, "paused": true, "ant": {"x": 1, "x": 2}, "ant": 3, "paused": false,
            "template": {"spec": {"containers": [{"name": "a"}, {"nam": 1, "name": "b", "name": null}]}},
            "selector": {"matchLabels": {"a": "1", "a": "2"}}}, "metadata": {"annotations": {"b": "\u00e9"}, "q": -1.5e3}}"#;
        assert_eq!(
            ordered_notes(text, schema_shape::of(&gvk).unwrap()),
            [
                "unknown field \"spec.zebra\"",
                "unknown field \"spec.ant\"",
                "duplicate field \"spec.paused\"",
                "unknown field \"spec.template.spec.containers[1].nam\"",
                "duplicate field \"spec.template.spec.containers[1].name\"",
                "duplicate field \"spec.selector.matchLabels.a\"",
                "unknown field \"metadata.q\"",
            ]
        );
    }
}
