//! Get, list and watch.

use std::sync::Arc;

use client::Item;
use kube_object::field_error::FieldError;
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use store::{KeyRange, RangeRequest, Revision};

use super::context::{GetOptions, ListOptions, Target};
use super::core::{Core, not_found};
use super::outcome::{List, Outcome};
use super::page::Place;
use crate::cache::{Begin, Collection, Page, Selector, Show, WatchPlan, Watcher};
use crate::kinds::Resource;
use crate::rules;
use crate::storage::{prefix, refusal};

impl Core {
    pub(crate) async fn get(&self, target: &Target, options: &GetOptions) -> Result<Outcome, Status> {
        match options.resource_version.as_str() {
            "" => drop(self.cache.catch_up().await?),
            "0" => {}
            number => self.cache.wait_for(revision_of(number)?).await?,
        }
        let resource = &target.resource;
        let found = client::Mirror::item(&*self.cache, &resource.stored_as, &target.namespace, &target.name);
        let item = self.shown(resource, found.ok_or_else(|| not_found(target))?).await?;
        Ok(Outcome::item(200, &resource.gvk, item))
    }

    pub(crate) async fn list(&self, target: &Target, options: &ListOptions) -> Result<List, Status> {
        check_list(options)?;
        let selector = self.selector(target, options)?;
        let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let token = match options.continue_token.as_str() {
            "" => None,
            token => Some(Place::from_token(token)?),
        };
        let collection = self.cache.collection(&target.resource.stored_as);
        let after = token.as_ref().map(|place| place.after.as_str());
        let exact = match &token {
            Some(place) => (place.revision > 0).then_some(place.revision),
            None => exact_revision(options)?,
        };
        let (page, revision) = match exact {
            Some(revision) => {
                let found = self.page_at(&collection, &selector, after, limit, revision).await;
                (found.map_err(|error| expired(error, token.as_ref()))?, revision)
            }
            None => {
                match options.resource_version.as_str() {
                    "" => drop(self.cache.catch_up().await?),
                    "0" if token.is_none() => {}
                    "0" => drop(self.cache.catch_up().await?),
                    number => self.cache.wait_for(revision_of(number)?).await?,
                }
                // Read before the page: the page may only be newer.
                let revision = self.cache.revision();
                let page = collection.page(selector.part(), after, limit, |item| selector.fits(item));
                let revision = revision.max(page.changed);
                (page, revision)
            }
        };
        self.list_of(target, &selector, page, revision).await
    }

    async fn list_of(
        &self,
        target: &Target,
        selector: &Selector,
        page: Page,
        revision: u64,
    ) -> Result<List, Status> {
        let resource = &target.resource;
        let last = page.items.last().filter(|_| page.more);
        let continue_token = last
            .map_or_else(String::new, |last| Place { revision, after: last.key().to_string() }.to_token());
        let remaining = (page.more && selector.is_everything()).then_some(page.behind as u64);
        let items = self.shown_all(resource, page.items).await?;
        let mut gvk = resource.gvk.clone();
        gvk.kind.clone_from(&resource.list_kind);
        Ok(List { gvk, revision, continue_token, remaining, items, typed_items: resource.is_custom() })
    }

    /// A page as it was at a revision: from the cache if nothing has changed since, else from the store.
    async fn page_at(
        &self,
        collection: &Collection,
        selector: &Selector,
        after: Option<&str>,
        limit: usize,
        revision: u64,
    ) -> Result<Page, PageError> {
        self.cache.wait_for(revision).await.map_err(PageError::Refused)?;
        // What is gone for good is refused, whether or not it would look the same by chance.
        let compacted = self.storage.store().compacted();
        if revision < compacted.0 {
            let requested = Revision(revision);
            return Err(PageError::Store(store::Error::Compacted { requested, compacted }));
        }
        let page = collection.page(selector.part(), after, limit, |item| selector.fits(item));
        if page.changed <= revision {
            return Ok(page);
        }
        let all = prefix(&collection.resource, "");
        let within = prefix(&collection.resource, &selector.namespace);
        let mut range = KeyRange::prefix(within.clone());
        if let Some(after) = after {
            range = behind(&format!("{all}{after}"), &within);
        }
        let mut page = Page { items: Vec::new(), more: false, behind: 0, changed: revision };
        loop {
            let chunk = limit.saturating_sub(page.items.len()).saturating_add(1).min(CHUNK);
            let request = RangeRequest::new(range).at(Revision(revision)).limit(chunk);
            let found = self.storage.fetch(request).await.map_err(PageError::Store)?;
            let mut left = found.count;
            for kv in &found.kvs {
                if page.items.len() == limit {
                    page.more = true;
                    page.behind = left;
                    return Ok(page);
                }
                left -= 1;
                let item = Item::at(&kv.value, kv.mod_revision.0);
                let Some(item) = item.ok().filter(|item| selector.fits(item)) else { continue };
                page.items.push(Arc::new(item));
            }
            match found.kvs.last() {
                Some(last) if found.more => {
                    range = behind(&String::from_utf8_lossy(&last.key), &within);
                }
                _ => return Ok(page),
            }
        }
    }

    /// How a watch shows stored objects.
    fn show(self: &Arc<Self>, resource: &Arc<Resource>) -> Show {
        let (core, resource) = (Arc::clone(self), Arc::clone(resource));
        Arc::new(move |item| {
            let (core, resource) = (Arc::clone(&core), Arc::clone(&resource));
            Box::pin(async move { core.shown(&resource, item).await })
        })
    }

