//! `pull`: name → manifest → configuration → layers → name.

use base::{Digest, failpoint};
use content::{Expected, Ingest, Labels};
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document, Manifest, Platform};
use registry::{Client, Fetched};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::fetch::Fetch;
use super::image::{PLATFORM_LABEL, REPO_DIGEST_LABEL};
use super::lookup::{INDEX_DEPTH_MAX, children};
use super::progress::{Event, Progress};
use super::remote::block_on;
use super::{Error, Image, Images, Leases};

/// Configurations are some kilobytes; beyond this one is an attack.
const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// When to ask the registry: docker's `--pull`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Whether there is a newer image, each time.
    Always,
    /// Only for an image that is not here.
    #[default]
    Missing,
    /// Not at all.
    Never,
}

impl std::str::FromStr for PullPolicy {
    type Err = InvalidPullPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "always" => Ok(Self::Always),
            "missing" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            _ => Err(InvalidPullPolicy { raw: text.to_owned() }),
        }
    }
}

/// The text is not a pull policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pull policy {raw:?} is not valid: use always, missing or never")]
pub struct InvalidPullPolicy {
    /// What was given.
    pub raw: String,
}

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// For which platform; this host's when none.
    pub platform: Option<Platform>,
}

/// What a pull has brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, unpacked.
    pub image: Image,
    /// What its name stands for now: the digest that docker prints.
    pub digest: Digest,
    /// Whether it was not here before.
    pub newer: bool,
}

impl Images {
    /// The image that `name` means, pulled as `policy` says, ready to run.
    pub fn ensure(
        &self,
        name: &str,
        policy: PullPolicy,
        platform: Option<&Platform>,
        progress: &mut dyn Progress,
    ) -> Result<Image, Error> {
        if policy != PullPolicy::Always
            && let Some(image) = self.try_find(name, platform)?
        {
            self.unpack(&image, progress)?;
            return Ok(image);
        }
        if policy == PullPolicy::Never {
            return self.find(name, platform);
        }
        let reference = Reference::parse(name)?;
        let options = PullOptions { platform: platform.cloned() };
        Ok(self.pull(&reference, &options, progress)?.image)
    }

    /// Fetches an image and unpacks it. What is here already is not fetched again.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &mut dyn Progress,
    ) -> Result<Pulled, Error> {
        let leases = self.leases("pull")?;
        failpoint::hit("pull.leased");
        let (events, mut heard) = unbounded_channel();
        let client = self.remote.client();
        let pull = Pull { images: self, client, reference, options, leases: &leases, events };
        let pulled = block_on(async {
            let work = pull.run();
            tokio::pin!(work);
            let outcome = loop {
                tokio::select! {
                    biased;
                    Some(event) = heard.recv() => progress.event(&event),
                    outcome = &mut work => break outcome,
                }
            };
            while let Ok(event) = heard.try_recv() {
                progress.event(&event);
            }
            outcome
        })?;
        let name = reference.familiar();
        self.tell("pull", &name, &name, &pulled.image.config.config.labels);
        Ok(pulled)
    }

    /// All tags of a repository, as its registry lists them.
    pub fn remote_tags(&self, repository: &Reference) -> Result<Vec<String>, Error> {
        let client = self.remote.client();
        block_on(async {
            client.tags(repository).await.map_err(Error::registry("list the tags of", repository))
        })
    }

    /// Stores a document under its descriptor's digest.
    pub(super) fn store_bytes(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        image: &str,
    ) -> Result<(), Error> {
        let expected = Expected { digest: descriptor.digest.clone(), size: Some(descriptor.size) };
        let wrap = || Error::blob(format!("{} {}", descriptor.media_type, descriptor.digest.short()), image);
        if let Ingest::Needed(mut writer) = self.store.ingest(&expected).map_err(wrap())? {
            writer.restart().map_err(wrap())?;
            writer.append(bytes).map_err(wrap())?;
            writer.commit().map_err(wrap())?;
        }
        Ok(())
    }
}

struct Pull<'a> {
    images: &'a Images,
    client: Client,
    reference: &'a Reference,
    options: &'a PullOptions,
    leases: &'a Leases,
    events: UnboundedSender<Event>,
}

