//! Reading a bundle's `config.json`.

use std::path::Path;

use oci_spec::runtime::Spec;

use crate::error::Error;

/// Reads `config.json` of the bundle.
pub fn load_spec(bundle: &Path) -> Result<Spec, Error> {
    let path = bundle.join("config.json");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoConfig { bundle: bundle.to_owned() });
        }
        read => read.map_err(Error::path("read", &path))?,
    };
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })
}
