//! The name that we were started under. A drop-in for another runtime, laid down or linked as
//! `runc`, answers in texts, help and version to that name, since engines read it from there.

use std::path::Path;
use std::sync::OnceLock;

/// The last part of the path that we were started by.
pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| of(std::env::args_os().next().as_deref().map(Path::new)))
}

fn of(path: Option<&Path>) -> String {
    let name = path.and_then(Path::file_name).and_then(|name| name.to_str());
    name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT).to_owned()
}

const DEFAULT: &str = "strake-runtime";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_files() {
        for (path, name) in [("/usr/bin/runc", "runc"), ("strake-runtime", "strake-runtime"), ("", DEFAULT)] {
            assert_eq!(of(Some(Path::new(path))), name);
        }
        assert_eq!(of(None), DEFAULT);
    }
}
