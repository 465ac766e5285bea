//! Going through a log file, and through the next one when the kubelet has put it aside.

use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use rpc::cri::{BoxStream, ContainerEventResponse, ContainerState, ContainerStatusRequest, GetEventsRequest};
use rpc::cri::{Code, RuntimeService};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use super::line::{LINE_MAX, Shown};
use super::options::Options;

/// Read at a time, and sent at a time.
const BLOCK: usize = 64 * 1024;
/// How often a runtime is asked that tells no events, while somebody follows a log.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A log that is being read.
pub(super) struct Reading {
    path: PathBuf,
    file: File,
    options: Options,
    /// What follows the last end of a line.
    rest: Vec<u8>,
}

impl Reading {
    /// Opens a log where its reading begins.
    pub(super) async fn open(path: PathBuf, options: Options) -> Result<Self, String> {
        let failed = |error: io::Error| format!("failed to open log file {:?}: {error}", path.display());
        let mut file = File::open(&path).await.map_err(failed)?;
        let begin = match options.tail {
            Some(lines) => tail(&mut file, lines).await.map_err(failed)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(begin)).await.map_err(failed)?;
        Ok(Self { path, file, options, rest: Vec::new() })
    }

    /// Sends what is shown until the end, which of a followed log is its container's.
    pub(super) async fn send(mut self, mut ended: Ended, pieces: mpsc::Sender<Bytes>) {
        let mut shown = Shown::new(self.options.clone());
        // Before the first reading, so that nothing written behind it is missed.
        let changes = if self.options.follow { Changes::of(&self.path).ok() } else { None };
        let mut ending = std::pin::pin!(ended.wait());
        let mut last = false;
        loop {
            let Ok(complete) = self.pump(&mut shown, &pieces).await else { return };
            if complete {
                return;
            }
            if self.reopen().await {
                continue;
            }
            if !self.options.follow || last {
                return;
            }
            tokio::select! {
                // What was written until then is read once more.
                () = &mut ending => last = true,
                () = changed(changes.as_ref()) => {}
                () = pieces.closed() => return,
            }
        }
    }

    /// Sends all that is in the file; true when no more may be shown, an error when nobody listens.
    async fn pump(&mut self, shown: &mut Shown, pieces: &mpsc::Sender<Bytes>) -> io::Result<bool> {
        let mut block = vec![0; BLOCK];
        loop {
            let read = self.file.read(&mut block).await?;
            if read == 0 {
                return Ok(false);
            }
            self.rest.extend_from_slice(block.get(..read).unwrap_or_default());
            let mut out = Vec::new();
            let mut begin = 0;
            while let Some(line) = self.rest.get(begin..).and_then(first_line) {
                shown.show(line, &mut out);
                begin += line.len() + 1;
            }
            self.rest.drain(..begin);
            if self.rest.len() > LINE_MAX {
                self.rest.clear();
            }
            if !out.is_empty() && pieces.send(out.into()).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if shown.is_full() {
                return Ok(true);
            }
        }
    }

    /// Goes on with a new file of the same name, if there is one.
    async fn reopen(&mut self) -> bool {
        if !self.options.follow {
            return false;
        }
        let Ok(file) = File::open(&self.path).await else { return false };
        let (Ok(old), Ok(new)) = (self.file.metadata().await, file.metadata().await) else { return false };
        if (old.dev(), old.ino()) == (new.dev(), new.ino()) {
            return false;
        }
        // The old one may have got more between its end and now.
        let mut more = Vec::new();
        if self.file.read_to_end(&mut more).await.is_ok() && !more.is_empty() {
            self.rest.extend_from_slice(&more);
            if self.rest.last() != Some(&b'\n') {
                self.rest.push(b'\n');
            }
        }
        self.file = file;
        true
    }
}

/// The bytes before the first end of a line, if there is one.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|byte| *byte == b'\n').and_then(|at| bytes.get(..at))
}

/// Where the last so many lines of a file begin.
async fn tail(file: &mut File, lines: u64) -> io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let (mut position, mut seen) = (length, 0_u64);
    let mut block = vec![0; BLOCK];
    while position > 0 {
        let size = position.min(BLOCK as u64);
        position -= size;
        file.seek(SeekFrom::Start(position)).await?;
        let block = block.get_mut(..usize::try_from(size).unwrap_or(BLOCK)).unwrap_or_default();
        file.read_exact(block).await?;
        for (at, byte) in block.iter().enumerate().rev() {
            let here = position + at as u64;
            // The end of the last line begins none.
            if *byte == b'\n' && here + 1 < length {
                seen += 1;
                if seen == lines {
                    return Ok(here + 1);
                }
            }
        }
    }
    Ok(0)
}

/// Changes in a log's folder.
struct Changes {
    descriptor: AsyncFd<OwnedFd>,
}

impl Changes {
    fn of(path: &std::path::Path) -> io::Result<Self> {
        // The file may be a link, and its changes happen where it really is.
        let real = std::fs::canonicalize(path)?;
        let folder = real.parent().ok_or(io::ErrorKind::NotFound)?;
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&descriptor, folder, what)?;
        #[expect(deprecated, reason = "sound for a descriptor that is owned and never replaced, as here")]
        let descriptor = AsyncFd::new(descriptor)?;
        Ok(Self { descriptor })
    }

    /// Returns when something has changed.
    async fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = self.descriptor.readable().await?;
            let mut buffer = [0_u8; 4096];
            match rustix::io::read(self.descriptor.get_ref(), &mut buffer) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for a change; where the kernel gives no more watches, for a while.
