//! From the engine's records to the facts that are explained.
//!
//! Each record is read on its own, and one that is missing (a container that is just
//! being made, a runtime directory lost with a reboot) leaves its facts out.

use std::fs;
use std::path::{Path, PathBuf};

use engine::Engine;
use engine::container::{Lifecycle, MountRecord, MountSource, Record};
use engine::request::NetworkMode;
use explain::{
    ContainerFacts, DecisionFacts, ImageFacts, LayerFacts, MountFacts, NetworkFacts, OomFacts, PortFacts,
    RuleFacts, StepFacts, WayFacts,
};
use oci_spec::runtime::Spec;
use serde::Deserialize;

use crate::context::Context;

/// The file with the engine's record of a container.
pub(crate) fn record_path(engine: &Engine, record: &Record) -> PathBuf {
    engine.paths().record_dir(&record.id).join("container.json")
}

/// All that is recorded of a container.
pub(super) fn of(engine: &Engine, record: &Record, context: &Context) -> ContainerFacts {
    let mut facts = ContainerFacts {
        id: record.id.to_string(),
        name: record.name.clone(),
        record: record_path(engine, record).display().to_string(),
        specification: engine.paths().state_dir(&record.id).join(SPECIFICATION).display().to_string(),
        runtime_record: runtime_record_path(engine, record).display().to_string(),
        network_mode: network_mode(&record.request.network.mode),
        privileged: record.request.security.privileged,
        mounts: record.mounts.iter().map(mount).collect(),
        log: Some(engine.paths().log(&record.id).display().to_string()),
        oom_kills: oom_kills(engine, record),
        warnings: record.warnings.clone(),
        ..ContainerFacts::default()
    };
    if let Lifecycle::Running { pid, start_time, .. } = &record.lifecycle {
        facts.pid = Some(*pid);
        facts.start_ticks = Some(*start_time);
    }
    match specification(engine, record) {
        Some(spec) => facts.take_spec(&spec),
        None => context.warn("the container's config.json is not there, so its limits cannot be compared"),
    }
    facts.image = Some(image(engine, record));
    if let Ok(snapshot) = engine.snapshots().map(|all| all.snapshot(&record.id).ok()) {
        let upper = snapshot.and_then(|snapshot| snapshot.upper);
        facts.upper = upper.map(|path| path.display().to_string());
    }
    if let Some(made) = runtime_record(engine, record) {
        facts.steps = made.steps;
        facts.warnings.extend(made.warnings);
    }
    let path = engine.paths().state.join("networks/attachments").join(&record.id).display().to_string();
    if let Ok(networks) = engine.networks() {
        let attached = networks.describe_all(&record.id).unwrap_or_default();
        facts.networks.extend(attached.into_iter().map(|attached| network(attached, path.clone(), networks)));
    }
    facts
}

fn oom_kills(engine: &Engine, record: &Record) -> Vec<OomFacts> {
    let directory = engine.paths().record_dir(&record.id);
    let fact = |kill: &shim::OomKill| OomFacts {
        what: explain::oom_kill(kill),
        at: kill.at.to_string(),
        record: directory.join(shim::OOM_FILE).display().to_string(),
    };
    shim::OomKills::read(&directory).kills.iter().map(fact).collect()
}

/// Only what is not the usual bridge.
fn network_mode(mode: &NetworkMode) -> Option<String> {
    match mode {
        NetworkMode::Bridge => None,
        NetworkMode::Host => Some("host".to_owned()),
        NetworkMode::None => Some("none".to_owned()),
        NetworkMode::Pod => Some("pod".to_owned()),
        NetworkMode::Named(name) => Some(name.clone()),
        NetworkMode::Container(name) => Some(format!("container:{name}")),
    }
}

fn mount(record: &MountRecord) -> MountFacts {
    let (kind, name, source) = match &record.source {
        MountSource::Bind { path, .. } => ("bind", None, path.display().to_string()),
        MountSource::Volume { name, path, .. } => ("volume", Some(name.clone()), path.display().to_string()),
        MountSource::Tmpfs { .. } => ("tmpfs", None, "tmpfs".to_owned()),
        MountSource::Image { name, .. } => ("image", Some(name.clone()), name.clone()),
    };
    MountFacts {
        kind: kind.to_owned(),
        name,
        source,
        destination: record.target.display().to_string(),
        read_only: record.read_only,
    }
}

