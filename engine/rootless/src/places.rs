//! Where a user's files lie, by the XDG base directory specification and podman's fall-backs.

use std::path::{Path, PathBuf};

/// The two roots of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What survives a reboot.
    pub root: PathBuf,
    /// What ends with it.
    pub state: PathBuf,
}

/// Decides them. `variable` reads the environment (an empty value counts as none), `home` is the
/// user's by the passwd file, `is_ours` says whether a directory exists and belongs to the user.
pub fn places<'a>(
    uid: u32,
    variable: impl Fn(&str) -> Option<&'a str>,
    home: Option<&Path>,
    is_ours: impl Fn(&Path) -> bool,
) -> Places {
    // "All paths must be absolute", and others are to be ignored.
    let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let temporary = || path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
    let data = path("XDG_DATA_HOME").or_else(|| {
        let home = path("HOME").or_else(|| home.map(Path::to_owned))?;
        Some(home.join(".local/share"))
    });
    let root = match data {
        Some(data) => data.join("strake"),
        None => temporary().join(format!("strake-data-{uid}")),
    };
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let state = match path("XDG_RUNTIME_DIR") {
        Some(runtime) => runtime.join("strake"),
        None if is_ours(&usual) => usual.join("strake"),
        None => temporary().join(format!("strake-run-{uid}")),
    };
    Places { root, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], runs: bool, root: &str, state: &str) {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let found = places(1000, variable, Some(Path::new("/home/ann")), |_| runs);
        assert_eq!(found, Places { root: root.into(), state: state.into() }, "{variables:?}");
    }

    #[test]
    fn the_environment_decides() {
        let all = [("XDG_DATA_HOME", "/d"), ("XDG_RUNTIME_DIR", "/r"), ("HOME", "/h")];
        check(&all, true, "/d/strake", "/r/strake");
        check(&[("HOME", "/h")], true, "/h/.local/share/strake", "/run/user/1000/strake");
    }

    #[test]
    fn without_it_the_usual_places_do() {
        check(&[], true, "/home/ann/.local/share/strake", "/run/user/1000/strake");
        check(&[], false, "/home/ann/.local/share/strake", "/tmp/strake-run-1000");
        check(&[("TMPDIR", "/t")], false, "/home/ann/.local/share/strake", "/t/strake-run-1000");
        let nobody = places(1000, |_| None, None, |_| false);
        assert_eq!(nobody.root, Path::new("/tmp/strake-data-1000"));
    }

    #[test]
    fn a_relative_path_is_none() {
        check(
            &[("XDG_DATA_HOME", "d"), ("XDG_RUNTIME_DIR", "r"), ("HOME", "/h")],
            false,
            "/h/.local/share/strake",
            "/tmp/strake-run-1000",
        );
    }
}
