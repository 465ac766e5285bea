//! Docker's container commands beyond starting and stopping: files, events, measures, room.

mod addresses;
mod commit;
mod cp;
mod diff;
mod events;
mod export;
mod filters;
mod flags;
mod formats;
mod logs;
mod rename;
mod room;
mod stats;
mod top;
mod update;
mod volumes;
mod words;
