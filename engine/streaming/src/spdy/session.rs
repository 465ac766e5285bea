//! A session on a connection: one future reads, writes and ends it.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frame::{Decoder, PROTOCOL_ERROR};
use super::state::State;
use super::stream::Stream;
use super::{Headers, SpdyError};

/// How long the other end may take to close its half of the connection after we have closed ours.
///
/// Closing both at once would make the kernel drop what the other end has not read yet.
const LINGER: Duration = Duration::from_secs(5);
/// Read from the connection at a time.
const READ: usize = 16 * 1024;

/// Which end of the connection one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that opened the connection; its streams have odd ids.
    Client,
    /// The other one.
    Server,
}

/// A session's handle.
#[derive(Clone)]
pub struct Session {
    state: Arc<Mutex<State>>,
}

/// Streams that the other end opens.
pub struct Accept {
    session: Session,
}

/// Why a session ended before it should have.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection broke.
    #[error("SPDY connection")]
    Connection(#[source] io::Error),
    /// The other end broke the rules.
    #[error(transparent)]
    Protocol(#[from] SpdyError),
    /// Nothing was sent or received for long.
    #[error("SPDY session idle for {} s", .0.as_secs())]
    Idle(Duration),
}

impl Session {
    /// A session on a connection. It lives while the future is polled, which ends with it: when
    /// [`Session::close`] was called, when the other end is gone, or after `idle` without a byte.
    pub fn new<S>(
        io: S,
        side: Side,
        idle: Duration,
    ) -> (Self, Accept, impl Future<Output = Result<(), SessionError>> + Send)
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let session = Self { state: Arc::new(Mutex::new(State::new(side))) };
        let driven = session.clone();
        let driver = async move {
            let ended = driven.drive(io, idle).await;
            driven.lock().end();
            ended
        };
        (session.clone(), Accept { session }, driver)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the other end that windows count. Peers that don't know them ignore it.
    pub fn announce(&self) -> Result<(), SpdyError> {
        self.lock().announce()
    }

    /// Opens a stream; returns as soon as the other end has taken it.
    pub async fn open(&self, headers: Headers) -> io::Result<Stream> {
        let id = self.lock().open(headers.clone()).map_err(io::Error::other)?;
        let stream = Stream::new(self.clone(), id, headers);
        stream.taken().await?;
        Ok(stream)
    }

    /// Sends what is to be sent, says good-bye and closes.
    pub fn close(&self) {
        self.lock().close(0);
    }

    /// Returns when the connection is gone.
    pub async fn ended(&self) {
        // Polled rarely: at the end only, and when a stream is opened meanwhile.
        let mut known: Option<Waker> = None;
        poll_fn(|context| {
            let mut state = self.lock();
            if state.ended {
                return Poll::Ready(());
            }
            if !known.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                known = Some(context.waker().clone());
                state.mourners.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    async fn drive<S: AsyncRead + AsyncWrite + Send>(
        &self,
        io: S,
        idle: Duration,
    ) -> Result<(), SessionError> {
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut sending = pin!(self.send(&mut writer));
        let (received, sent) = {
            let receiving = pin!(self.receive(&mut reader));
            tokio::select! {
                received = receiving => (Some(received), None),
                sent = &mut sending => (None, Some(sent)),
                () = self.idle(idle) => return Err(SessionError::Idle(idle)),
            }
        };
        if let Some(sent) = sent {
            sent?;
            return self.linger(&mut reader).await;
        }
        let Some(Err(SessionError::Protocol(broken))) = received else { return received.unwrap_or(Ok(())) };
        self.lock().close(PROTOCOL_ERROR);
        drop(tokio::time::timeout(LINGER, sending).await);
        Err(SessionError::Protocol(broken))
    }

    async fn receive<R: AsyncRead + Unpin>(&self, reader: &mut R) -> Result<(), SessionError> {
        let mut decoder = Decoder::default();
        loop {
            poll_fn(|context| {
                let mut state = self.lock();
                if state.may_read() {
                    return Poll::Ready(());
                }
                state.reading = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            decoder.buffer().reserve(READ);
            let read = reader.read_buf(decoder.buffer()).await.map_err(SessionError::Connection)?;
            if read == 0 {
                return Ok(());
            }
            let mut state = self.lock();
            state.activity = state.activity.wrapping_add(1);
            while let Some(frame) = decoder.frame()? {
                state.receive(frame)?;
            }
        }
    }

    async fn send<W: AsyncWrite + Unpin>(&self, writer: &mut W) -> Result<(), SessionError> {
        loop {
            let piece = poll_fn(|context| {
                let mut state = self.lock();
                if !state.out.is_empty() {
                    state.activity = state.activity.wrapping_add(1);
                    return Poll::Ready(Some(state.out.split()));
                }
                if state.closing {
                    return Poll::Ready(None);
                }
                state.sending = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            let Some(piece) = piece else {
                return writer.shutdown().await.map_err(SessionError::Connection);
            };
            writer.write_all(&piece).await.map_err(SessionError::Connection)?;
            writer.flush().await.map_err(SessionError::Connection)?;
            let mut state = self.lock();
            state.wake_writers();
            if let Some(waker) = state.reading.take() {
                waker.wake();
            }
        }
    }

    /// Reads what the other end still sends, until it closes.
    async fn linger<R: AsyncRead + Unpin>(&self, reader: &mut R) -> Result<(), SessionError> {
        self.lock().end();
        let drained = async {
            let mut scrap = vec![0; READ];
            while reader.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
        };
        drop(tokio::time::timeout(LINGER, drained).await);
        Ok(())
    }

    /// Returns when nothing has happened for this long.
    async fn idle(&self, idle: Duration) {
        let mut seen = self.lock().activity;
        loop {
            tokio::time::sleep(idle).await;
            let now = self.lock().activity;
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

impl Accept {
    /// The next stream that the other end opens; none when the session ends.
    pub async fn next(&mut self) -> Option<Stream> {
        poll_fn(|context| {
            let mut state = self.session.lock();
            if let Some((id, headers)) = state.opened.pop_front() {
                return Poll::Ready(Some(Stream::new(self.session.clone(), id, headers)));
            }
            if state.closing {
                return Poll::Ready(None);
            }
            state.accepting = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
