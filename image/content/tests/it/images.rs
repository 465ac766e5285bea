//! Small images to fill a store with.

use base::Digest;
use content::{Error, Expected, Ingest, LeaseKind, Store};
use oci_spec::image::{Descriptor, MediaType};

/// The blobs of a small image, the manifest last.
pub(crate) fn blobs(name: &str, layers: &[&str]) -> Vec<Vec<u8>> {
    let layers: Vec<Vec<u8>> =
        layers.iter().map(|layer| format!("layer {layer}").repeat(100).into_bytes()).collect();
    let config = format!("{{\"config\":\"{name}\"}}").into_bytes();
    let of = |kind: &str, bytes: &[u8]| Descriptor::of(MediaType::from(kind), bytes);
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": of(MediaType::OCI_CONFIG, &config),
        "layers": layers.iter().map(|layer| of(MediaType::OCI_LAYER, layer)).collect::<Vec<_>>(),
    });
    let mut blobs = layers;
    blobs.push(config);
    blobs.push(serde_json::to_vec(&manifest).unwrap());
    blobs
}

/// What a pull does: a lease, the blobs in pieces, the name.
pub(crate) fn pull(store: &Store, name: &str, layers: &[&str]) -> Result<Digest, Error> {
    let lease =
        store.lease(&format!("pull-{}", Digest::sha256_of(name.as_bytes()).hex()), LeaseKind::WhileHeld)?;
    let blobs = blobs(name, layers);
    for bytes in &blobs {
        let digest = Digest::sha256_of(bytes);
        lease.add(&digest)?;
        let expected = Expected { digest, size: Some(bytes.len() as u64) };
        if let Ingest::Needed(mut writer) = store.ingest(&expected)? {
            let rest = &bytes[writer.offset() as usize..];
            for piece in rest.chunks(64) {
                writer.append(piece)?;
            }
            writer.commit()?;
        }
    }
    let manifest = Descriptor::of(MediaType::from(MediaType::OCI_MANIFEST), blobs.last().unwrap());
    store.set_name(name, &manifest, &Default::default())?;
    lease.release()?;
    Ok(manifest.digest)
}
