//! Making a container: name, writable layer, volumes, record.

use base::{ContainerId, Digest, failpoint};
use oci_spec::image::{ContainerConfig, Platform};
use shim::{RestartPolicy, Timestamp};
use snapshot::IdMap;

use crate::container::{
    ImageRef, Lifecycle, RECORD_VERSION, Record, Reservation, StoreError, generate_id, generate_name,
    validate_name,
};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{
    CreateRequest, InvalidOption, IpcMode, NetworkMode, PidMode, ResourceRequest, SandboxRole, UserMode,
    UtsMode,
};
use crate::volumes::Undo;

/// What a container is made of.
#[derive(Clone, Debug)]
pub struct ImageSource {
    /// Which image.
    pub image: ImageRef,
    /// Its defaults.
    pub config: ContainerConfig,
}

impl ImageSource {
    /// What a sandbox's holder is made of: nothing. Its program is ours.
    pub fn holder() -> Self {
        let nothing = Digest::sha256_of(b"{}");
        let image = ImageRef {
            name: "strake.local/pause".to_owned(),
            id: nothing.clone(),
            manifest: nothing,
            chain: None,
            platform: Platform::host().to_string(),
        };
        Self { image, config: ContainerConfig::default() }
    }
}

impl From<&crate::images::Image> for ImageSource {
    fn from(image: &crate::images::Image) -> Self {
        let reference = ImageRef {
            name: image.called.clone(),
            id: image.id.clone(),
            manifest: image.manifest_descriptor.digest.clone(),
            chain: image.chain_id(),
            platform: image.platform().to_string(),
        };
        Self { image: reference, config: image.config.config.clone() }
    }
}

impl Engine {
    /// Makes a container; nothing of it runs. On an error nothing is left behind.
    pub fn create(&self, mut request: CreateRequest, source: ImageSource) -> Result<Record, Error> {
        let warnings = validate(&request)?;
        self.pin_joined(&mut request)?;
        self.pin_networks(&mut request)?;
        let needs_command = request.sandbox != Some(SandboxRole::Holder);
        if needs_command && crate::spec::command_line(&source.config, &request.process).is_empty() {
            let why = "it says no command: give one after the image, or --entrypoint";
            return Err(InvalidOption::new("image", &request.image, why).into());
        }
        let reservation = self.reserve(request.name.as_deref())?;
        let id = reservation.id().clone();
        let idmap = id_map(&request);
        let name = reservation.name().unwrap_or_default().to_owned();
        let snapshots = self.snapshots()?;
        let chain = source.image.chain.as_ref();
        match request.files.layer_max_bytes {
            None => snapshots.prepare(&id, chain, idmap.as_ref()),
            Some(bytes) => snapshots.prepare_limited(&id, chain, idmap.as_ref(), bytes),
        }
        .map_err(Error::snapshot(&name))?;
        let mut undo = Undo::new(self);
        undo.snapshot(&id);
        failpoint::hit("create.snapshot-prepared");
        let mounts = self.resolve_mounts(&request, &source.config, &mut undo)?;
        failpoint::hit("create.volumes-made");
        let record = Record {
            version: RECORD_VERSION,
            id,
            name,
            created: Timestamp::now(),
            image: source.image,
            request,
            config: source.config,
            mounts,
            lifecycle: Lifecycle::Created { failure: None },
            warnings,
            apparmor: None,
            cgroup: None,
            starts: 0,
            restarts: 0,
            stopped_by_hand: false,
            restart_interrupted: false,
            start_failure: None,
            exits: Vec::new(),
        };
        if let Some(tag) = record.request.log.options.get("tag") {
            super::start::log_tag(tag, &record)
                .map_err(|why| InvalidOption::new("--log-opt tag", tag, why.to_string()))?;
        }
        let locked = reservation.finish(record)?;
        undo.disarm();
        failpoint::hit("create.recorded");
        self.tell(&locked.record, "create", &[]);
        Ok(locked.record)
    }

    /// Takes a name, made up if none is given, and makes the record's directory.
    fn reserve(&self, name: Option<&str>) -> Result<Reservation, Error> {
        let id = generate_id(random()?);
        if let Some(name) = name {
            let name = validate_name(name)?;
            return match self.containers().reserve(&id, name) {
                Err(StoreError::NameInUse { .. }) if self.frees_name(name)? => {
                    Ok(self.containers().reserve(&id, name)?)
                }
                reserved => Ok(reserved?),
            };
        }
        for attempt in 0..NAME_ATTEMPTS {
            match self.containers().reserve(&id, &generate_name(random()?, attempt)) {
                Err(StoreError::NameInUse { .. }) => {}
                reserved => return Ok(reserved?),
            }
        }
        Ok(self.containers().reserve(&id, id.as_str())?)
    }

