//! Dockerfile instructions that change an image's configuration: `--change`.

use oci_spec::image::ContainerConfig;
use serde_json::json;

use super::Error;
use crate::request::Healthcheck;

/// One instruction, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(Instruction);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Instruction {
    Cmd(Vec<String>),
    Entrypoint(Vec<String>),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    Label(Vec<(String, String)>),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
    StopSignal(String),
    OnBuild(String),
    Healthcheck(Healthcheck),
}

impl Change {
    /// Reads one instruction, such as `CMD ["nginx"]` or `ENV A=b`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |problem| Error::Change { instruction: text.to_owned(), problem };
        let (word, rest) =
            text.trim().split_once(char::is_whitespace).ok_or_else(|| wrong("it needs a value"))?;
        let rest = rest.trim();
        let words = || words(rest).ok_or_else(|| wrong("a quotation mark is not closed"));
        Ok(Self(match word.to_ascii_uppercase().as_str() {
            "CMD" => Instruction::Cmd(command(rest)),
            "ENTRYPOINT" => Instruction::Entrypoint(command(rest)),
            "ENV" => Instruction::Env(pairs(rest, &words()?).ok_or_else(|| wrong("write it as NAME=value"))?),
            "LABEL" => {
                Instruction::Label(pairs(rest, &words()?).ok_or_else(|| wrong("write it as name=value"))?)
            }
            "EXPOSE" => {
                let ports: Option<Vec<_>> = words()?.iter().map(|port| exposed(port)).collect();
                Instruction::Expose(
                    ports.ok_or_else(|| {
                        wrong("a port is a number from 1 to 65535, perhaps with /tcp or /udp")
                    })?,
                )
            }
            "USER" => Instruction::User(rest.to_owned()),
            "VOLUME" => Instruction::Volume(list(rest).map_or_else(words, Ok)?),
            "WORKDIR" => Instruction::Workdir(rest.to_owned()),
            "STOPSIGNAL" => Instruction::StopSignal(rest.to_owned()),
            "ONBUILD" => Instruction::OnBuild(rest.to_owned()),
            "HEALTHCHECK" => Instruction::Healthcheck(Healthcheck::of_instruction(rest).map_err(wrong)?),
            _ => {
                return Err(wrong(
                    "it is not one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR",
                ));
            }
        }))
    }

    /// Changes `config`.
    pub fn apply(&self, config: &mut ContainerConfig) {
        match &self.0 {
            Instruction::Cmd(command) => config.cmd.clone_from(command),
            Instruction::Entrypoint(command) => config.entrypoint.clone_from(command),
            Instruction::Env(pairs) => {
                for (name, value) in pairs {
                    let prefix = format!("{name}=");
                    config.env.retain(|entry| !entry.starts_with(&prefix));
                    config.env.push(format!("{name}={value}"));
                }
            }
            Instruction::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
            Instruction::Expose(ports) => {
                config.exposed_ports.extend(ports.iter().map(|port| (port.clone(), json!({}))));
            }
            Instruction::User(user) => config.user.clone_from(user),
            Instruction::Volume(paths) => {
                config.volumes.extend(paths.iter().map(|path| (path.clone(), json!({}))));
            }
            Instruction::Workdir(path) => config.working_dir = joined(&config.working_dir, path),
            Instruction::StopSignal(signal) => config.stop_signal.clone_from(signal),
            Instruction::Healthcheck(check) => {
                config.extra.insert("Healthcheck".to_owned(), json!(check));
            }
            Instruction::OnBuild(instruction) => {
                let list = config.extra.entry("OnBuild".to_owned()).or_insert_with(|| json!([]));
                match list.as_array_mut() {
                    Some(list) => list.push(instruction.clone().into()),
                    None => *list = json!([instruction]),
                }
            }
        }
    }
}

/// A JSON list is taken as it is; anything else is for a shell.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// `A=b C="d e"`, or the old form `A b c` for one pair.
fn pairs(text: &str, words: &[String]) -> Option<Vec<(String, String)>> {
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Words with quotation marks and backslashes as a shell reads them.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (c, Some(mark)) if c == mark => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn exposed(port: &str) -> Option<String> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let known = ["tcp", "udp", "sctp"].contains(&protocol);
    let number: u16 = number.parse().ok()?;
    (known && number > 0).then(|| format!("{number}/{protocol}"))
}

fn joined(base: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", base.trim_end_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(instructions: &[&str]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        for text in instructions {
            Change::parse(text).unwrap().apply(&mut config);
        }
        config
    }

    #[test]
    fn commands_in_both_forms() {
        let config = changed(&["CMD [\"a\", \"b c\"]", "entrypoint run it"]);
        assert_eq!(config.cmd, ["a", "b c"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "run it"]);
    }

    #[test]
    fn variables_and_labels() {
        let config = changed(&["ENV A=1 B=\"x y\" C='$z'", "ENV A 2 3", "LABEL a.b=c\\ d"]);
        assert_eq!(config.env, ["B=x y", "C=$z", "A=2 3"]);
        assert_eq!(config.labels["a.b"], "c d");
    }

    #[test]
    fn the_rest() {
        let config = changed(&[
            "EXPOSE 80 53/udp",
            "USER 1:2",
            "VOLUME [\"/a\"]",
            "WORKDIR /x",
            "WORKDIR y",
            "STOPSIGNAL SIGQUIT",
            "HEALTHCHECK --retries=2 CMD true",
        ]);
        assert_eq!(config.extra["Healthcheck"], json!({"Test": ["CMD-SHELL", "true"], "Retries": 2}));
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1:2", "/x/y"));
        assert!(config.volumes.contains_key("/a"));
        assert_eq!(config.stop_signal, "SIGQUIT");
    }

    #[test]
    fn refuses_what_is_no_change() {
        for text in ["", "CMD", "FROM x", "RUN y", "EXPOSE 0", "EXPOSE a", "ENV =x", "LABEL \"a"] {
            assert!(Change::parse(text).is_err(), "{text}");
        }
    }
}
