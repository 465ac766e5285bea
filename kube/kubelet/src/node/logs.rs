//! Log files: kept small, and removed with their containers.

use std::fs;
use std::path::{Path, PathBuf};

use rpc::cri::ReopenContainerLogRequest;

use crate::kubelet::Shared;
use crate::model::Life;
use crate::spec;

/// Puts aside log files that are too large, and has the runtime begin new ones.
pub(super) async fn rotate(shared: &Shared) {
    let (most, files) = (shared.config.logs.size_bytes, shared.config.logs.files.max(2));
    for (pod, state) in shared.pods.states() {
        let folder = shared.config.paths.pod_logs(&pod);
        for container in state.containers.iter().filter(|found| found.life == Life::Running) {
            let path = folder.join(spec::log_path(&container.name, container.attempt));
            if fs::metadata(&path).map_or(0, |found| found.len()) <= most {
                continue;
            }
            // Before one more is put aside, so that there are never too many.
            for old in aside_of(&path).into_iter().rev().skip(files - 2) {
                drop(fs::remove_file(old));
            }
            let stamp = shared.now().strftime("%Y%m%d-%H%M%S").to_string();
            let aside = PathBuf::from(format!("{}.{stamp}", path.display()));
            if fs::rename(&path, &aside).is_err() {
                continue;
            }
            let request = ReopenContainerLogRequest { container_id: container.id.clone() };
            if shared.config.runtime.reopen_container_log(request).await.is_err() {
                // It still writes to the old file: give that its name back.
                drop(fs::rename(&aside, &path));
            }
        }
    }
}

/// What was put aside of a log, oldest first.
fn aside_of(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|it| it.path())
        .collect();
    found.sort();
    found
}

/// Removes a container's log with what was put aside of it.
pub(crate) fn remove(path: &Path) {
    for old in aside_of(path) {
        drop(fs::remove_file(old));
    }
    drop(fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_with_what_was_put_aside() {
        let dir = testkit::TempDir::new();
        let path = dir.path().join("0.log");
        for name in ["0.log", "0.log.20260101-000000", "0.log.20260102-000000", "10.log"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(aside_of(&path).len(), 2);
        remove(&path);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