    /// Takes a name back from a creator that died before it had made its container.
    fn frees_name(&self, name: &str) -> Result<bool, Error> {
        match self.containers().resolve(name) {
            Ok(owner) => self.remove_unfinished(&owner),
            Err(_) => Ok(false),
        }
    }

    /// Other containers are meant by id from now on: they may be renamed.
    fn pin_joined(&self, request: &mut CreateRequest) -> Result<(), Error> {
        let pin = |name: &mut String| -> Result<(), Error> {
            *name = self.resolve(name)?.to_string();
            Ok(())
        };
        if let PidMode::Container(name) = &mut request.namespaces.pid {
            pin(name)?;
        }
        if let IpcMode::Container(name) = &mut request.namespaces.ipc {
            pin(name)?;
        }
        if let NetworkMode::Container(name) = &mut request.network.mode {
            pin(name)?;
        }
        if let UtsMode::Container(name) = &mut request.namespaces.uts {
            pin(name)?;
        }
        Ok(())
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|errno| Error::Random(errno.into()))?;
    Ok(bytes)
}

/// The map of a private user namespace.
pub(super) fn id_map(request: &CreateRequest) -> Option<IdMap> {
    match request.namespaces.user {
        UserMode::Host => None,
        UserMode::Private { base, size } => Some(IdMap::contiguous(base, size)),
    }
}

/// Options that do not go together; what is only pointless is warned of.
pub(super) fn validate(request: &CreateRequest) -> Result<Vec<String>, Error> {
    check_resources(&request.resources)?;
    check_restart(request.restart, request.auto_remove)?;
    request.health.as_ref().map_or(Ok(()), |health| health.validate())?;
    if let Some(name) = &request.name {
        validate_name(name)?;
    }
    let mut warnings = Vec::new();
    let network = &request.network;
    let publishes = !network.publish.is_empty() || network.publish_all;
    match &network.mode {
        NetworkMode::Host if publishes => {
            warnings.push(
                "published ports mean nothing with --network host: the container has the host's ports"
                    .to_owned(),
            );
        }
        NetworkMode::Container(name) => {
            let decided = [
                (publishes, "ports are published; leave -p and -P out"),
                (network.hostname.is_some(), "host name there is; leave --hostname out"),
                (!network.dns.is_empty(), "name servers are asked; leave --dns out"),
                (!network.add_host.is_empty(), "hosts are known; leave --add-host out"),
            ];
            if let Some((_, what)) = decided.iter().find(|(asked, _)| *asked) {
                let why = format!("the container whose network is shared decides which {what}");
                return Err(InvalidOption::new("--network", &format!("container:{name}"), why).into());
            }
        }
        NetworkMode::None if publishes => {
            warnings.push("published ports mean nothing with --network none".to_owned());
        }
        _ => {}
    }
    if let Some(hostname) = &network.hostname
        && !is_hostname(hostname)
    {
        let why = "use letters, digits, - and ., 63 characters at most";
        return Err(InvalidOption::new("--hostname", hostname, why).into());
    }
    if let Some(workdir) = &request.process.workdir
        && !workdir.starts_with('/')
    {
        return Err(
            InvalidOption::new("--workdir", workdir, "it must be an absolute path in the container").into()
        );
    }
    if request.namespaces.user != UserMode::Host && sys::user::mapped().is_some() {
        let why = "the containers of an ordinary user have ids of their own already; leave it out";
        return Err(InvalidOption::new("--userns", "private", why).into());
    }
    if request.security.privileged && request.namespaces.user != UserMode::Host {
        let why = "a privileged container cannot have ids of its own; leave one of the two out";
        return Err(InvalidOption::new("--privileged", "true", why).into());
    }
    if request.security.privileged {
        warnings.push(
            "--privileged takes the walls down: all capabilities, all devices, no filter of system calls"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// Limits that this host has not, found before anything is made.
fn check_resources(resources: &ResourceRequest) -> Result<(), Error> {
    resources.validate()?;
    let host = crate::host::facts(false, resources)?;
    crate::spec::resources(resources, Vec::new(), &host, &mut Vec::new())?;
    Ok(())
}

/// What is removed with its end cannot be started again.
pub(super) fn check_restart(policy: RestartPolicy, auto_remove: bool) -> Result<(), InvalidOption> {
    if auto_remove && policy != RestartPolicy::No {
        let why = "conflicting options: cannot specify both --restart and --rm; leave one of the two out";
        return Err(InvalidOption::new("--restart", &policy.to_string(), why));
    }
    Ok(())
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 63 && text.split('.').all(label)
}

const NAME_ATTEMPTS: u32 = 8;

/// The host name of a container: what was asked for, or its short id.
pub(super) fn hostname(request: &CreateRequest, id: &ContainerId) -> String {
    request.network.hostname.clone().unwrap_or_else(|| id.short().to_owned())
}
