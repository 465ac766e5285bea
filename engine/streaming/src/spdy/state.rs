//! A session without its socket: frames in, frames out, and who is to be woken.
//!
//! Windows: the Go implementation, which kubectl and kubelets have, neither sends `WINDOW_UPDATE`
//! nor looks at it. So windows count from when the peer has shown that it knows them (by
//! `SETTINGS` or `WINDOW_UPDATE`); towards others the limits are the connection's: a stream whose
//! bytes nobody reads stops the reading of them all.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use bytes::BytesMut;

use super::frame::{self, Encoder, Frame};
use super::{Headers, Side, SpdyError};

/// Bytes of a stream that wait for their reader before the session stops reading.
pub(super) const STREAM_BUFFER: usize = 1 << 20;
/// Bytes that wait for the connection before streams stop writing.
pub(super) const OUT_BUFFER: usize = 256 * 1024;
/// Bytes that wait for the connection before the session stops reading, for what it answers by itself.
const OUT_MAX: usize = 2 * OUT_BUFFER;
/// Streams of a session at a time.
const STREAMS_MAX: usize = 1024;
/// The window that we offer for each stream.
const WINDOW: u32 = 1 << 18;
/// The window of a stream, and of the session, that nobody has spoken about.
const WINDOW_DEFAULT: i64 = 64 * 1024;

/// A stream's two directions.
#[derive(Default)]
pub(super) struct Flow {
    /// Bytes that have come.
    pub(super) received: BytesMut,
    /// The peer sends no more.
    pub(super) received_all: bool,
    /// We send no more.
    pub(super) sent_all: bool,
    /// The peer has taken it, or it was the peer's.
    pub(super) replied: bool,
    /// Ended by `RST_STREAM`.
    pub(super) reset: Option<u32>,
    /// What the peer lets us send, if it counts.
    window: i64,
    /// What was read and not yet given back to the peer's window.
    unreturned: u32,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Flow {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// The session.
pub(super) struct State {
    side: Side,
    encoder: Encoder,
    /// What is to be sent.
    pub(super) out: BytesMut,
    pub(super) streams: HashMap<u32, Flow>,
    /// Streams of the peer that nobody has taken yet.
    pub(super) opened: VecDeque<(u32, Headers)>,
    next_id: u32,
    last_received: u32,
    peer_counts: bool,
    /// We have told the peer to count.
    announced: bool,
    peer_initial: i64,
    session_window: i64,
    session_unreturned: u32,
    /// The end was asked for: what is in `out` goes, then the connection is closed.
    pub(super) closing: bool,
    /// The connection is gone.
    pub(super) ended: bool,
    pub(super) reading: Option<Waker>,
    pub(super) sending: Option<Waker>,
    pub(super) accepting: Option<Waker>,
    /// Those who wait for the end.
    pub(super) mourners: Vec<Waker>,
    /// Changes with everything that is sent or received.
    pub(super) activity: u64,
}

impl State {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            encoder: Encoder::default(),
            out: BytesMut::new(),
            streams: HashMap::new(),
            opened: VecDeque::new(),
            next_id: if side == Side::Server { 2 } else { 1 },
            last_received: 0,
            peer_counts: false,
            announced: false,
            peer_initial: WINDOW_DEFAULT,
            session_window: WINDOW_DEFAULT,
            session_unreturned: 0,
            closing: false,
            ended: false,
            reading: None,
            sending: None,
            accepting: None,
            mourners: Vec::new(),
            activity: 0,
        }
    }

    /// Tells the peer that windows count for us.
    pub(super) fn announce(&mut self) -> Result<(), SpdyError> {
        self.announced = true;
        self.send(&Frame::Settings { initial_window: Some(WINDOW) })?;
        let delta = u32::try_from(STREAM_BUFFER).unwrap_or(WINDOW);
        self.send(&Frame::Window { id: 0, delta })
    }

    fn send(&mut self, frame: &Frame) -> Result<(), SpdyError> {
        self.encoder.put(frame, &mut self.out)?;
        self.wake_sender();
        Ok(())
    }

    fn wake_sender(&mut self) {
        if let Some(waker) = self.sending.take() {
            waker.wake();
        }
    }