async fn changed(changes: Option<&Changes>) {
    let seen = match changes {
        Some(changes) => changes.wait().await.is_ok(),
        None => false,
    };
    if !seen {
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Waits for the end of a container.
pub(super) struct Ended {
    runtime: Arc<dyn RuntimeService>,
    id: String,
    events: Option<BoxStream<ContainerEventResponse>>,
    silent: bool,
}

impl Ended {
    pub(super) fn new(runtime: Arc<dyn RuntimeService>, id: String) -> Self {
        Self { runtime, id, events: None, silent: false }
    }

    /// Returns when it has ended, or is gone.
    async fn wait(&mut self) {
        loop {
            if self.events.is_none() && !self.silent {
                match self.runtime.get_container_events(GetEventsRequest {}).await {
                    Ok(events) => self.events = Some(events),
                    Err(_) => self.silent = true,
                }
            }
            if !is_running(self.runtime.as_ref(), &self.id).await {
                return;
            }
            let Some(events) = &mut self.events else {
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            };
            match events.next().await {
                Some(Ok(event)) if event.container_id != self.id => {
                    self.skip_others().await;
                }
                Some(Ok(_)) => {}
                // Older runtimes have no events.
                Some(Err(_)) | None => (self.events, self.silent) = (None, true),
            }
        }
    }

    /// Waits for an event of this container without asking again for each of the others.
    async fn skip_others(&mut self) {
        while let Some(events) = &mut self.events {
            match events.next().await {
                Some(Ok(event)) if event.container_id == self.id => return,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => (self.events, self.silent) = (None, true),
            }
        }
    }
}

async fn is_running(runtime: &dyn RuntimeService, id: &str) -> bool {
    let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    match runtime.container_status(request).await {
        Ok(answer) => {
            answer.status.is_some_and(|status| status.state == ContainerState::ContainerRunning as i32)
        }
        // A runtime that is away for a moment has not ended its containers.
        Err(status) => status.code() != Code::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::query;
    use super::*;

    /// A runtime whose container runs until it is told otherwise.
    struct Told(std::sync::atomic::AtomicBool);

    impl RuntimeService for Told {
        fn container_status(
            &self,
            _: ContainerStatusRequest,
        ) -> rpc::cri::BoxFuture<'_, Result<rpc::cri::ContainerStatusResponse, rpc::cri::Status>> {
            let running = self.0.load(std::sync::atomic::Ordering::Acquire);
            let state =
                if running { ContainerState::ContainerRunning } else { ContainerState::ContainerExited };
            let status = rpc::cri::ContainerStatus { state: state as i32, ..Default::default() };
            let answer = rpc::cri::ContainerStatusResponse { status: Some(status), ..Default::default() };
            Box::pin(async move { Ok(answer) })
        }
    }

    fn lines(from: u32, to: u32) -> String {
        (from..to).map(|at| format!("2026-01-01T00:00:00Z stdout F line {at}\n")).collect()
    }

    async fn start(path: &std::path::Path, text: &str) -> (Arc<Told>, mpsc::Receiver<Bytes>) {
        let options = Options::parse(&query(text), jiff::Timestamp::now()).unwrap();
        let reading = Reading::open(path.to_owned(), options).await.unwrap();
        let told = Arc::new(Told(true.into()));
        let (pieces, queue) = mpsc::channel(4);
        let ended = Ended::new(Arc::clone(&told) as Arc<dyn RuntimeService>, "c".to_owned());
        tokio::spawn(reading.send(ended, pieces));
        (told, queue)
    }

    async fn rest(mut queue: mpsc::Receiver<Bytes>) -> String {
        let mut all = Vec::new();
        while let Some(piece) = tokio::time::timeout(Duration::from_secs(20), queue.recv()).await.unwrap() {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn shows_the_end() {
        let folder = testkit::TempDir::new();
        let path = folder.path().join("0.log");
        std::fs::write(&path, lines(0, 5000)).unwrap();
        for (text, expected) in [
            ("tailLines=2", "line 4998\nline 4999\n"),
            ("tailLines=0", ""),
            ("tailLines=1&limitBytes=4", "line"),
        ] {
            let (_, queue) = start(&path, text).await;
            assert_eq!(rest(queue).await, expected, "{text}");
        }
        for text in ["", "tailLines=5000", "tailLines=99999"] {
            let (_, queue) = start(&path, text).await;
            assert_eq!(rest(queue).await.lines().count(), 5000, "{text}");
        }
    }

    #[tokio::test]
    async fn follows_through_rotation_to_the_end() {
        use std::io::Write as _;
        let folder = testkit::TempDir::new();
        let path = folder.path().join("0.log");
        let mut old = File::create(&path).await.unwrap().into_std().await;
        old.write_all(lines(0, 2).as_bytes()).unwrap();
        let (told, mut queue) = start(&path, "follow=true").await;
        assert_eq!(queue.recv().await.unwrap(), "line 0\nline 1\n");
        old.write_all(lines(2, 3).as_bytes()).unwrap();
        assert_eq!(queue.recv().await.unwrap(), "line 2\n");
        std::fs::rename(&path, folder.path().join("0.log.1")).unwrap();
        old.write_all(lines(3, 4).as_bytes()).unwrap();
        std::fs::write(&path, lines(4, 5)).unwrap();
        let mut seen = String::new();
        while seen != "line 3\nline 4\n" {
            let piece = tokio::time::timeout(Duration::from_secs(20), queue.recv()).await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&piece).unwrap());
        }
        std::fs::write(&path, lines(4, 6)).unwrap();
        told.0.store(false, std::sync::atomic::Ordering::Release);
        assert!(rest(queue).await.ends_with("line 5\n"));
    }
}
