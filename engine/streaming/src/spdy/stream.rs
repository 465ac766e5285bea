//! A stream of a session, as bytes to read and to write.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::Session;
use super::{Headers, frame};

/// Bytes of one data frame.
const FRAME: usize = 32 * 1024;

/// A stream. Dropping it ends our side; what the other end still sends is dropped.
pub struct Stream {
    session: Session,
    id: u32,
    headers: Headers,
}

impl Stream {
    pub(super) fn new(session: Session, id: u32, headers: Headers) -> Self {
        Self { session, id, headers }
    }

    /// The stream's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// A header field that it was opened with.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Ends it at once, both ways.
    pub fn reset(self) {
        // A session that cannot write has ended.
        let _ = self.session.lock().forget(self.id, Some(frame::CANCEL));
    }

    /// Returns when the other end has taken it.
    pub(super) async fn taken(&self) -> io::Result<()> {
        poll_fn(|context| {
            let mut state = self.session.lock();
            let ended = state.ended;
            let Some(flow) = state.streams.get_mut(&self.id) else { return Poll::Ready(Err(broken())) };
            if flow.replied {
                return Poll::Ready(Ok(()));
            }
            if ended || flow.reset.is_some() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            flow.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.session.lock();
        let ended = state.ended;
        let room = state.room(self.id).min(bytes.len()).min(FRAME);
        let Some(flow) = state.streams.get_mut(&self.id) else { return Poll::Ready(Err(broken())) };
        if ended || flow.sent_all || flow.reset.is_some() {
            return Poll::Ready(Err(broken()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if room == 0 {
            flow.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let written = state.write(self.id, bytes.get(..room).unwrap_or_default(), false);
        Poll::Ready(written.map(|()| room).map_err(io::Error::other))
    }
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A session that cannot write has ended.
        let _ = self.session.lock().forget(self.id, None);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.session.lock();
        let ended = state.ended;
        let Some(flow) = state.streams.get_mut(&self.id) else { return Poll::Ready(Err(broken())) };
        if !flow.received.is_empty() && flow.reset.is_none() {
            let length = flow.received.len().min(buffer.remaining());
            buffer.put_slice(&flow.received.split_to(length));
            let given_back = state.consumed(self.id, length);
            return Poll::Ready(given_back.map_err(io::Error::other));
        }
        if flow.reset.is_some() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if flow.received_all {
            return Poll::Ready(Ok(()));
        }
        if ended {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        flow.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The session sends by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.session.lock();
        let open =
            !state.ended && state.streams.get(&self.id).is_some_and(|it| !it.sent_all && it.reset.is_none());
        let done = if open { state.write(self.id, &[], true) } else { Ok(()) };
        Poll::Ready(done.map_err(io::Error::other))
    }
}
