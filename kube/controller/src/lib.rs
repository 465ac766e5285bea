//! The one runtime of all loops: watch, queue, retry, elect, act.
//!
//! ```text
//! Mirror ──changes──▶ Index ──keys──▶ Queue (one a loop) ──key──▶ reconcile ──Plan──▶ act ──▶ Api
//!                       ▲               │ ▲                                            │
//!                       └── reads ──────┘ └── retry, look again, what was written ◀────┘
//! ```
//!
//! [`Queue`] and [`Elector`] are machines without I/O: the time comes in as an argument, deadlines go out as values.
//! [`Runtime`] is the shell around them. A key is held back until the index shows what its last plan wrote, so
//! that a loop never decides from a state that it has already left.

mod act;
mod clock;
mod discovery;
mod elect;
mod events;
mod index;
mod queue;
mod record;
mod runtime;

pub use act::{Paths, Signer};
pub use clock::{Clock, SystemClock};
pub use discovery::{builtin, with_definitions};
pub use elect::{Elector, ElectorStep};
pub use index::Index;
pub use queue::{Barrier, Done, Queue};
pub use record::{Record, Records};
pub use runtime::{Clients, Config, Election, Runtime};
