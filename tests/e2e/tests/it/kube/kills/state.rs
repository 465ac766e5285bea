//! What the server keeps beside its objects: keys, the kubeconfig, nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::kube::KubeServer;

/// The files of a server, and what is in those that must stay as they are.
pub(super) struct Directory {
    files: BTreeMap<String, Vec<u8>>,
}

impl Directory {
    pub(super) fn of(server: &KubeServer) -> Self {
        let mut files = BTreeMap::new();
        collect(server.home(), "", &mut files);
        assert!(files.keys().any(|name| name.ends_with(".key")), "{:?}", files.keys());
        Self { files }
    }

    /// Nothing has come, nothing has gone, and all keys are the same.
    pub(super) fn assert_same(&self, server: &KubeServer) {
        let now = Self::of(server);
        let names = |directory: &Self| directory.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(self), "files of the server");
        for (name, content) in &self.files {
            assert_eq!(now.files.get(name), Some(content), "{name} is another");
        }
    }
}

fn collect(root: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        let name = name.trim_start_matches('/').to_owned();
        let kind = entry.file_type().unwrap();
        let is_store = kind.is_dir() && entry.file_name() == "store";
        if kind.is_dir() && !is_store {
            collect(root, &name, files);
            continue;
        }
        // The store's files change and its socket has no content; all others stay.
        let content = if kind.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
        files.insert(name, content);
    }
}
