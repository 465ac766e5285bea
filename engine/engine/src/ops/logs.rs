//! What a container has written.

use base::ContainerId;
use shim::{LogOptions, LogReader};

use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Opens a container's log.
    pub fn logs(&self, id: &ContainerId, mut options: LogOptions) -> Result<LogReader, Error> {
        let record = self.look(id)?;
        if !record.request.log.keep {
            return Err(Error::NoLog { name: record.name });
        }
        options.follow &= record.lifecycle.is_running();
        let own = self.paths().log(id);
        let path = record.request.log.cri_file.as_deref().unwrap_or(&own);
        let reader = LogReader::open(path, &self.paths().record_dir(id), options);
        reader.map_err(|source| Error::Log { name: record.name, source })
    }

    /// Compresses what is rotated of a container's log. Its shim has this done.
    pub fn compress_log(&self, id: &ContainerId) -> Result<(), Error> {
        let path = self.paths().log(id);
        shim::compress_rotated(&path).map_err(Error::file("compress what is rotated of", &path))
    }
}
