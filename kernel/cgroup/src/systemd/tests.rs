//! The client against a server that speaks as a bus with systemd behind it does.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use testkit::TempDir;

use super::message::{self, ERROR, HEAD, REPLY, SIGNAL};
use super::value::{Writer, signature_of};
use super::*;

/// What the server does with calls.
#[derive(Clone, Default)]
struct Ways {
    /// Identities without a name are not taken.
    wants_name: bool,
    /// So often a unit is there already.
    exists: usize,
    /// How jobs end; `done` when empty.
    result: &'static str,
    /// Instead of an answer to this call these bytes, and nothing more.
    garbage: Option<(&'static str, &'static [u8])>,
}

/// What was called, with what.
type Calls = Mutex<Vec<(String, Vec<Value>)>>;

struct Server {
    dir: TempDir,
    calls: Arc<Calls>,
}

impl Server {
    fn start(ways: Ways) -> Self {
        let dir = TempDir::new();
        let listener = UnixListener::bind(dir.join("bus")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                // The client's end ends the conversation.
                let _ = Conversation { socket: socket.unwrap(), ways: ways.clone(), jobs: 0, calls: &log }
                    .serve();
            }
        });
        Self { dir, calls }
    }

    fn bus(&self) -> SystemdBus {
        let nowhere = "unix:path=/nonexistent/bus;unix:abstract=strake-nobody".to_owned();
        let here = format!("unix:path={},guid=0", self.dir.join("bus").display());
        SystemdBus { addresses: vec![nowhere, here], user: false }
    }

    fn connect(&self) -> Result<Systemd, SystemdError> {
        Systemd::connect(&self.bus())
    }

    /// Names of calls to systemd, after the greeting.
    fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(name, _)| name.clone()).filter(|name| !GREETING.contains(&name.as_str())).collect()
    }

    fn body(&self, member: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().rev().find(|(name, _)| name == member).unwrap().1.clone()
    }
}

const GREETING: &[&str] = &["Hello", "AddMatch", "Subscribe", "Get"];

struct Conversation<'a> {
    socket: UnixStream,
    ways: Ways,
    jobs: u32,
    calls: &'a Calls,
}

impl Conversation<'_> {
    fn serve(&mut self) -> std::io::Result<()> {
        self.greet()?;
        loop {
            let mut bytes = vec![0; HEAD];
            self.socket.read_exact(&mut bytes)?;
            bytes.resize(message::length(&bytes).unwrap(), 0);
            self.socket.read_exact(&mut bytes[HEAD..])?;
            let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
            let call = message::decode(&bytes).unwrap();
            self.calls.lock().unwrap().push((call.member.clone(), call.body.clone()));
            if let Some((_, garbage)) = self.ways.garbage.filter(|(member, _)| *member == call.member) {
                return self.socket.write_all(garbage);
            }
            self.answer(serial, &call.member, &call.body)?;
        }
    }

    /// A line: NUL first, and `\r\n` last.
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8(line).unwrap().trim_matches(['\0', '\r', '\n']).to_owned())
    }

    fn greet(&mut self) -> std::io::Result<()> {
        assert_eq!(self.line()?, "AUTH EXTERNAL");
        self.socket.write_all(b"DATA\r\n")?;
        assert_eq!(self.line()?, "DATA");
        if self.ways.wants_name {
            self.socket.write_all(b"REJECTED EXTERNAL\r\n")?;
            let uid = sys::user::effective_uid().to_string();
            let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(self.line()?, format!("AUTH EXTERNAL {hex}"));
        }
        self.socket.write_all(b"OK 1234\r\n")?;
        assert_eq!(self.line()?, "BEGIN");
        Ok(())
    }

    fn answer(&mut self, serial: u32, member: &str, body: &[Value]) -> std::io::Result<()> {
        let result = if self.ways.result.is_empty() { "done" } else { self.ways.result };
        match member {
            "Hello" => self.reply(serial, &[Value::text(":1.7")]),
            "Get" if body[1].as_text() == Some("Version") => {
                self.reply(serial, &[Value::Variant(Box::new(Value::text("v252.4-1")))])
            }
            "Get" => self.reply(serial, &[Value::Variant(Box::new(Value::text("/user@1.service")))]),
            "StartTransientUnit" if self.ways.exists > 0 => {
                self.ways.exists -= 1;
                self.refuse(serial, UNIT_EXISTS)
            }
            "StartTransientUnit" | "StopUnit" => {
                self.jobs += 1;
                let job = format!("/org/freedesktop/systemd1/job/{}", self.jobs);
                // Another one's job, and our own before its number is told: both happen.
                self.signal("/org/freedesktop/systemd1/job/99", "failed")?;
                self.signal(&job, result)?;
                self.reply(serial, &[Value::Path(job)])
            }
            "ResetFailedUnit" => self.refuse(serial, NO_SUCH_UNIT),
            _ => self.reply(serial, &[]),
        }
    }

    fn send(&mut self, kind: u8, fields: &[(u8, Value)], body: &[Value]) -> std::io::Result<()> {
        let mut data = Writer::default();
        body.iter().for_each(|value| data.value(value));
        let field = |(code, value): &(u8, Value)| {
            Value::Struct(vec![Value::Byte(*code), Value::Variant(Box::new(value.clone()))])
        };
        let mut fields: Vec<Value> = fields.iter().map(field).collect();
        fields.push(field(&(8, Value::Signature(signature_of(body)))));
        let mut message = Writer::default();
        message.bytes.extend_from_slice(&[b'l', kind, 1, 1]);
        message.u32(u32::try_from(data.bytes.len()).unwrap());
        message.u32(77);
        message.value(&Value::Array("(yv)".to_owned(), fields));
        message.align(8);
        message.bytes.extend_from_slice(&data.bytes);
        // In two parts, as a stream may bring it.
        let (first, second) = message.bytes.split_at(message.bytes.len() / 2);
        self.socket.write_all(first)?;
        self.socket.write_all(second)
    }

    fn reply(&mut self, serial: u32, body: &[Value]) -> std::io::Result<()> {
        self.send(REPLY, &[(5, Value::U32(serial))], body)
    }

    fn refuse(&mut self, serial: u32, error: &str) -> std::io::Result<()> {
        self.send(ERROR, &[(5, Value::U32(serial)), (4, Value::text(error))], &[Value::text("no")])
    }

    fn signal(&mut self, job: &str, result: &str) -> std::io::Result<()> {
        let fields =
            [(1, Value::Path(PATH.to_owned())), (2, Value::text(MANAGER)), (3, Value::text("JobRemoved"))];
        let body =
            [Value::U32(1), Value::Path(job.to_owned()), Value::text("web.scope"), Value::text(result)];
        self.send(SIGNAL, &fields, &body)
    }
}

