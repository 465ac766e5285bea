//! What `strake cp` means by its arguments: docker's rules, without looking at any file.

/// A path of a container, or of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The container; none for this host.
    pub(super) container: Option<String>,
    /// The path; `-` on this host is standard input or output.
    pub(super) path: String,
}

/// What is known of the source or the destination of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The path.
    pub(super) path: String,
    /// Whether there is something.
    pub(super) exists: bool,
    /// Whether that is a directory.
    pub(super) is_directory: bool,
}

/// How a copy is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// In which directory.
    pub(super) directory: String,
    /// What the source is called there, if not as it is called.
    pub(super) renamed: Option<String>,
}

/// The arguments do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("cannot copy directory: the destination is a file; name a directory, or a name that is free")]
    DirectoryOntoFile,
    #[error("no such directory: make it first, or leave the slash at the end of the destination out")]
    NoSuchDirectory,
}

impl Place {
    /// Reads `CONTAINER:PATH`, or a path of this host: one that is absolute, begins with a
    /// point, or has no colon.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((container, path)) if !text.starts_with(['/', '.']) => {
                Self { container: Some(container.to_owned()), path: path.to_owned() }
            }
            _ => Self { container: None, path: text.to_owned() },
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.container.is_none() && self.path == "-"
    }
}

/// Where the copy of `source` is unpacked, and what it is called there.
pub(super) fn plan(source: &Found, destination: &Found) -> Result<Plan, Refused> {
    let (directory, name) = split(&destination.path);
    let beside = Plan { directory, renamed: Some(name) };
    match (destination.exists, destination.is_directory, source.is_directory) {
        (true, true, _) => Ok(Plan { directory: destination.path.clone(), renamed: None }),
        (true, false, true) => Err(Refused::DirectoryOntoFile),
        (true, false, false) | (false, _, true) => Ok(beside),
        (false, _, false) if asserts_directory(&destination.path) => Err(Refused::NoSuchDirectory),
        (false, _, false) => Ok(beside),
    }
}

/// Whether a path can only be a directory's: it ends with a slash or `/.`.
pub(super) fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || is_content(path)
}

/// Whether a path means what is in a directory: it is `.` or ends with `/.`.
pub(super) fn is_content(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// The directory and the last name of a path. A slash at the end means nothing; the last
/// name of `directory/.` is `.`.
pub(super) fn split(path: &str) -> (String, String) {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return (if path.is_empty() { "." } else { "/" }.to_owned(), ".".to_owned());
    }
    match trimmed.rsplit_once('/') {
        None => (".".to_owned(), trimmed.to_owned()),
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((directory, name)) => (directory.to_owned(), name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_containers_from_files() {
        for (text, container, path) in [
            ("web:/etc/hosts", Some("web"), "/etc/hosts"),
            ("web:relative", Some("web"), "relative"),
            ("web:a:b", Some("web"), "a:b"),
            ("/tmp/a:b", None, "/tmp/a:b"),
            ("./a:b", None, "./a:b"),
            ("../a:b", None, "../a:b"),
            ("file", None, "file"),
            ("-", None, "-"),
        ] {
            let expected = Place { container: container.map(str::to_owned), path: path.to_owned() };
            assert_eq!(Place::parse(text), expected, "{text}");
        }
    }

    /// `source` ends with `/` for a directory; `destination` is followed by what is there:
    /// a directory, a file, nothing.
    #[track_caller]
    fn check(source: &str, destination: &str, there: &str, expected: Result<(&str, Option<&str>), Refused>) {
        let source =
            Found { path: source.to_owned(), exists: true, is_directory: source.ends_with(['/', '.']) };
        let destination = Found {
            path: destination.to_owned(),
            exists: there != "nothing",
            is_directory: there == "directory",
        };
        let expected = expected.map(|(directory, renamed)| Plan {
            directory: directory.to_owned(),
            renamed: renamed.map(str::to_owned),
        });
        assert_eq!(plan(&source, &destination), expected);
    }

    /// The table of `docker cp`'s reference.
    #[test]
    fn goes_where_docker_puts_it() {
        check("file", "/d/new", "nothing", Ok(("/d", Some("new"))));
        check("file", "/d/new/", "nothing", Err(Refused::NoSuchDirectory));
        check("file", "/d/new/.", "nothing", Err(Refused::NoSuchDirectory));
        check("file", "/d/old", "file", Ok(("/d", Some("old"))));
        check("file", "/d", "directory", Ok(("/d", None)));
        check("dir/", "/d/new", "nothing", Ok(("/d", Some("new"))));
        check("dir/", "/d/new/", "nothing", Ok(("/d", Some("new"))));
        check("dir/", "/d/old", "file", Err(Refused::DirectoryOntoFile));
        check("dir/", "/d", "directory", Ok(("/d", None)));
        check("dir/.", "/d/new", "nothing", Ok(("/d", Some("new"))));
        check("dir/.", "/d", "directory", Ok(("/d", None)));
    }

    #[test]
    fn splits_paths() {
        for (path, directory, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("a", ".", "a"),
            ("/a", "/", "a"),
            ("/", "/", "."),
            (".", ".", "."),
        ] {
            assert_eq!(split(path), (directory.to_owned(), name.to_owned()), "{path}");
        }
    }
}
