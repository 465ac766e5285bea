//! The plugin's side: from an environment and a standard input to a standard output and an exit
//! status. Section 2, "Execution Protocol".
//!
//! The order of the checks and their texts are those of the reference implementation: runtimes
//! and their tests compare them. The network is behind [`Network`]; nothing here touches one.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{Code, Failure};
use crate::names::{ContainerId, InterfaceName, NetworkName};
use crate::result::NetworkResult;
use crate::version::Version;

/// What a plugin's network can do.
pub trait Network {
    /// Attaches a container.
    fn add(&self, call: &Call) -> Result<NetworkResult, Failure>;
    /// Detaches one; one that is not there is detached.
    fn del(&self, call: &Call) -> Result<(), Failure>;
    /// Whether a container is attached as `call.previous` says.
    fn check(&self, call: &Call) -> Result<(), Failure>;
    /// Releases what those that are not `valid` hold.
    fn gc(&self, setup: &Setup, valid: &[(ContainerId, InterfaceName)]) -> Result<(), Failure>;
    /// Whether a container could be attached now.
    fn status(&self, setup: &Setup) -> Result<(), Failure>;
}

/// What every call has: the network and its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The version of the configuration.
    pub version: Version,
    /// The network.
    pub name: NetworkName,
    /// The whole configuration.
    pub config: Map<String, Value>,
}

/// A call about one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The network.
    pub setup: Setup,
    /// `CNI_CONTAINERID`.
    pub container: ContainerId,
    /// `CNI_NETNS`; may be empty for `DEL`.
    pub namespace: String,
    /// `CNI_IFNAME`.
    pub interface: InterfaceName,
    /// `CNI_ARGS`.
    pub arguments: Vec<(String, String)>,
    /// `prevResult`.
    pub previous: Option<NetworkResult>,
}

/// What a plugin's process does: what it prints, and whether it succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub stdout: String,
    /// Whether the exit status is 0.
    pub success: bool,
}

/// Does what the environment asks for.
pub fn serve(
    environment: &BTreeMap<String, String>,
    stdin: impl FnOnce() -> io::Result<Vec<u8>>,
    network: &dyn Network,
) -> Answer {
    // A failure has the version of what it is about, when that could be read.
    let mut version = Version::LATEST;
    match answer(environment, stdin, network, &mut version) {
        Ok(stdout) => Answer { stdout, success: true },
        Err(mut failure) => {
            failure.version = Some(version.to_string());
            let stdout = serde_json::to_string_pretty(&failure).unwrap_or_default() + "\n";
            Answer { stdout, success: false }
        }
    }
}

fn answer(
    environment: &BTreeMap<String, String>,
    stdin: impl FnOnce() -> io::Result<Vec<u8>>,
    network: &dyn Network,
    version: &mut Version,
) -> Result<String, Failure> {
    let command = Command::parse(environment)?;
    if command == Command::Version {
        return Ok(
            json!({ "cniVersion": Version::LATEST, "supportedVersions": Version::ALL }).to_string() + "\n"
        );
    }
    let failed = |error| Failure::new(Code::IO, format!("error reading from stdin: {error}"));
    let config = read_config(&stdin().map_err(failed)?)?;
    let name = NetworkName::parse(&config.name.unwrap_or_default())?;
    let about = command.is_about_a_container().then(|| Parameters::parse(environment)).transpose()?;
    *version = speak(config.version.as_deref(), command)?;
    let setup = Setup { version: *version, name, config: config.all };
    let call = about.map(|about| about.call(setup.clone())).transpose()?;
    match (command, call) {
        (Command::Add, Some(call)) => {
            let result = network.add(&call)?.render(*version);
            Ok(serde_json::to_string_pretty(&result).unwrap_or_default() + "\n")
        }
        (Command::Del, Some(call)) => network.del(&call).map(|()| String::new()),
        (Command::Check, Some(call)) => network.check(&call).map(|()| String::new()),
        (Command::Gc, _) => network.gc(&setup, &valid_attachments(&setup)?).map(|()| String::new()),
        _ => network.status(&setup).map(|()| String::new()),
    }
}

