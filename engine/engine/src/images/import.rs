//! `import`: a root filesystem's archive becomes an image of one layer.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::SystemTime;

use archive::compression::detect;
use base::Digest;
use oci_spec::Reference;
use oci_spec::image::{
    ContainerConfig, Descriptor, History, ImageConfig, Manifest, MediaType, Platform, RootFs,
};

use super::load::{Load, docker};
use super::progress::Silent;
use super::{Change, Error, Image, Images, Leases};

/// What an imported image shall be.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Its name; without one it has only its id.
    pub reference: Option<Reference>,
    /// Instructions that change its configuration.
    pub changes: Vec<Change>,
    /// The configuration that they change.
    pub config: ContainerConfig,
    /// A remark for its history.
    pub message: Option<String>,
    /// What it runs on; this host when none.
    pub platform: Option<Platform>,
    /// When it was made; an image that is always the same has always the same time.
    pub created: Option<SystemTime>,
}

impl Images {
    /// Makes an image of an archive of a root filesystem, compressed or not, and unpacks it.
    pub fn import(
        &self,
        archive: &mut dyn Read,
        source: &str,
        options: &ImportOptions,
    ) -> Result<Image, Error> {
        let leases = self.leases("import")?;
        let load = Load::new(self, &leases);
        let spool = load.spool(archive, source)?;
        let failed = |source_error| Error::ArchiveIo {
            operation: "read",
            archive: source.to_owned(),
            source: source_error,
        };
        let mut first = [0; 4];
        let count = spool.open().and_then(|mut file| file.read(&mut first)).map_err(failed)?;
        let kind = docker::layer_type(detect(&first[..count]));
        let diff_id = docker::diff_id(&spool).map_err(failed)?;
        load.ingest(&spool.digest, spool.open().map_err(failed)?, source)?;
        let layer = Descriptor::new(kind.into(), spool.digest.clone(), spool.size);
        self.assemble(layer, diff_id, &leases, options)
    }

    fn assemble(
        &self,
        layer: Descriptor,
        diff_id: Digest,
        leases: &Leases,
        options: &ImportOptions,
    ) -> Result<Image, Error> {
        let called =
            options.reference.as_ref().map_or_else(|| layer.digest.short().to_owned(), Reference::familiar);
        let config_raw = to_json(&configuration(diff_id, options), &called)?;
        let config = Descriptor::of(MediaType::OCI_CONFIG.into(), &config_raw);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MediaType::OCI_MANIFEST.into()),
            artifact_type: None,
            config: config.clone(),
            layers: vec![layer],
            subject: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        };
        let raw = to_json(&manifest, &called)?;
        let target = Descriptor::of(MediaType::OCI_MANIFEST.into(), &raw);
        leases.content.add(&config.digest)?;
        leases.content.add(&target.digest)?;
        self.store_bytes(&config, &config_raw, &called)?;
        self.store_bytes(&target, &raw, &called)?;
        let image = Image::read(&called, target.clone(), target.clone(), manifest, config_raw)?;
        for layer in image.layers() {
            leases.chains.add(&layer.chain_id)?;
        }
        let missing = self.missing_layers(&image)?;
        self.unpack_leased(&image, &missing, &mut Silent)?;
        let name = options.reference.as_ref().map_or_else(|| target.digest.to_string(), ToString::to_string);
        let _naming = self.naming()?;
        self.give_name(&name, &target, &content::Labels::new())?;
        self.tell("import", &image.id.to_string(), &image.called, &BTreeMap::new());
        Ok(image)
    }
}

fn configuration(diff_id: Digest, options: &ImportOptions) -> ImageConfig {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let created =
        options.created.and_then(|time| jiff::Timestamp::try_from(time).ok()).map(|stamp| stamp.to_string());
    let mut config = options.config.clone();
    for change in &options.changes {
        change.apply(&mut config);
    }
    ImageConfig {
        created: created.clone(),
        author: None,
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
        history: vec![History { created, comment: options.message.clone(), ..History::default() }],
        extra: BTreeMap::new(),
    }
}

pub(super) fn to_json(value: &impl serde::Serialize, image: &str) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::not_an_image(image, format!("its description cannot be written: {error}")))
}