    /// Whether more may be read from the connection now.
    pub(super) fn may_read(&self) -> bool {
        self.out.len() < OUT_MAX && self.streams.values().all(|flow| flow.received.len() < STREAM_BUFFER)
    }

    /// Opens a stream of ours.
    pub(super) fn open(&mut self, headers: Headers) -> Result<u32, SpdyError> {
        if self.ended || self.closing {
            return Err(SpdyError::Ended);
        }
        let id = self.next_id;
        if id > 0x7fff_ffff - 2 {
            return Err(SpdyError::Session("no stream ids are left"));
        }
        self.next_id += 2;
        self.send(&Frame::Open { id, fin: false, unidirectional: false, headers })?;
        self.streams.insert(id, Flow { window: self.peer_initial, ..Flow::default() });
        Ok(id)
    }

    /// Takes what the peer sent.
    pub(super) fn receive(&mut self, frame: Frame) -> Result<(), SpdyError> {
        match frame {
            Frame::Open { id, fin, unidirectional, headers } => {
                self.opened_by_peer(id, (fin, unidirectional), headers)
            }
            Frame::Reply { id, fin, .. } => {
                if let Some(flow) = self.streams.get_mut(&id) {
                    flow.replied = true;
                    flow.received_all |= fin;
                    flow.wake();
                }
                Ok(())
            }
            Frame::Headers { id, fin, .. } => {
                self.finish(id, fin);
                Ok(())
            }
            Frame::Reset { id, status } => {
                self.opened.retain(|(opened, _)| *opened != id);
                if let Some(flow) = self.streams.get_mut(&id) {
                    flow.reset = Some(status);
                    flow.wake();
                }
                Ok(())
            }
            Frame::Settings { initial_window } => {
                if let Some(window) = initial_window {
                    self.settle(i64::from(window));
                }
                Ok(())
            }
            // The ids of the peer's pings are of the peer's parity.
            Frame::Ping(id) if (id % 2 == 1) == (self.side == Side::Server) => self.send(&Frame::Ping(id)),
            Frame::Ping(_) | Frame::GoAway { .. } => Ok(()),
            Frame::Window { id, delta } => {
                self.widen(id, i64::from(delta));
                Ok(())
            }
            Frame::Data { id, fin, bytes } => self.data(id, fin, &bytes),
        }
    }

    fn opened_by_peer(
        &mut self,
        id: u32,
        (fin, unidirectional): (bool, bool),
        headers: Headers,
    ) -> Result<(), SpdyError> {
        let theirs = (id % 2 == 1) == (self.side == Side::Server);
        if !theirs || id <= self.last_received {
            return Err(SpdyError::Session("a stream id that may not be used"));
        }
        self.last_received = id;
        if self.closing || self.streams.len() >= STREAMS_MAX {
            return self.send(&Frame::Reset { id, status: frame::REFUSED });
        }
        let flow = Flow {
            received_all: fin,
            sent_all: unidirectional,
            replied: true,
            window: self.peer_initial,
            ..Flow::default()
        };
        self.streams.insert(id, flow);
        self.send(&Frame::Reply { id, fin: false, headers: Headers::new() })?;
        self.opened.push_back((id, headers));
        if let Some(waker) = self.accepting.take() {
            waker.wake();
        }
        Ok(())
    }

    /// The peer has set the window of streams, those that are open included.
    fn settle(&mut self, window: i64) {
        let more = window - self.peer_initial;
        self.peer_initial = window;
        self.peer_counts = true;
        for flow in self.streams.values_mut() {
            flow.window += more;
            flow.wake();
        }
    }

    fn widen(&mut self, id: u32, delta: i64) {
        self.peer_counts = true;
        if id == 0 {
            self.session_window = self.session_window.saturating_add(delta);
            self.wake_writers();
        } else if let Some(flow) = self.streams.get_mut(&id) {
            flow.window = flow.window.saturating_add(delta);
            flow.wake();
        }
    }

    /// Wakes whoever waits for a place to write into.
    pub(super) fn wake_writers(&mut self) {
        for waker in self.streams.values_mut().filter_map(|flow| flow.writer.take()) {
            waker.wake();
        }
    }

    fn finish(&mut self, id: u32, fin: bool) {
        if let Some(flow) = self.streams.get_mut(&id).filter(|_| fin) {
            flow.received_all = true;
            flow.wake();
        }
    }

