//! The side that asks.

use std::fs;
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use base::failpoint::hit;
use bytes::Bytes;

use super::frame::{self, HELLO, kind};
use super::{SOCKET_NAME, with_address};
use crate::embedded::copy::{Filling, begin, install};
use crate::embedded::log::frame::RawRow;
use crate::embedded::{Change, Report, check};
use crate::error::Error;
use crate::record::Record;
use crate::types::Revision;

/// A connection to the server that has a store open; good for one command.
#[derive(Debug)]
pub struct Online {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    payload: Vec<u8>,
}

impl Online {
    /// Connects to the server of a data directory; `None` when none runs there.
    pub fn connect(data_dir: &Path) -> Result<Option<Self>, Error> {
        let socket = data_dir.join(SOCKET_NAME);
        match with_address(&socket, |address| UnixStream::connect(address)) {
            Ok(stream) => {
                let stream = BufReader::with_capacity(1 << 16, stream);
                Ok(Some(Self { socket, stream, payload: Vec::new() }))
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::io("connect to the server at", socket, error)),
        }
    }

    /// Copies the store as it is now to a new directory: complete, checked and durable, or not there.
    ///
    /// `progress` hears how many rows have come, and how many there will be.
    pub fn backup(mut self, target: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Report, Error> {
        let partial = begin(target)?;
        self.fill(&partial, &mut progress)?;
        let done = check(&partial).and_then(|report| {
            hit("store.online.checked");
            install(&partial, target)?;
            Ok(report)
        });
        if done.is_err() {
            // A wrong backup is of no use, and the error that led here is the one to tell.
            drop(fs::remove_dir_all(&partial));
        }
        done
    }

    /// Checks every record.
    pub fn check(mut self) -> Result<Report, Error> {
        self.ask(kind::CHECK, &[])?;
        let report = match self.next()? {
            kind::REPORT => frame::reported(&self.payload).ok_or(Error::Garbled)?,
            _ => return Err(Error::Garbled),
        };
        self.end()?;
        Ok(report)
    }

    /// Every kept version of a key, oldest first.
    pub fn history(mut self, key: &[u8]) -> Result<Vec<Change>, Error> {
        self.ask(kind::HISTORY, key)?;
        let mut changes = Vec::new();
        loop {
            match self.next()? {
                kind::RECORD => {
                    let (at, row) = frame::placed(&self.payload).ok_or(Error::Garbled)?;
                    let record = Record::decode(at, &Bytes::copy_from_slice(row))?;
                    let kv = (!record.deleted).then(|| record.key_value(at));
                    changes.push(Change { revision: Revision(at.revision), kv });
                }
                kind::END => return Ok(changes),
                _ => return Err(Error::Garbled),
            }
        }
    }

    fn fill(&mut self, partial: &Path, progress: &mut impl FnMut(u64, u64)) -> Result<(), Error> {
        self.ask(kind::BACKUP, &[])?;
        let source = match self.next()? {
            kind::REPORT => frame::reported(&self.payload).ok_or(Error::Garbled)?,
            _ => return Err(Error::Garbled),
        };
        let mut filling = Filling::begin(partial)?;
        let mut come = 0;
        loop {
            match self.next()? {
                kind::RECORD => {
                    let (at, content) = frame::placed(&self.payload).ok_or(Error::Garbled)?;
                    filling.take(RawRow { at, content })?;
                    come += 1;
                    progress(come, source.rows);
                }
                kind::SUM => {
                    let sum = frame::summed(&self.payload).ok_or(Error::Garbled)?;
                    self.end()?;
                    return filling.finish(&source, sum);
                }
                _ => return Err(Error::Garbled),
            }
        }
    }

    fn ask(&mut self, command: u8, argument: &[u8]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, command, &[HELLO, argument])
            .and_then(|()| self.stream.get_mut().write_all(&bytes))
            .map_err(|error| Error::io("ask the server at", &self.socket, error))
    }

    /// The kind of the next frame, its content in `payload`.
    fn next(&mut self) -> Result<u8, Error> {
        match frame::read(&mut self.stream, &mut self.payload) {
            Ok(kind::ERROR) => {
                Err(Error::Server { message: String::from_utf8_lossy(&self.payload).into_owned() })
            }
            Ok(kind) => Ok(kind),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Error::Garbled),
            Err(error) => Err(Error::io("hear from the server at", &self.socket, error)),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.next()? == kind::END { Ok(()) } else { Err(Error::Garbled) }
    }
}
