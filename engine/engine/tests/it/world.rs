//! An engine of the test's own, with a busybox image in it.

use std::fs::File;

use engine::images::ImportOptions;
use engine::request::{CreateRequest, NetworkMode};
use engine::{Companions, Engine, ImageSource, Record, StartOptions};
use oci_spec::Reference;
use shim::{LogOptions, StreamSet};
use testkit::{CgroupSubtree, TempDir, bin};

/// Everything that a test needs, cleaned up when it ends.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) home: TempDir,
    cgroup: CgroupSubtree,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = TempDir::new();
        let cgroup = CgroupSubtree::new("engine");
        let engine = open(&home, &cgroup);
        let options = ImportOptions {
            reference: Some(Reference::parse("busybox").unwrap()),
            ..ImportOptions::default()
        };
        let mut archive = File::open(testkit::images::busybox_tar()).unwrap();
        engine.images().unwrap().import(&mut archive, "busybox.tar", &options).unwrap();
        Self { engine, home, cgroup }
    }

    /// The engine as another process opens it.
    pub(crate) fn reopened(&self) -> Engine {
        open(&self.home, &self.cgroup)
    }

    /// The parent of the containers' cgroups in one hierarchy.
    pub(crate) fn cgroup_dir(&self, controller: &str) -> std::path::PathBuf {
        self.cgroup.dir(controller)
    }

    /// The request for a container of the image that runs `script`.
    pub(crate) fn request(&self, script: &str) -> CreateRequest {
        request(script)
    }

    pub(crate) fn create(&self, request: CreateRequest) -> Result<Record, engine::Error> {
        let image = self.engine.images()?.find("busybox", None)?;
        self.engine.create(request, ImageSource::from(&image))
    }

    /// Makes and starts a container.
    pub(crate) fn start(&self, request: CreateRequest) -> Record {
        let record = self.create(request).unwrap();
        self.engine.start(&record.id, &StartOptions::default()).unwrap().record
    }

    /// Runs a container to its end: its exit code and what it wrote.
    pub(crate) fn run(&self, request: CreateRequest) -> (Option<i32>, String) {
        let record = self.start(request);
        let exit = self.engine.wait(&record.id).unwrap();
        self.engine.after_exit(&record.id).unwrap();
        (exit.unwrap().code, self.log(&record))
    }

    /// What a container wrote.
    pub(crate) fn log(&self, record: &Record) -> String {
        let options =
            LogOptions { tail: None, since: None, until: None, stdout: true, stderr: true, follow: false };
        let mut reader = self.engine.logs(&record.id, options).unwrap();
        let mut text = String::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            text.push_str(&entry.text);
        }
        text
    }

    /// Runs one more process: its exit code and its output.
    pub(crate) fn exec(&self, record: &Record, script: &str) -> (i32, String) {
        use std::io::Read;
        let request = engine::ExecRequest {
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            streams: StreamSet { stdin: false, stdout: true, stderr: false },
            ..engine::ExecRequest::default()
        };
        let running = self.engine.exec(&record.id, &request).unwrap();
        let mut text = String::new();
        File::from(running.session.stdio.stdout.unwrap()).read_to_string(&mut text).unwrap();
        let end = running.client.exec_waiter(running.session.session).unwrap().finish().unwrap();
        (end.code, text)
    }
}

/// The request for a container of the image that runs `script`.
pub(crate) fn request(script: &str) -> CreateRequest {
    let mut request = CreateRequest { image: "busybox".to_owned(), ..CreateRequest::default() };
    request.process.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    request.network.mode = NetworkMode::None;
    request
}

fn open(home: &TempDir, cgroup: &CgroupSubtree) -> Engine {
    let directory = bin("strake-shim").parent().unwrap().to_owned();
    Engine::open(&home.path().join("root"), &home.path().join("state"))
        .unwrap()
        .with_companions(Companions::in_directory(directory))
        .with_cgroup_parent(cgroup.path())
}

impl Drop for World {
    fn drop(&mut self) {
        for listed in self.engine.list().unwrap_or_default() {
            let options = engine::RemoveOptions { force: true, volumes: true };
            let _ = self.engine.remove(&listed.record.id, options);
        }
    }
}
