//! Where a list goes on: the `continue` token, as upstream writes it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube_object::status::Status;
use serde_json::{Value, json};

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The revision that the list shows; 0 if it goes on with what there is now.
    pub revision: u64,
    /// The key of the last object of the page before: `namespace/name` or `name`.
    pub after: String,
}

impl Place {
    pub(super) fn to_token(&self) -> String {
        let revision = if self.revision == 0 { -1 } else { self.revision as i64 };
        let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    pub(super) fn from_token(token: &str) -> Result<Self, Status> {
        let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| invalid(&error.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
        if value.get("v").and_then(Value::as_str) != Some("meta.k8s.io/v1") {
            return Err(invalid("server does not recognize this encoded version"));
        }
        let revision = value.get("rv").and_then(Value::as_i64).unwrap_or(0);
        if revision == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        let start = value.get("start").and_then(Value::as_str).unwrap_or_default();
        if start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let after = start.strip_suffix('\0').unwrap_or(start).to_owned();
        Ok(Self { revision: u64::try_from(revision).unwrap_or(0), after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_both_ways() {
        for (revision, after) in [(7, "shop/web"), (0, "node")] {
            let place = Place { revision, after: after.to_owned() };
            assert_eq!(Place::from_token(&place.to_token()), Ok(place));
        }
        for bad in ["", "!", "bm9uc2Vuc2U", "e30"] {
            assert_eq!(Place::from_token(bad).map_err(|status| status.code), Err(400), "{bad}");
        }
    }
}
