//! A stream that is written to the network once for all that its connection has to say at a time.
//!
//! HTTP/2 writes and flushes each frame by itself. When a change wakes the watches of a connection
//! their events would be as many records of TLS and as many system calls; gathered they are a few.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is gathered before it is written: four records of TLS.
const GATHERED_MAX: usize = 64 * 1024;

thread_local! {
    /// Where a connection gathered last on this thread: still in the processor's cache.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The stream; clones are the same one.
pub(super) struct Gather<S>(Arc<Mutex<Gathered<S>>>);

struct Gathered<S> {
    stream: S,
    bytes: Vec<u8>,
    /// What of the bytes is written.
    written: usize,
    /// Whether the connection is being polled, and flushed when that is over.
    gathers: bool,
}

impl<S> Clone for Gather<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Gathered { stream, bytes: Vec::new(), written: 0, gathers: false })))
    }

    /// Polls a connection over this stream: what it writes meanwhile goes out together.
    pub(super) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        connection: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.lock().gathers = true;
        let polled = connection(context);
        let mut gathered = self.lock();
        gathered.gathers = false;
        // What fails here fails again when the connection writes or reads next.
        let _ = gathered.poll_flush(context);
        polled
    }

    fn lock(&self) -> MutexGuard<'_, Gathered<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        // An idle connection keeps nothing: what it gathered in is the next one's.
        if self.bytes.capacity() != 0 {
            self.bytes.clear();
            self.written = 0;
            SPARE.set(std::mem::take(&mut self.bytes));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// What to gather in.
    fn place(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        &mut self.bytes
    }

    /// Makes place for more; an error of the stream ends the connection.
    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathers || self.bytes.len() >= GATHERED_MAX {
            self.poll_write_out(context)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut gathered.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_place(context))?;
        if !gathered.gathers {
            return Pin::new(&mut gathered.stream).poll_write(context, bytes);
        }
        gathered.place().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_place(context))?;
        if !gathered.gathers {
            return Pin::new(&mut gathered.stream).poll_write_vectored(context, slices);
        }
        let place = gathered.place();
        let before = place.len();
        slices.iter().for_each(|slice| place.extend_from_slice(slice));
        Poll::Ready(Ok(place.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.lock();
        if gathered.gathers { Poll::Ready(Ok(())) } else { gathered.poll_flush(context) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_flush(context))?;
        Pin::new(&mut gathered.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Counts the writes that reach it.
    struct Counted<S>(S, usize);

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_write(context, bytes)
        }
        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    #[tokio::test]
    async fn many_frames_are_one_write() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let stream = Gather::new(Counted(ours, 0));
        let mut writer = stream.clone();
        let mut connection = std::pin::pin!(async {
            for _ in 0..100 {
                writer.write_all(&[b'x'; 300]).await.unwrap();
                writer.flush().await.unwrap();
            }
        });
        poll_fn(|context| stream.poll(context, |context| connection.as_mut().poll(context))).await;
        assert_eq!(stream.lock().stream.1, 1);
        let mut read = vec![0; 30_000];
        theirs.read_exact(&mut read).await.unwrap();
        // Who has taken the stream over is not gathered from.
        let mut taken = stream.clone();
        taken.write_all(b"y").await.unwrap();
        assert_eq!((theirs.read_u8().await.unwrap(), stream.lock().stream.1), (b'y', 2));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_the_writer() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let stream = Gather::new(ours);
        let mut writer = stream.clone();
        let all: Vec<u8> = (0..1_000_000u32).map(|at| (at % 251) as u8).collect();
        let sent = all.clone();
        let serve = async {
            let mut connection = std::pin::pin!(async {
                for part in sent.chunks(5000) {
                    writer.write_all(part).await.unwrap();
                    writer.flush().await.unwrap();
                }
                assert!(writer.lock().bytes.len() <= GATHERED_MAX + 5000);
                writer.shutdown().await.unwrap();
            });
            poll_fn(|context| stream.poll(context, |context| connection.as_mut().poll(context))).await;
        };
        let read = async {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            read
        };
        assert_eq!(tokio::join!(serve, read).1, all);
    }
}