fn image(engine: &Engine, record: &Record) -> ImageFacts {
    let chain = record.image.chain.as_ref();
    let layers = chain.and_then(|chain| engine.snapshots().ok()?.layers(chain).ok()).unwrap_or_default();
    let chains = engine.paths().snapshots().join("chains");
    let layer = |info: &_| layer(info, &chains);
    ImageFacts {
        reference: record.image.name.clone(),
        digest: Some(record.image.manifest.to_string()),
        layers: layers.iter().map(layer).collect(),
    }
}

fn layer(info: &snapshot::LayerInfo, chains: &Path) -> LayerFacts {
    let chain = info.chain_id.to_string();
    let file = format!("{}.json", chain.split_once(':').map_or(chain.as_str(), |(_, hex)| hex));
    LayerFacts {
        digest: info.diff_id.to_string(),
        record: chains.join(file).display().to_string(),
        chain_id: chain,
        bytes: Some(info.bytes),
        path: Some(info.path.display().to_string()),
    }
}

/// The bundle's specification: what the runtime was told.
fn specification(engine: &Engine, record: &Record) -> Option<Spec> {
    let bytes = fs::read(engine.paths().state_dir(&record.id).join(SPECIFICATION)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The part of the OCI runtime's record that tells how the container was made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Made {
    steps: Vec<StepFacts>,
    warnings: Vec<String>,
}

fn runtime_record(engine: &Engine, record: &Record) -> Option<Made> {
    serde_json::from_slice(&fs::read(runtime_record_path(engine, record)).ok()?).ok()
}

fn runtime_record_path(engine: &Engine, record: &Record) -> PathBuf {
    engine.paths().runtime().join(&record.id).join("state.json")
}

const SPECIFICATION: &str = "config.json";

fn network(attachment: attach::Attachment, record: String, networks: &attach::Networks) -> NetworkFacts {
    let port = |(at, port): (usize, &attach::PublishedPort)| PortFacts {
        host_address: port.host_ip.to_string(),
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: port.protocol.to_string(),
        // The first ports of a long range tell of the others too.
        ways: if at < PORTS_EXPLAINED { ways(port, networks) } else { Vec::new() },
    };
    let decision = |decision: attach::Decision| DecisionFacts {
        what: decision.what,
        value: decision.value,
        held_in: decision.held_in,
        why: decision.why,
    };
    NetworkFacts {
        name: attachment.network,
        record,
        bridge: Some(attachment.bridge),
        address: Some(attachment.address.to_string()),
        gateway: Some(attachment.gateway.to_string()),
        mac: Some(attachment.mac),
        host_interface: Some(attachment.host_link),
        ports: attachment.ports.iter().enumerate().map(port).collect(),
        decisions: attachment.decisions.into_iter().map(decision).collect(),
    }
}

const PORTS_EXPLAINED: usize = 4;

/// Who may reach a published port, by the rules that the kernel holds.
fn ways(port: &attach::PublishedPort, networks: &attach::Networks) -> Vec<WayFacts> {
    let rule = |step: &attach::Step| RuleFacts {
        hook: step.hook.to_owned(),
        text: match step.rule {
            Some(_) => format!("{} → {}", step.text, step.effect),
            None => step.text.clone(),
        },
        held_in: match step.rule {
            Some(handle) => format!("nft chain {} {}, handle {handle}", step.table, step.chain),
            None => format!("nft chain {} {}", step.table, step.chain),
        },
        own: step.whose == attach::Whose::Strake,
        maybe: step.maybe,
    };
    let way = |way: attach::Way| WayFacts {
        who: way.audience.to_string(),
        arrives: way.path.arrives(),
        why: way.path.sentence(),
        rules: way.path.steps.iter().map(rule).collect(),
    };
    networks.ways(port).unwrap_or_default().into_iter().map(way).collect()
}