    fn data(&mut self, id: u32, fin: bool, bytes: &[u8]) -> Result<(), SpdyError> {
        let length = bytes.len();
        let Some(flow) = self.streams.get_mut(&id) else {
            // Bytes on their way to a stream that we have ended.
            return self.give_back(0, length);
        };
        if flow.received_all {
            return Err(SpdyError::Session("data behind the end of a stream"));
        }
        // Copied together: a frame of one byte must not keep the piece in which it came.
        flow.received.extend_from_slice(bytes);
        flow.received_all = fin;
        if let Some(waker) = flow.reader.take() {
            waker.wake();
        }
        Ok(())
    }

    /// Bytes have been read from a stream.
    pub(super) fn consumed(&mut self, id: u32, bytes: usize) -> Result<(), SpdyError> {
        if let Some(waker) = self.reading.take() {
            waker.wake();
        }
        self.give_back(id, bytes)
    }

    /// Gives bytes back to the windows of a stream and of the session.
    fn give_back(&mut self, id: u32, bytes: usize) -> Result<(), SpdyError> {
        if !self.peer_counts && !self.announced {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.session_unreturned = self.session_unreturned.saturating_add(bytes);
        if self.session_unreturned > WINDOW / 4 {
            let delta = std::mem::take(&mut self.session_unreturned);
            self.send(&Frame::Window { id: 0, delta })?;
        }
        let Some(flow) = self.streams.get_mut(&id).filter(|flow| !flow.received_all) else { return Ok(()) };
        flow.unreturned = flow.unreturned.saturating_add(bytes);
        if flow.unreturned > WINDOW / 4 {
            let delta = std::mem::take(&mut flow.unreturned);
            self.send(&Frame::Window { id, delta })?;
        }
        Ok(())
    }

    /// How many bytes a stream may write now.
    pub(super) fn room(&self, id: u32) -> usize {
        let buffer = OUT_BUFFER.saturating_sub(self.out.len());
        if !self.peer_counts {
            return buffer;
        }
        let window = self.streams.get(&id).map_or(0, |flow| flow.window).min(self.session_window);
        buffer.min(usize::try_from(window).unwrap_or(0))
    }

    /// Sends bytes of a stream, for which there is room.
    pub(super) fn write(&mut self, id: u32, bytes: &[u8], fin: bool) -> Result<(), SpdyError> {
        frame::data(&mut self.out, id, fin, bytes)?;
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if self.peer_counts {
            self.session_window -= length;
        }
        if let Some(flow) = self.streams.get_mut(&id) {
            if self.peer_counts {
                flow.window -= length;
            }
            flow.sent_all |= fin;
        }
        self.wake_sender();
        Ok(())
    }

    /// Ends a stream on our side: it is forgotten, and what still comes for it with it.
    pub(super) fn forget(&mut self, id: u32, reset: Option<u32>) -> Result<(), SpdyError> {
        let Some(flow) = self.streams.remove(&id) else { return Ok(()) };
        if let Some(waker) = self.reading.take() {
            waker.wake();
        }
        if self.ended || flow.reset.is_some() {
            return Ok(());
        }
        match reset {
            Some(status) => self.send(&Frame::Reset { id, status }),
            None if flow.sent_all => Ok(()),
            None => self.write(id, &[], true),
        }
    }

    /// Asks for the end.
    pub(super) fn close(&mut self, status: u32) {
        if !self.closing {
            self.closing = true;
            // If even this cannot be written, the connection closes all the same.
            let _ = self.send(&Frame::GoAway { last: self.last_received, status });
            self.wake_sender();
            if let Some(waker) = self.accepting.take() {
                waker.wake();
            }
        }
    }

    /// The connection is gone: everybody hears of it.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.closing = true;
        self.streams.values_mut().for_each(Flow::wake);
        let wakers = [self.reading.take(), self.sending.take(), self.accepting.take()];
        wakers.into_iter().flatten().chain(self.mourners.drain(..)).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::frame::Decoder;
    use super::*;

    fn server() -> State {
        State::new(Side::Server)
    }

    fn open(id: u32) -> Frame {
        Frame::Open { id, fin: false, unidirectional: false, headers: Headers::new() }
    }

    fn sent(state: &mut State) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&state.out.split());
        std::iter::from_fn(|| decoder.frame().unwrap()).collect()
    }

    fn bytes(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn ids_are_the_peers_and_grow() {
        for (ids, well) in [(&[1, 3, 9][..], true), (&[2], false), (&[3, 1], false), (&[1, 1], false)] {
            let mut state = server();
            assert_eq!(ids.iter().all(|id| state.receive(open(*id)).is_ok()), well, "{ids:?}");
        }
    }

    #[test]
    fn more_streams_than_fit_are_refused() {
        let mut state = server();
        for at in 0..STREAMS_MAX + 10 {
            state.receive(open(u32::try_from(2 * at + 1).unwrap())).unwrap();
        }
        assert_eq!((state.streams.len(), state.opened.len()), (STREAMS_MAX, STREAMS_MAX));
    }

    #[test]
    fn reading_stops_while_a_stream_is_not_read() {
        let mut state = server();
        state.receive(open(1)).unwrap();
        state.receive(Frame::Data { id: 1, fin: false, bytes: bytes(STREAM_BUFFER) }).unwrap();
        assert!(!state.may_read());
        state.streams.get_mut(&1).unwrap().received.clear();
        assert!(state.may_read());
    }

    #[test]
    fn reading_stops_while_answers_are_not_taken() {
        let mut state = server();
        while state.may_read() {
            state.receive(Frame::Ping(1)).unwrap();
        }
        assert!(state.out.len() <= OUT_MAX + 12);
    }

    #[test]
    fn pings_of_our_own_are_not_answered() {
        let mut state = server();
        state.receive(Frame::Ping(2)).unwrap();
        state.receive(Frame::Ping(3)).unwrap();
        assert_eq!(sent(&mut state), [Frame::Ping(3)]);
    }

    #[test]
    fn windows_count_for_peers_that_know_them() {
        let mut state = server();
        state.receive(open(1)).unwrap();
        sent(&mut state);
        assert_eq!(state.room(1), OUT_BUFFER);
        assert!(state.out.is_empty());
        state.receive(Frame::Settings { initial_window: Some(10) }).unwrap();
        assert_eq!(state.room(1), 10);
        state.write(1, b"12345678", false).unwrap();
        assert_eq!(state.room(1), 2);
        state.receive(Frame::Window { id: 1, delta: 5 }).unwrap();
        assert_eq!(state.room(1), 7);
        state.receive(Frame::Settings { initial_window: Some(0) }).unwrap();
        assert_eq!(state.room(1), 0, "a window may become smaller than what was sent");
        state.receive(Frame::Window { id: 1, delta: u32::MAX >> 1 }).unwrap();
        assert_eq!(state.room(1), 64 * 1024 - 8);
    }

    #[test]
    fn what_is_read_is_given_back() {
        let mut state = server();
        state.receive(open(1)).unwrap();
        state.receive(Frame::Window { id: 0, delta: 1 }).unwrap();
        sent(&mut state);
        state.consumed(1, 1000).unwrap();
        assert_eq!(sent(&mut state), []);
        state.consumed(1, 100_000).unwrap();
        let both = [Frame::Window { id: 0, delta: 101_000 }, Frame::Window { id: 1, delta: 101_000 }];
        assert_eq!(sent(&mut state), both);
    }

    #[test]
    fn data_of_ended_streams_goes_nowhere() {
        let mut state = server();
        state.receive(open(1)).unwrap();
        state.forget(1, None).unwrap();
        state.receive(Frame::Data { id: 1, fin: false, bytes: bytes(5) }).unwrap();
        let ended = Frame::Data { id: 1, fin: true, bytes: Bytes::new() };
        assert_eq!(sent(&mut state).last(), Some(&ended));
        state.receive(open(3)).unwrap();
        state.receive(Frame::Data { id: 3, fin: true, bytes: bytes(1) }).unwrap();
        assert!(state.receive(Frame::Data { id: 3, fin: false, bytes: bytes(1) }).is_err());
    }

    #[test]
    fn a_reset_stream_waits_for_nobody() {
        let mut state = server();
        state.receive(open(1)).unwrap();
        state.receive(Frame::Reset { id: 1, status: 5 }).unwrap();
        assert!(state.opened.is_empty());
        assert_eq!(state.streams.get(&1).map(|flow| flow.reset), Some(Some(5)));
    }
}