fn scope() -> SystemdUnit {
    SystemdUnit::parse("a.slice:cri:web").unwrap()
}

fn some() -> Properties {
    vec![("TasksMax".to_owned(), Value::U64(7))]
}

#[test]
fn cg_15_a_scope_is_made_changed_and_stopped() {
    for wants_name in [false, true] {
        let server = Server::start(Ways { wants_name, ..Ways::default() });
        let mut systemd = server.connect().unwrap();
        assert_eq!(systemd.version, 252);
        assert_eq!(systemd.control_group().unwrap(), "/user@1.service");
        systemd.start(&scope(), &some()).unwrap();
        let body = server.body("StartTransientUnit");
        assert_eq!(body[..2], [Value::text("cri-web.scope"), Value::text("replace")]);
        assert_eq!(body[2], encoded(&some()));
        systemd.set("cri-web.scope", &some()).unwrap();
        systemd.set("cri-web.scope", &Properties::new()).unwrap();
        assert_eq!(server.body("SetUnitProperties")[1], Value::Bool(true));
        systemd.stop("cri-web.scope").unwrap();
        assert_eq!(
            server.calls(),
            ["StartTransientUnit", "SetUnitProperties", "StopUnit", "ResetFailedUnit"]
        );
    }
}

#[test]
fn cg_15_a_leftover_gives_way_once_and_a_slice_may_be_there() {
    let server = Server::start(Ways { exists: 1, ..Ways::default() });
    server.connect().unwrap().start(&scope(), &some()).unwrap();
    assert_eq!(server.calls(), ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]);
    let server = Server::start(Ways { exists: 2, ..Ways::default() });
    let error = server.connect().unwrap().start(&scope(), &some()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::AlreadyExists);
    let slice = SystemdUnit::parse("a.slice:cri:a-b.slice").unwrap();
    let server = Server::start(Ways { exists: 1, ..Ways::default() });
    server.connect().unwrap().start(&slice, &some()).unwrap();
}

#[test]
fn cg_15_a_job_that_fails_is_told_and_forgotten() {
    let server = Server::start(Ways { result: "timeout", ..Ways::default() });
    let error = server.connect().unwrap().start(&scope(), &some()).unwrap_err().to_string();
    assert!(error.contains("error creating systemd unit `cri-web.scope`: got `timeout`"), "{error}");
    assert_eq!(server.calls(), ["StartTransientUnit", "ResetFailedUnit"]);
}

#[test]
fn cg_15_what_is_no_bus_is_an_error() {
    let nobody = SystemdBus { addresses: vec!["unix:path=/nonexistent/bus".to_owned()], user: false };
    let error = Systemd::connect(&nobody).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
    assert!(error.to_string().contains("/nonexistent/bus"), "{error}");
    let garbage: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[b'l'; 16],
        b"l\x02\x00\x01\xff\xff\xff\xff0000\xff\xff\xff\xff",
    ];
    for (member, bytes) in
        ["Hello", "StartTransientUnit"].into_iter().flat_map(|m| garbage.map(|bytes| (m, bytes)))
    {
        let server = Server::start(Ways { garbage: Some((member, bytes)), ..Ways::default() });
        let result = server.connect().and_then(|mut systemd| systemd.start(&scope(), &some()));
        assert!(
            matches!(result, Err(SystemdError::Bus(BusError::Broken { .. } | BusError::Malformed { .. }))),
            "{member} {bytes:?}: {result:?}"
        );
    }
}
