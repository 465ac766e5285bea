//! The process that leads out of the user's network: starting it, and being it.
//!
//! It is started from outside of the house, by a command that is about to start containers, and stays as
//! long as a container runs or such a command holds its line. When it is killed, connections through
//! it break and the next such command starts another, which opens the published ports again.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use netlink::route::{Address, LinkChange, Place, Route, add_address, add_route, link_by_name, set_link};
use netlink::{Protocol, Socket};
use sys::clone::{CloneOptions, Forked, clone3};
use sys::lock::FileLock;
use sys::{Namespace, NamespaceSet};
use user_stack::{Plan, Port, Stack, control};

use crate::error::Error;
use crate::house::{House, directory};

/// The device in the user's network.
pub const LINK: &str = "out0";

/// A line to the process of the user's network: it stays while one is held.
#[derive(Debug)]
pub struct Line {
    _socket: OwnedFd,
}

/// Makes sure that the process runs: `command` is what it is started by, and ends up in [`serve`].
///
/// The caller is outside of the house.
pub fn start(state: &Path, house: &House, command: &[OsString]) -> Result<Line, Error> {
    let network =
        sys::namespace::id(house.network()).map_err(Error::step("look at your network"))?.ino.to_string();
    let house = directory(state);
    let held = || control::hold(&house).map_err(|source| Error::Network { source });
    // That of a house that is gone lingers for some seconds.
    let leads_there = || std::fs::read_to_string(house.join(NETWORK)).is_ok_and(|known| known == network);
    if leads_there()
        && let Some(socket) = held()?
    {
        return Ok(Line { _socket: socket });
    }
    let path = house.join("net.lock");
    let _lock = FileLock::exclusive(&path).map_err(Error::file("lock", &path))?;
    if leads_there()
        && let Some(socket) = held()?
    {
        return Ok(Line { _socket: socket });
    }
    control::ask(&house, &control::Request::End).map_err(|source| Error::Network { source })?;
    spawn(command)?;
    match held()? {
        Some(socket) => Ok(Line { _socket: socket }),
        None => Err(Error::NetworkProcess { said: "it ended at once".to_owned() }),
    }
}

/// Starts the process, and waits until it says that it serves.
fn spawn(command: &[OsString]) -> Result<(), Error> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Error::NetworkProcess { said: "it has no command".to_owned() })?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // What the terminal sends is meant for the command that the user called.
    command.process_group(0);
    let mut child = command.spawn().map_err(Error::step("start the process of your network"))?;
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        let _ = output.read_to_string(&mut said);
    }
    if said == READY {
        return Ok(());
    }
    let _ = child.wait();
    Err(Error::NetworkProcess { said })
}

/// Is the process: makes the device, opens the `ports` of containers that run already, and serves until it
/// is needed no more. The standard output is who waits for it.
///
/// The caller has one thread and is outside of the house.
pub fn serve(state: &Path, ports: &[(String, Vec<Port>)]) -> Result<(), Error> {
    let _ = rustix::process::setsid();
    let house = House::find(state)
        .ok_or_else(|| Error::Inside { step: "your namespaces are not there".to_owned() })?;
    let plan = Plan::default();
    let tun = device(&house, plan)?;
    let number = sys::namespace::id(house.network()).map_err(Error::step("look at your network"))?.ino;
    let process = house.process().try_clone().map_err(Error::step("copy a descriptor"))?;
    drop(house);
    let containers = state.join("containers");
    std::fs::create_dir_all(&containers).map_err(Error::file("make the directory", &containers))?;
    let network = |source| Error::Network { source };
    let mut stack = Stack::new(plan, tun, &directory(state), vec![process], &containers).map_err(network)?;
    for (owner, ports) in ports {
        // It may have been taken meanwhile; the container's other ports are not to blame.
        let _ = stack.open(owner, ports);
    }
    let path = directory(state).join(NETWORK);
    std::fs::write(&path, number.to_string()).map_err(Error::file("write", &path))?;
    let ready = rustix::stdio::stdout();
    rustix::io::write(ready, READY.as_bytes())
        .map_err(|errno| Error::step("say that it serves")(errno.into()))?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    let null = null.map_err(|errno| Error::step("open /dev/null")(errno.into()))?;
    sys::fd::become_standard(null.as_fd(), 1).map_err(Error::step("let the command go on"))?;
    let _ = std::env::set_current_dir("/");
    stack.run().map_err(network)
}

/// The device, made by a child in the user's network: there is no way back for us.
fn device(house: &House, plan: Plan) -> Result<OwnedFd, Error> {
    let (ours, theirs) = sys::fdpass::message_pair().map_err(Error::step("make a socket pair"))?;
    match clone3(&CloneOptions::default()).map_err(Error::step("fork"))? {
        Forked::Child => {
            drop(ours);
            let sent = match make_device(house, plan) {
                Ok(tun) => sys::fdpass::send(&theirs, b"d", &[tun.as_fd()]),
                Err(said) => sys::fdpass::send(&theirs, said.as_bytes(), &[]),
            };
            sys::process::exit_now(i32::from(sent.is_err()))
        }
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            let mut said = [0; 512];
            let (count, mut descriptors) =
                sys::fdpass::receive(&ours, &mut said, 1).map_err(Error::step("hear from the child"))?;
            let _ = sys::process::wait_pidfd(&pidfd);
            descriptors
                .pop()
                .ok_or_else(|| Error::Inside { step: String::from_utf8_lossy(&said[..count]).into_owned() })
        }
    }
}

fn make_device(house: &House, plan: Plan) -> Result<OwnedFd, String> {
    let namespaces = NamespaceSet::EMPTY.with(Namespace::User).with(Namespace::Net);
    let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    sys::namespace::join_process(house.process(), namespaces)
        .map_err(|error| told("join the user's network", &error))?;
    let path = Path::new("/dev/net/tun");
    let tun = sys::tun::open(path, LINK).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "/dev/net/tun is not there: load the module `tun`".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "/dev/net/tun may not be opened by you: its mode is to be 0666, as udev makes it".to_owned()
        }
        _ => told("make the device", &error),
    })?;
    configure(plan).map_err(|error| told("configure the device", &error))?;
    Ok(tun)
}

fn configure(plan: Plan) -> Result<(), netlink::Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let link = link_by_name(&mut socket, LINK)?.map_or(0, |link| link.index);
    let up = LinkChange { up: Some(true), mtu: Some(MTU), ..LinkChange::default() };
    let address = Address { link, address: plan.guest, prefix: plan.prefix };
    let messages = [
        set_link(Place::Index(link), &up),
        add_address(&address),
        add_route(&Route::default_by(plan.gateway, link)),
    ];
    socket.execute_all(&messages).map(drop)
}

/// As large as slirp4netns' and pasta's.
const MTU: u32 = 65_520;

/// The file with the number of the network namespace that the process serves.
const NETWORK: &str = "net.namespace";

const READY: &str = "ready\n";
