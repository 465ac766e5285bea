//! What is kept of a request with the engine's record, and got back from there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Record;
use engine::request::{FrontNote, SandboxRole};
use prost::Message;
use rpc::cri::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, PodSandboxConfig, PodSandboxMetadata,
    RunPodSandboxRequest,
};

/// Our name in the engine's records.
const FRONT: &str = "cri";

/// A sandbox of ours.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    /// Its holder.
    pub(crate) record: Record,
    /// What was asked.
    pub(crate) config: PodSandboxConfig,
    /// How it was to be run.
    pub(crate) runtime_handler: String,
}

/// A container of ours.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Its record.
    pub(crate) record: Record,
    /// The sandbox it is in.
    pub(crate) sandbox_id: String,
    /// What was asked, without the environment: the record has it.
    pub(crate) config: ContainerConfig,
}

/// What a record of the engine's is here.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// A sandbox.
    Sandbox(Box<Sandbox>),
    /// A container in one.
    Container(Box<Container>),
}

/// The note for a sandbox.
pub(crate) fn note_of_sandbox(request: &RunPodSandboxRequest) -> FrontNote {
    note(request)
}

/// The note for a container.
pub(crate) fn note_of_container(sandbox_id: &str, config: &ContainerConfig) -> FrontNote {
    // Values of variables are often secrets: one copy, in the record, is enough.
    let config = ContainerConfig { envs: Vec::new(), ..config.clone() };
    let (pod_sandbox_id, sandbox_config) = (sandbox_id.to_owned(), None);
    note(&CreateContainerRequest { pod_sandbox_id, config: Some(config), sandbox_config })
}

fn note(message: &impl Message) -> FrontNote {
    FrontNote { front: FRONT.to_owned(), note: STANDARD.encode(message.encode_to_vec()) }
}

impl Kept {
    /// A record of ours; `None` for a container that somebody else made.
    pub(crate) fn of(record: Record) -> Option<Self> {
        let note = record.request.front.as_ref().filter(|note| note.front == FRONT)?;
        let bytes = STANDARD.decode(&note.note).ok()?;
        match record.request.sandbox.as_ref()? {
            SandboxRole::Holder => {
                let request = RunPodSandboxRequest::decode(bytes.as_slice()).ok()?;
                let (config, runtime_handler) = (request.config?, request.runtime_handler);
                Some(Self::Sandbox(Box::new(Sandbox { record, config, runtime_handler })))
            }
            SandboxRole::Member(sandbox) => {
                let sandbox_id = sandbox.clone();
                let config = CreateContainerRequest::decode(bytes.as_slice()).ok()?.config?;
                Some(Self::Container(Box::new(Container { record, sandbox_id, config })))
            }
        }
    }

    /// Its record.
    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Sandbox(sandbox) => &sandbox.record,
            Self::Container(container) => &container.record,
        }
    }
}

impl Sandbox {
    /// Who it is for.
    pub(crate) fn metadata(&self) -> PodSandboxMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }
}

impl Container {
    /// What it is called in its pod.
    pub(crate) fn metadata(&self) -> ContainerMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }
}
