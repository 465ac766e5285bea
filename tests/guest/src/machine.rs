//! One boot of a guest: its disk, its command line, its end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use testkit::{TempDir, images, run};

use crate::cpio::{Entry, archive};
use crate::kernel::{Kernel, kernel};

/// A guest that is not booted yet.
#[derive(Debug)]
pub struct Machine {
    kernel: Kernel,
    /// Source here, path there.
    files: Vec<(PathBuf, String)>,
    options: Vec<String>,
    script: String,
}

/// How a guest ended.
#[derive(Debug)]
pub struct Ended {
    /// What its script exited with; `None` when it ended otherwise: by a panic.
    pub status: Option<i32>,
    /// All that it wrote to its console.
    pub console: String,
}

impl Ended {
    /// The end of the console.
    pub fn tail(&self) -> String {
        tail(&self.console)
    }
}

impl Machine {
    /// A guest that runs `script` with busybox's shell and ends with its exit status.
    pub fn new(script: &str) -> Self {
        Self { kernel: kernel(), files: Vec::new(), options: Vec::new(), script: script.to_owned() }
    }

    /// Puts a file of this machine on the guest's disk, executable.
    #[must_use]
    pub fn file(mut self, source: &Path, at: &str) -> Self {
        self.files.push((source.to_owned(), at.to_owned()));
        self
    }

    /// Puts a program there, with the dynamic libraries that it asks for if it is not static.
    #[must_use]
    pub fn program(mut self, source: &Path, at: &str) -> Self {
        // Of a static program it says nothing of use, and fails.
        let said = run(Command::new("ldd").arg(source));
        let libraries = said.stdout.split_whitespace().filter(|word| word.starts_with('/'));
        for library in libraries.map(|word| word.trim_end_matches(':')) {
            if Path::new(library) != source {
                self = self.file(Path::new(library), library);
            }
        }
        self.file(source, at)
    }