impl Pull<'_> {
    async fn run(&self) -> Result<Pulled, Error> {
        let _ = self.events.send(Event::Started {
            tag: self.reference.manifest_reference(),
            repository: self.reference.path().to_owned(),
            registry: self.reference.domain().to_owned(),
        });
        if let Some(pulled) = self.up_to_date().await? {
            return Ok(pulled);
        }
        let target = self.client.manifest(self.reference).await.map_err(self.failed())?;
        let descriptor = target.descriptor.clone();
        // The manifest protects what it names once it is stored; so the lease comes first.
        self.leases.content.add(&descriptor.digest)?;
        let before = self.images.store.find_name(&self.name())?;
        let (manifest_descriptor, manifest) = self.choose(target).await?;
        failpoint::hit("pull.manifest-stored");
        let config = self.config(&manifest).await?;
        failpoint::hit("pull.config-stored");
        let called = self.reference.familiar();
        let image = Image::read(&called, descriptor.clone(), manifest_descriptor, manifest, config)?;
        // An index was asked for it; a lone manifest tells only by its configuration.
        if let Some(wanted) = &self.options.platform
            && !image.is_for(wanted)
        {
            return Err(image.not_for(wanted));
        }
        for layer in image.layers() {
            self.leases.chains.add(&layer.chain_id)?;
        }
        let fetch = Fetch {
            images: self.images,
            client: &self.client,
            reference: self.reference,
            image: &image,
            events: &self.events,
        };
        let staged = fetch.layers().await?;
        self.images.commit_layers(&image, staged, &self.events)?;
        self.name_it(&image, &descriptor)?;
        let newer = before.is_none_or(|before| before.target.digest != descriptor.digest);
        Ok(Pulled { image, digest: descriptor.digest, newer })
    }

    /// Asks only for the digest when the name is known, which counts against nobody's
    /// rate limit, and ends the pull when all of it is here.
    async fn up_to_date(&self) -> Result<Option<Pulled>, Error> {
        let Some(record) = self.images.store.find_name(&self.name())? else { return Ok(None) };
        let now = self.client.resolve(self.reference).await.map_err(self.failed())?;
        if now.digest != record.target.digest {
            return Ok(None);
        }
        self.leases.content.add(&now.digest)?;
        let wanted = self.wanted();
        let found = self.images.of_record(&record, &self.reference.familiar(), Some(&wanted))?;
        let Some(image) = found.filter(|image| self.is_whole(image)) else { return Ok(None) };
        if !self.images.missing_layers(&image)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(Pulled { digest: now.digest, image, newer: false }))
    }

    fn is_whole(&self, image: &Image) -> bool {
        let here = |descriptor: &Descriptor| self.images.store.contains(&descriptor.digest).unwrap_or(false);
        image.manifest.layers.iter().all(here)
    }

    /// Follows indexes to the manifest for the platform, storing each document.
    async fn choose(&self, target: Fetched) -> Result<(Descriptor, Manifest), Error> {
        let called = self.reference.familiar();
        let mut fetched = target;
        for _ in 0..=INDEX_DEPTH_MAX {
            self.images.store_bytes(&fetched.descriptor, fetched.document.raw(), &called)?;
            let index = match fetched.document {
                Document::Manifest { manifest, .. } => return Ok((fetched.descriptor, manifest)),
                Document::Index { index, .. } => index,
            };
            let wanted = self.wanted();
            let entry = index.select(&wanted).cloned().ok_or_else(|| {
                let platforms = children(&index).filter_map(|entry| entry.platform.as_ref());
                let platforms =
                    platforms.filter(|platform| platform.os != "unknown").map(ToString::to_string);
                let available: Vec<String> = platforms.collect();
                let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
                Error::NoPlatform { reference: called.clone(), wanted: wanted.to_string(), available }
            })?;
            fetched = match self.stored(&entry)? {
                Some(fetched) => fetched,
                None => self.client.manifest_of(self.reference, &entry).await.map_err(self.failed())?,
            };
        }
        Err(Error::not_an_image(&called, "its indexes are nested too deeply"))
    }

    /// A manifest that is here already.
    fn stored(&self, entry: &Descriptor) -> Result<Option<Fetched>, Error> {
        if !self.images.store.contains(&entry.digest)? {
            return Ok(None);
        }
        let document = self.images.document(&entry.digest)?;
        Ok(Some(Fetched { document, descriptor: entry.clone(), host: String::new() }))
    }

    async fn config(&self, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let descriptor = &manifest.config;
        if self.images.store.contains(&descriptor.digest)? {
            return Ok(self.images.store.read(&descriptor.digest)?);
        }
        let fetched = self.client.blob_bytes(self.reference, descriptor, CONFIG_BYTES_MAX).await;
        let bytes = fetched.map_err(self.failed())?;
        self.images.store_bytes(descriptor, &bytes, &self.reference.familiar())?;
        Ok(bytes)
    }

    /// From here on the image exists. The lease ends under the lock, so that a
    /// collection sees one of both.
    fn name_it(&self, image: &Image, target: &Descriptor) -> Result<(), Error> {
        let _naming = self.images.naming()?;
        let mut labels = Labels::new();
        labels.insert(REPO_DIGEST_LABEL.to_owned(), self.reference.at(target.digest.clone()).to_string());
        labels.insert(PLATFORM_LABEL.to_owned(), image.platform().to_string());
        self.images.give_name(&self.name(), target, &labels)
    }

    /// The name that the image gets: with a digest asked for, that alone counts.
    fn name(&self) -> String {
        match self.reference.digest() {
            Some(digest) => self.reference.at(digest.clone()).to_string(),
            None => self.reference.to_string(),
        }
    }

    fn wanted(&self) -> Platform {
        self.options.platform.clone().unwrap_or_else(Platform::host)
    }

    fn failed(&self) -> impl FnOnce(registry::Error) -> Error {
        Error::registry("pull", self.reference)
    }
}
