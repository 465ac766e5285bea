//! The images of a context, with its user's way to registries.

use std::path::PathBuf;

use engine::images::{Image, Images, PullPolicy, Remote};
use engine::request::InvalidOption;
use oci_spec::image::Platform;

use super::progress::{Display, Stream};
use crate::context::Context;
use crate::error::CliError;

/// Directories in containerd's `hosts.toml` form; the first that knows a registry wins.
const HOSTS_DIRECTORIES: [&str; 3] =
    ["/etc/strake/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"];

/// The images, with credentials from docker's `config.json` and hosts from `certs.d`
/// under the data root or `/etc`.
pub fn images(context: &Context) -> Result<Images, CliError> {
    Ok(context.engine()?.images()?.with_remote(remote(context)))
}

/// How registries are reached.
pub fn remote(context: &Context) -> Remote {
    let mut hosts_directories = vec![context.root.join("certs.d")];
    hosts_directories.extend(HOSTS_DIRECTORIES.map(PathBuf::from));
    Remote {
        docker_config: context.docker_config_dir().map(|directory| directory.join("config.json")),
        hosts_directories,
        ..Remote::default()
    }
}

/// Reads `--platform`.
pub fn platform(text: Option<&str>) -> Result<Option<Platform>, CliError> {
    Ok(text.map(Platform::parse).transpose()?)
}

/// Nobody asks for or makes signatures of Notary: `--disable-content-trust` is the default, and all there is.
pub(crate) fn refuse_trust(disabled: bool) -> Result<(), CliError> {
    match disabled {
        true => Ok(()),
        false => {
            let why =
                "images are not signed with Notary here; leave it out, and name the image by its digest";
            Err(InvalidOption::new("--disable-content-trust", "false", why).into())
        }
    }
}

/// The image that `name` means, pulled as `policy` says and ready to run. What is
/// pulled is shown on standard error, so that a container's output stays alone.
pub fn ensure(
    context: &Context,
    name: &str,
    policy: PullPolicy,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<Image, CliError> {
    let images = images(context)?;
    if policy != PullPolicy::Always
        && let Some(image) = images.try_find(name, platform)?
    {
        images.unpack(&image, &mut engine::images::Silent)?;
        return Ok(image);
    }
    if policy == PullPolicy::Never {
        return Ok(images.find(name, platform)?);
    }
    if quiet {
        return Ok(images.ensure(name, PullPolicy::Always, platform, &mut engine::images::Silent)?);
    }
    let reference = oci_spec::Reference::parse(name)?;
    if policy == PullPolicy::Missing {
        context.say(format_args!("Unable to find image '{}' locally", reference.familiar()));
    }
    let options = engine::images::PullOptions { platform: platform.cloned() };
    let mut display = Display::new(context, Stream::Err);
    let pulled = images.pull(&reference, &options, &mut display)?;
    display.finish();
    context.say(format_args!("Digest: {}", pulled.digest));
    context.say(super::pull::status(&reference, pulled.newer));
    Ok(pulled.image)
}
