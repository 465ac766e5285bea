//! The tags of a repository, page by page (distribution-spec, "Listing tags").

use http::{Method, Uri, header};
use oci_spec::Reference;
use serde::Deserialize;

use crate::client::{Client, pull_scope};
use crate::error::{Error, Operation};
use crate::failure::Subject;
use crate::url::{Origin, join};
use crate::wire::Call;

const PAGE_BYTES_MAX: u64 = 16 << 20;
/// A registry whose pages never end is not believed.
const PAGES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of `reference`'s repository.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Pull, true)?;
        let subject = Subject::Repository { repository: reference.familiar_repository() };
        let (subject, scope) = (&subject, &pull_scope(reference));
        self.first(&hosts, async |host| {
            let mut tags = Vec::new();
            let mut next: Option<Uri> = None;
            for _ in 0..PAGES_MAX {
                let make = |base: &_| {
                    let first = || host.address(base, &format!("/{}/tags/list", reference.path()));
                    Call::new(Method::GET, next.clone().unwrap_or_else(first))
                };
                let mut response = self.request(host, scope, Operation::Pull, subject, make).await?;
                let here = make(&host.base()).uri;
                let text = response.bytes(PAGE_BYTES_MAX, "list of tags").await?;
                let odd = |what: &str| Error::Protocol { host: host.name(), what: what.to_owned() };
                let page: Page =
                    serde_json::from_slice(&text).map_err(|_| odd("its list of tags is not valid JSON"))?;
                tags.extend(page.tags.unwrap_or_default());
                let Some(link) = response.header(header::LINK).and_then(next_link) else { return Ok(tags) };
                // The next page is on the same host, or somebody wants our token.
                let same = |uri: &Uri| Origin::of(uri) == Origin::of(&here);
                next = Some(
                    join(&here, link).filter(same).ok_or_else(|| odd("its next page is on another host"))?,
                );
            }
            Err(Error::Protocol { host: host.name(), what: "its list of tags does not end".to_owned() })
        })
        .await
    }
}

/// The target of `<…>; rel="next"` (RFC 8288).
fn next_link(value: &str) -> Option<&str> {
    value.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|one| matches!(one.trim(), "rel=next" | "rel=\"next\""));
        is_next.then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        assert_eq!(
            next_link(r#"</v2/a/tags/list?n=2&last=b>; rel="next""#),
            Some("/v2/a/tags/list?n=2&last=b")
        );
        assert_eq!(next_link(r#"</x>; rel="prev", </y>; rel=next"#), Some("/y"));
        assert_eq!(next_link("nonsense"), None);
    }
}