    pub(super) async fn watch(
        self: &Arc<Self>,
        target: &Target,
        options: &ListOptions,
    ) -> Result<Watcher, Status> {
        check_watch(options)?;
        let selector = self.selector(target, options)?;
        let begin = match (options.send_initial_events, options.resource_version.as_str()) {
            (Some(true), version) => {
                match version {
                    "" => drop(self.cache.catch_up().await?),
                    number => self.cache.wait_for(revision_of(number)?).await?,
                }
                Begin::State { marks_end: options.allow_bookmarks }
            }
            (sends, version @ ("" | "0")) => {
                if version.is_empty() {
                    self.cache.catch_up().await?;
                }
                if sends == Some(false) { Begin::Now } else { Begin::State { marks_end: false } }
            }
            (_, number) => Begin::After(revision_of(number)?),
        };
        let plan = WatchPlan {
            selector,
            begin,
            bookmarks: options.allow_bookmarks,
            timeout: options
                .timeout
                .unwrap_or_else(|| WATCH_MIN + WATCH_MIN.mul_f64(f64::from(super::random::byte()) / 255.0)),
            gvk: target.resource.gvk.clone(),
            show: (!self.shows_as_stored(&target.resource)).then(|| self.show(&target.resource)),
        };
        Watcher::begin(&self.cache, self.cache.collection(&target.resource.stored_as), plan)
    }

    fn selector(&self, target: &Target, options: &ListOptions) -> Result<Selector, Status> {
        let resource = &target.resource;
        let unknown =
            options.field_selector.terms().iter().find(|term| !rules::is_selectable(resource, &term.field));
        if let Some(term) = unknown {
            return Err(Status::bad_request(rules::unsupported_field(resource, &term.field)));
        }
        let read = Arc::clone(resource);
        let mut namespace = target.namespace.as_str();
        let named = options.field_selector.exact_value("metadata.namespace");
        if let Some(named) = named.filter(|_| namespace.is_empty() && resource.namespaced) {
            namespace = named;
        }
        Ok(Selector {
            namespace: namespace.into(),
            name: target.name.as_str().into(),
            clustered: !resource.namespaced,
            labels: options.label_selector.clone(),
            fields: options.field_selector.clone(),
            indexed: kube_api::indexed_field(&resource.stored_as),
            read: Arc::new(move |object| rules::selectable(&read, object)),
        })
    }
}

enum PageError {
    Refused(Status),
    Store(store::Error),
}

/// The keys behind one, up to the end of a prefix.
fn behind(key: &str, prefix: &str) -> KeyRange {
    let mut end = prefix.as_bytes().to_vec();
    // A prefix ends with a slash, and `0` follows it.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    KeyRange::between(format!("{key}\0").into_bytes(), end)
}

fn expired(error: PageError, token: Option<&Place>) -> Status {
    match (error, token) {
        (PageError::Refused(status), _) => status,
        (PageError::Store(store::Error::Compacted { .. }), Some(place)) => {
            let again = Place { revision: 0, after: place.after.clone() };
            let mut status = Status::expired(INCONSISTENT);
            status.details.get_or_insert_default().continue_token = again.to_token();
            status
        }
        (PageError::Store(store::Error::Compacted { .. }), None) => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        (PageError::Store(error), _) => refusal(&error),
    }
}

/// The revision that a list must show; none if it may be newer.
fn exact_revision(options: &ListOptions) -> Result<Option<u64>, Status> {
    let version = options.resource_version.as_str();
    if matches!(version, "" | "0") {
        return Ok(None);
    }
    let exact = match options.resource_version_match.as_str() {
        "Exact" => true,
        // Clients from before resourceVersionMatch mean the exact revision when they ask for pages.
        "" => options.limit > 0,
        _ => false,
    };
    if exact { revision_of(version).map(Some) } else { Ok(None) }
}

fn revision_of(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        Status::bad_request(format!("resourceVersion: Invalid value: {text:?}: {why}"))
    })
}

fn check_list(options: &ListOptions) -> Result<(), Status> {
    let version = options.resource_version.as_str();
    let how = options.resource_version_match.as_str();
    if options.send_initial_events.is_some() {
        let why = "sendInitialEvents is forbidden for list";
        return Err(invalid(FieldError::forbidden("sendInitialEvents", why)));
    }
    if !options.continue_token.is_empty() && !matches!(version, "" | "0") {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    if how.is_empty() {
        return Ok(());
    }
    let forbidden = |why: &str| Err(invalid(FieldError::forbidden("resourceVersionMatch", why)));
    if !options.continue_token.is_empty() {
        return forbidden("resourceVersionMatch is forbidden when continue is provided");
    }
    match (how, version) {
        (_, "") => forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("Exact", "0") => forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
        ("Exact" | "NotOlderThan", _) => Ok(()),
        (other, _) => {
            let known = ["Exact", "NotOlderThan", ""];
            Err(invalid(FieldError::not_listed("resourceVersionMatch", other, &known)))
        }
    }
}

fn check_watch(options: &ListOptions) -> Result<(), Status> {
    let how = options.resource_version_match.as_str();
    let forbidden = |why: &str| Err(invalid(FieldError::forbidden("resourceVersionMatch", why)));
    match (options.send_initial_events, how) {
        (Some(_), "") => forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        (Some(_), "NotOlderThan") | (None, "") => Ok(()),
        (Some(_), other) => {
            Err(invalid(FieldError::not_supported("resourceVersionMatch", other, &["NotOlderThan"])))
        }
        (None, _) => {
            forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
    }
}

fn invalid(error: FieldError) -> Status {
    Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &[error])
}

/// Upstream's words for a page that cannot be consistent with those before it.
const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can \
     start a new list without the continue parameter, or use the continue token in this response to retrieve the \
     remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
     created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Upstream ends watches after half an hour to an hour.
const WATCH_MIN: std::time::Duration = std::time::Duration::from_secs(1800);
/// Objects that are read from the store at once.
const CHUNK: usize = 1000;