/// `CNI_COMMAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Version,
    Add,
    Del,
    Check,
    Gc,
    Status,
}

impl Command {
    fn parse(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let value = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
        let (command, required): (_, &[&str]) = match value("CNI_COMMAND") {
            "" => (Self::Version, &["CNI_COMMAND"]),
            "VERSION" => (Self::Version, &[]),
            "ADD" => (Self::Add, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]),
            "CHECK" => (Self::Check, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]),
            "DEL" => (Self::Del, &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"]),
            "GC" => (Self::Gc, &["CNI_PATH"]),
            "STATUS" => (Self::Status, &["CNI_PATH"]),
            other => {
                return Err(Failure::new(Code::INVALID_ENVIRONMENT, format!("unknown CNI_COMMAND: {other}")));
            }
        };
        let missing: Vec<&str> = required.iter().copied().filter(|name| value(name).is_empty()).collect();
        if missing.is_empty() {
            return Ok(command);
        }
        let msg = format!("required env variables [{}] missing", missing.join(","));
        Err(Failure::new(Code::INVALID_ENVIRONMENT, msg))
    }

    fn is_about_a_container(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

/// The variables of a call about a container.
struct Parameters {
    container: ContainerId,
    namespace: String,
    interface: InterfaceName,
    arguments: Vec<(String, String)>,
}

impl Parameters {
    fn parse(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let value = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
        let container = ContainerId::parse(value("CNI_CONTAINERID"))?;
        let interface = InterfaceName::parse(value("CNI_IFNAME"))?;
        let arguments = arguments(value("CNI_ARGS"))?;
        Ok(Self { container, namespace: value("CNI_NETNS").to_owned(), interface, arguments })
    }

    fn call(self, setup: Setup) -> Result<Call, Failure> {
        let Self { container, namespace, interface, arguments } = self;
        let previous = match setup.config.get("prevResult") {
            None | Some(Value::Null) => None,
            Some(value) => Some(serde_json::from_value(value.clone()).map_err(|error| {
                Failure::new(Code::DECODING, format!("could not parse prevResult: {error}"))
            })?),
        };
        Ok(Call { setup, container, namespace, interface, arguments, previous })
    }
}

/// `KEY=VALUE;…`.
fn arguments(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let pairs = text.split(';').filter(|pair| !pair.is_empty()).map(|pair| {
        let invalid = || {
            Failure::new(Code::INVALID_ENVIRONMENT, format!("ARGS: invalid pair {pair:?}"))
                .with_details("CNI_ARGS is KEY=VALUE pairs with `;` between them")
        };
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(invalid)?;
        Ok((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// The configuration, as far as the protocol knows it.
struct Config {
    name: Option<String>,
    version: Option<String>,
    all: Map<String, Value>,
}

fn read_config(bytes: &[u8]) -> Result<Config, Failure> {
    let decoding = |error: &dyn std::fmt::Display| {
        Failure::new(Code::DECODING, format!("error unmarshall network config: {error}"))
    };
    let all: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| decoding(&error))?;
    let text = |field: &str| match all.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(decoding(&format_args!("{field} is not a text"))),
    };
    Ok(Config { name: text("name")?, version: text("cniVersion")?, all })
}

/// The version to speak, if both sides do, and if it has the command.
fn speak(raw: Option<&str>, command: Command) -> Result<Version, Failure> {
    let raw = raw.filter(|raw| !raw.is_empty()).unwrap_or("0.1.0");
    let version: Version = raw.parse().map_err(|_| {
        let supported: Vec<String> = Version::ALL.iter().map(|version| format!("\"{version}\"")).collect();
        Failure::new(Code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
            .with_details(format!("config is \"{raw}\", plugin supports [{}]", supported.join(" ")))
    })?;
    let refused = match command {
        Command::Check if !version.has_check() => "CHECK",
        Command::Gc if !version.has_gc() => "GC",
        Command::Status if !version.has_gc() => "STATUS",
        _ => return Ok(version),
    };
    Err(Failure::new(Code::INCOMPATIBLE_VERSION, format!("config version does not allow {refused}")))
}

/// Who stays. Without the field nobody is known to: then nobody may be collected.
fn valid_attachments(setup: &Setup) -> Result<Vec<(ContainerId, InterfaceName)>, Failure> {
    #[derive(Deserialize)]
    struct Attachment {
        #[serde(rename = "containerID")]
        container: ContainerId,
        ifname: InterfaceName,
    }
    let field = "cni.dev/valid-attachments";
    let Some(value) = setup.config.get(field) else {
        let msg = format!("GC without {field}");
        return Err(Failure::new(Code::INVALID_CONFIG, msg));
    };
    let all: Vec<Attachment> = serde_json::from_value(value.clone())
        .map_err(|error| Failure::new(Code::DECODING, format!("could not parse {field}: {error}")))?;
    Ok(all.into_iter().map(|one| (one.container, one.ifname)).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    /// Notes what is asked of it.
    #[derive(Default)]
    struct Noted(RefCell<String>);

    impl Network for Noted {
        fn add(&self, call: &Call) -> Result<NetworkResult, Failure> {
            *self.0.borrow_mut() = format!("add {} {} {:?}", call.container, call.interface, call.arguments);
            Ok(NetworkResult::empty())
        }
        fn del(&self, call: &Call) -> Result<(), Failure> {
            *self.0.borrow_mut() = format!("del {} {:?}", call.container, call.namespace);
            Ok(())
        }
        fn check(&self, call: &Call) -> Result<(), Failure> {
            *self.0.borrow_mut() = format!("check {}", call.previous.is_some());
            Ok(())
        }
        fn gc(&self, setup: &Setup, valid: &[(ContainerId, InterfaceName)]) -> Result<(), Failure> {
            *self.0.borrow_mut() = format!("gc {} {}", setup.name, valid.len());
            Ok(())
        }
        fn status(&self, _: &Setup) -> Result<(), Failure> {
            Err(Failure::new(Code::NOT_AVAILABLE, "not today"))
        }
    }

    const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"n","type":"strake-cni"}"#;

    /// `expected` is what the network was asked for, or `CODE message`.
    #[track_caller]
    fn check(variables: &str, config: &str, expected: &str) {
        let environment: BTreeMap<String, String> = variables
            .split(' ')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (format!("CNI_{key}"), value.to_owned()))
            .collect();
        let noted = Noted::default();
        let answer = serve(&environment, || Ok(config.as_bytes().to_vec()), &noted);
        let said = match answer.success {
            true => noted.0.into_inner(),
            false => {
                let failure = Failure::parse(answer.stdout.as_bytes()).expect("a failure");
                format!("{} {}", failure.code.0, failure.msg)
            }
        };
        assert!(said.starts_with(expected), "{variables} {config}\n{said}\n{expected}");
    }

    const ALL: &str = "CONTAINERID=c NETNS=/ns IFNAME=eth0 PATH=/opt";

    #[test]
    fn what_is_asked_reaches_the_network() {
        check(
            &format!("COMMAND=ADD {ALL} ARGS=A=1;B=2"),
            CONFIG,
            "add c eth0 [(\"A\", \"1\"), (\"B\", \"2\")]",
        );
        check("COMMAND=DEL CONTAINERID=c IFNAME=eth0 PATH=/opt", CONFIG, "del c \"\"");
        check(&format!("COMMAND=CHECK {ALL}"), CONFIG, "check false");
        let config = r#"{"cniVersion":"1.1.0","name":"n","prevResult":{"cniVersion":"1.1.0"}}"#;
        check(&format!("COMMAND=CHECK {ALL}"), config, "check true");
        let config = r#"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}"#;
        check("COMMAND=GC PATH=/opt", config, "gc n 1");
        check("COMMAND=STATUS PATH=/opt", CONFIG, "50 not today");
    }

    #[test]
    fn wrong_environments_are_told_as_the_reference_tells_them() {
        check("", CONFIG, "4 required env variables [CNI_COMMAND] missing");
        check("COMMAND=FOO", CONFIG, "4 unknown CNI_COMMAND: FOO");
        check(
            "COMMAND=ADD",
            CONFIG,
            "4 required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing",
        );
        check(
            "COMMAND=DEL NETNS=/ns",
            CONFIG,
            "4 required env variables [CNI_CONTAINERID,CNI_IFNAME,CNI_PATH] missing",
        );
        check(
            "COMMAND=ADD CONTAINERID=-c NETNS=/ns IFNAME=eth0 PATH=/",
            CONFIG,
            "4 invalid characters in containerID",
        );
        check(
            "COMMAND=ADD CONTAINERID=c NETNS=/ns IFNAME=a:b PATH=/",
            CONFIG,
            "4 interface name contains / or : or whitespace",
        );
        check(
            "COMMAND=ADD CONTAINERID=c NETNS=/ns IFNAME=0123456789abcdef PATH=/",
            CONFIG,
            "4 interface name is too long",
        );
        check(&format!("COMMAND=ADD {ALL} ARGS=A"), CONFIG, "4 ARGS: invalid pair \"A\"");
    }

    #[test]
    fn wrong_configurations_are_told_as_the_reference_tells_them() {
        let add = format!("COMMAND=ADD {ALL}");
        check(&add, "nope", "6 error unmarshall network config: ");
        check(&add, "", "6 error unmarshall network config: ");
        check(&add, r#"{"cniVersion":"1.0.0"}"#, "7 missing network name");
        check(&add, r#"{"cniVersion":"1.0.0","name":"-a"}"#, "7 invalid characters found in network name");
        check(&add, r#"{"cniVersion":"9.0.0","name":"a"}"#, "1 incompatible CNI versions");
        check(&add, r#"{"cniVersion":"x","name":"a"}"#, "1 incompatible CNI versions");
        check(&add, r#"{"cniVersion":1,"name":"a"}"#, "6 error unmarshall network config: cniVersion");
        check(
            &add,
            r#"{"cniVersion":"1.0.0","name":"a","prevResult":{"ips":3}}"#,
            "6 could not parse prevResult",
        );
        check(
            &format!("COMMAND=CHECK {ALL}"),
            r#"{"cniVersion":"0.3.1","name":"a"}"#,
            "1 config version does not allow CHECK",
        );
        check(
            "COMMAND=GC PATH=/",
            r#"{"cniVersion":"1.0.0","name":"a"}"#,
            "1 config version does not allow GC",
        );
        check("COMMAND=GC PATH=/", CONFIG, "7 GC without cni.dev/valid-attachments");
    }

    #[test]
    fn version_needs_no_input() {
        let environment = [("CNI_COMMAND".to_owned(), "VERSION".to_owned())].into();
        let answer = serve(&environment, || Err(io::ErrorKind::Other.into()), &Noted::default());
        let expected =
            r#"{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#;
        assert_eq!((answer.stdout.trim(), answer.success), (expected, true));
    }

    proptest! {
        #[test]
        fn foreign_input_never_panics(config in "\\PC{0,80}", id in "\\PC{0,8}", args in "\\PC{0,12}") {
            let environment = [("COMMAND", "ADD"), ("CONTAINERID", &id), ("NETNS", "/ns"), ("IFNAME", &id), ("PATH", "/"), ("ARGS", &args)]
                .map(|(key, value)| (format!("CNI_{key}"), value.to_owned()))
                .into();
            let _ = serve(&environment, || Ok(config.into_bytes()), &Noted::default());
        }
    }
}
