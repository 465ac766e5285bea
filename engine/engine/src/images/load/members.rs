//! The members of an archive, taken up in the order in which they come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use archive::tar::{Kind, Reader};
use base::digest::{Algorithm, DigestHasher};
use base::{Digest, failpoint};
use content::{Expected, Ingest};

use super::super::archive_out::io_of;
use super::{Contents, DOCUMENT_BYTES_MAX, Error, Load};

/// Members that have no digest in their names.
#[derive(Default)]
pub(super) struct Members {
    by_name: BTreeMap<String, Member>,
}

pub(super) enum Member {
    /// A file without a name, on the disk of the store.
    Spooled(Spool),
    /// A symbolic or hard link to another member.
    Link(String),
}

/// A member's content.
pub(in super::super) struct Spool {
    file: File,
    pub(in super::super) digest: Digest,
    pub(in super::super) size: u64,
}

/// Links to links are followed this far.
const LINKS_MAX: usize = 8;
const BUFFER_BYTES: usize = 256 << 10;

impl Members {
    /// The content of the member `name`, through links.
    pub(super) fn get(&self, name: &str) -> Option<&Spool> {
        let mut name = name.to_owned();
        for _ in 0..LINKS_MAX {
            match self.by_name.get(&name)? {
                Member::Spooled(spool) => return Some(spool),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

impl Load<'_> {
    /// Reads an uncompressed archive to its end.
    pub(super) fn read_members(&self, stream: impl Read, archive: &str) -> Result<Contents, Error> {
        let failed = |source| Error::ArchiveIo {
            operation: "read",
            archive: archive.to_owned(),
            source: io_of(source),
        };
        let mut contents = Contents::default();
        let mut reader = Reader::new(stream);
        while let Some(mut entry) = reader.next_entry().map_err(failed)? {
            let header = entry.header();
            let name = String::from_utf8_lossy(header.trimmed_path()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            let (kind, size) = (header.kind, header.size);
            let link = String::from_utf8_lossy(&header.link).into_owned();
            match kind {
                Kind::Symlink => {
                    contents.members.by_name.insert(name.clone(), Member::Link(beside(&name, &link)));
                }
                Kind::HardLink => {
                    contents
                        .members
                        .by_name
                        .insert(name, Member::Link(link.trim_start_matches("./").to_owned()));
                }
                Kind::File => match (name.as_str(), blob_digest(&name)) {
                    ("index.json", _) => contents.index = Some(self.document_of(&mut entry, size, archive)?),
                    ("manifest.json", _) => {
                        contents.docker = Some(self.document_of(&mut entry, size, archive)?);
                    }
                    (_, Some(digest)) => self.ingest(&digest, &mut entry, archive)?,
                    ("oci-layout" | "repositories", None) => {}
                    (_, None) => {
                        let spool = self.spool(&mut entry, archive)?;
                        contents.members.by_name.insert(name, Member::Spooled(spool));
                    }
                },
                _ => {}
            }
        }
        Ok(contents)
    }

    /// Takes a blob into the store under its digest.
    pub(in super::super) fn ingest(
        &self,
        digest: &Digest,
        mut stream: impl Read,
        archive: &str,
    ) -> Result<(), Error> {
        let images = self.images;
        self.leases.content.add(digest)?;
        let expected = Expected { digest: digest.clone(), size: None };
        let wrap = || Error::blob(format!("blob {}", digest.short()), archive);
        let Ingest::Needed(mut writer) = images.store.ingest(&expected).map_err(wrap())? else {
            return Ok(());
        };
        writer.restart().map_err(wrap())?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = read(&mut stream, &mut buffer, archive)?;
            if count == 0 {
                break;
            }
            writer.append(&buffer[..count]).map_err(wrap())?;
        }
        writer.commit().map_err(wrap())?;
        failpoint::hit("load.blob-committed");
        Ok(())
    }

    fn document_of(&self, stream: impl Read, size: u64, archive: &str) -> Result<Vec<u8>, Error> {
        if size > DOCUMENT_BYTES_MAX {
            return Err(self.not_one(archive, "its index is too large"));
        }
        let mut bytes = Vec::new();
        let read = stream.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|source| Error::ArchiveIo { operation: "read", archive: archive.to_owned(), source })?;
        Ok(bytes)
    }

    /// Writes a member to a file without a name: whatever happens, it leaves nothing.
    pub(in super::super) fn spool(&self, mut stream: impl Read, archive: &str) -> Result<Spool, Error> {
        let folder = self.images.store.root();
        let failed = |source| Error::File {
            operation: "spool an archive's layer in",
            path: folder.to_owned(),
            source,
        };
        let mut file = self.images.spool_file().map_err(failed)?;
        let mut hasher = DigestHasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0;
        loop {
            let count = read(&mut stream, &mut buffer, archive)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(failed)?;
            size += count as u64;
        }
        Ok(Spool { file, digest: hasher.finish(), size })
    }
}

impl Spool {
    /// Reads the content from its start.
    pub(in super::super) fn open(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

fn read(stream: &mut impl Read, buffer: &mut [u8], archive: &str) -> Result<usize, Error> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(Error::ArchiveIo { operation: "read", archive: archive.to_owned(), source });
            }
            Ok(count) => return Ok(count),
        }
    }
}

/// The digest of a member of an OCI layout: `blobs/<algorithm>/<hex>`.
fn blob_digest(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// What a relative link of the member `name` points to. Only names are compared: a
/// link that climbs out finds nothing.
fn beside(name: &str, link: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_names() {
        assert_eq!(beside("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(beside("x", "./y"), "y");
        assert_eq!(beside("x", "../../../etc/passwd"), "etc/passwd");
    }

    #[test]
    fn blobs_are_known_by_name() {
        let hex = "a".repeat(64);
        assert!(blob_digest(&format!("blobs/sha256/{hex}")).is_some());
        assert!(blob_digest(&format!("blobs/sha256/../{hex}")).is_none());
        assert!(blob_digest("blobs/sha256/").is_none());
        assert!(blob_digest(&hex).is_none());
    }
}