    /// Adds to the kernel's command line.
    #[must_use]
    pub fn kernel_option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Boots it and waits for its end, no longer than `limit`, and as long as it says something now and then. `line`
    /// is given each line of its console.
    ///
    /// # Panics
    /// When it cannot be started, does not end in time or falls silent.
    pub fn boot(&self, limit: Duration, mut line: impl FnMut(&str)) -> Ended {
        let dir = TempDir::new();
        let initramfs = dir.join("initramfs");
        fs::write(&initramfs, self.initramfs()).expect("initramfs");
        let disk = dir.join("disk");
        self.system_disk(&dir.join("root"), &disk);
        let scratch = dir.join("scratch");
        make_ext4(&scratch, SCRATCH_MIB, &[]);
        let projects = dir.join("projects");
        make_ext4(&projects, SCRATCH_MIB, &["-O", "quota,project"]);
        let xfs = dir.join("xfs");
        sparse(&xfs, XFS_MIB);
        run(Command::new("/sbin/mkfs.xfs").arg("-q").arg(&xfs)).ok();

        let status = dir.join("status");
        File::create(&status).and_then(|file| file.set_len(4096)).expect("status disk");

        let mut qemu = self.qemu(&initramfs, &[&disk, &scratch, &status, &projects, &xfs]);
        let mut child =
            qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("qemu-system-x86_64 starts");
        let lines = read_lines(child.stdout.take().expect("a pipe"));
        let deadline = std::time::Instant::now() + limit;
        let mut console = String::new();
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match lines.recv_timeout(left.min(SILENCE)) {
                Ok(text) => {
                    line(&text);
                    console.push_str(&text);
                    console.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let why = if left < SILENCE { "did not end in time" } else { "fell silent" };
                    panic!("the guest {why} ({}); its last words:\n{}", load(), tail(&console));
                }
            }
        }
        let qemu = child.wait().expect("QEMU's exit status");
        assert!(qemu.success(), "QEMU: {qemu}; the guest's last words:\n{}", tail(&console));
        let status = fs::read(&status).expect("the status disk");
        let status = String::from_utf8_lossy(&status).trim_matches(['\0', '\n']).parse().ok();
        Ended { status, console }
    }

    fn qemu(&self, initramfs: &Path, disks: &[&Path]) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        qemu.args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512"]);
        for disk in disks {
            let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
            qemu.args(["-drive", &drive]);
        }
        qemu.arg("-kernel").arg(self.kernel.vmlinux()).arg("-initrd").arg(initramfs);
        qemu.args(["-append", &[COMMAND_LINE, &self.options.join(" ")].join(" ")]);
        qemu
    }

    /// What finds and mounts the disk.
    fn initramfs(&self) -> Vec<u8> {
        let busybox = fs::read("/bin/busybox").expect("busybox-static is installed");
        let modules: Vec<_> =
            self.kernel.early_modules().map(|path| (named("modules", &path), read(&path))).collect();
        let names = modules.iter().map(|(name, _)| format!("/{name}")).collect::<Vec<_>>().join(" ");
        let init = INITRAMFS_INIT.replace("@MODULES@", &names);
        let mut entries = vec![
            ("dev", Entry::Directory),
            ("dev/console", Entry::Device(5, 1)),
            ("system", Entry::Directory),
            ("modules", Entry::Directory),
            ("bin", Entry::Directory),
            ("bin/busybox", Entry::Program(&busybox)),
            ("init", Entry::Program(init.as_bytes())),
        ];
        entries.extend(modules.iter().map(|(name, bytes)| (name.as_str(), Entry::Program(bytes))));
        archive(&entries)
    }

    /// The root file system: busybox, the files, the scripts.
    fn system_disk(&self, root: &Path, disk: &Path) {
        images::busybox_rootfs(root);
        let place = |at: &str, bytes: &[u8]| {
            let path = root.join(at.trim_start_matches('/'));
            fs::create_dir_all(path.parent().expect("a directory")).expect("directory on the disk");
            fs::write(&path, bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        };
        let modules: Vec<_> = self.kernel.modules().collect();
        let names =
            modules.iter().map(|path| format!("/{}", named("modules", path))).collect::<Vec<_>>().join(" ");
        for path in &modules {
            place(&named("modules", path), &read(path));
        }
        place("init", SYSTEM_INIT.replace("@MODULES@", &names).as_bytes());
        place("script", self.script.as_bytes());
        for (source, at) in &self.files {
            place(at, &read(source));
        }
        make_ext4(disk, DISK_MIB, &["-d", &root.to_string_lossy()]);
    }
}

/// An ext4 file system in a sparse file.
fn make_ext4(disk: &Path, mebibytes: u32, options: &[&str]) {
    sparse(disk, mebibytes);
    let mut mke2fs = Command::new("/sbin/mke2fs");
    run(mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal"]).args(options).arg(disk)).ok();
}

fn sparse(file: &Path, mebibytes: u32) {
    File::create(file).and_then(|file| file.set_len(u64::from(mebibytes) << 20)).expect("disk image");
}

/// A thread reads, so that waiting for a line can end in time.
fn read_lines(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

/// The last lines.
fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// How busy this machine is: a guest without KVM shares its fate.
fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", averages.split(' ').next().unwrap_or_default())
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn named(dir: &str, path: &Path) -> String {
    format!("{dir}/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

const INITRAMFS_INIT: &str = include_str!("../init/initramfs.sh");
const SYSTEM_INIT: &str = include_str!("../init/system.sh");

/// Quiet, without the delays of real hardware, and a panic is an end. A CPU that is stuck and a task that waits for
/// ever are panics too, so that a guest which stalls says where.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet loglevel=1 mitigations=off tsc=reliable no_timer_check \
     lpj=4600000 cgroup_no_v1=all cryptomgr.notests nokaslr watchdog_thresh=60 softlockup_panic=1 \
     sysctl.kernel.hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=240";

/// A guest that says nothing for this long does nothing any more: no test is as long, even on a busy machine.
const SILENCE: Duration = Duration::from_secs(300);

/// Lines of its console that an error shows.
const TAIL: usize = 40;

const DISK_MIB: u32 = 768;
const SCRATCH_MIB: u32 = 256;
/// What mkfs.xfs makes at the least.
const XFS_MIB: u32 = 300;
