//! Variables and labels, from options and from files.

use std::collections::BTreeMap;

use super::InvalidOption;

/// Reads the lines of an env file or a label file: `NAME=value`, `NAME`, `# comment`.
///
/// Values are taken as they are, quotes and all, as docker does.
pub fn key_value_file(option: &'static str, path: &str, bytes: &[u8]) -> Result<Vec<String>, InvalidOption> {
    let wrong = |why: String| InvalidOption::new(option, path, why);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8 text".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.is_empty() {
            return Err(wrong(format!("no variable name on line {}: '{line}'", number + 1)));
        }
        if name.contains(char::is_whitespace) {
            return Err(wrong(format!("variable '{name}' contains whitespaces, on line {}", number + 1)));
        }
        if line.contains('\0') {
            return Err(wrong(format!("line {} contains a zero byte", number + 1)));
        }
        entries.push(line.to_owned());
    }
    Ok(entries)
}

/// Gives each `NAME` without a value the one from `surroundings`; those without are left out.
pub fn resolve_variables(
    entries: Vec<String>,
    surroundings: &BTreeMap<String, String>,
) -> Result<Vec<String>, InvalidOption> {
    let mut resolved = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(InvalidOption::new(
                "--env",
                &entry,
                format!("invalid environment variable: {entry}; use NAME=value or NAME"),
            ));
        }
        if entry.contains('\0') {
            return Err(InvalidOption::new("--env", &entry, "a variable cannot contain a zero byte"));
        }
        if entry.contains('=') {
            resolved.push(entry);
        } else if let Some(value) = surroundings.get(&entry) {
            resolved.push(format!("{entry}={value}"));
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files() {
        let read = |text: &str| key_value_file("--env-file", "f", text.as_bytes());
        assert_eq!(read("\u{feff}A=1\n\n# x\n  B=\"q\" \nC").unwrap(), ["A=1", "B=\"q\" ", "C"]);
        assert!(read("=x").unwrap_err().to_string().contains("line 1"));
        assert!(read("A B=1").unwrap_err().to_string().contains("variable 'A B' contains whitespaces"));
        assert!(key_value_file("--env-file", "f", b"\xff").is_err());
    }

    #[test]
    fn takes_values_from_the_surroundings() {
        let surroundings = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
        let entries = ["A=1", "HOME", "GONE"].map(str::to_owned).to_vec();
        assert_eq!(resolve_variables(entries, &surroundings).unwrap(), ["A=1", "HOME=/root"]);
        assert!(resolve_variables(vec!["=x".to_owned()], &surroundings).is_err());
    }
}
