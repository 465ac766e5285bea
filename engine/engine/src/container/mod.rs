//! What is kept of a container on disk.
//!
//! ```text
//! <root>/containers/<id>/            flocked by whoever changes the container
//! <root>/containers/<id>/container.json   the record: written beside and renamed
//! <root>/containers/<id>/exit.json        how it ended, by the shim
//! <root>/containers/<id>/<id>-json.log    what it wrote, by the shim
//! <root>/names/<name> -> <id>             a symbolic link: making it is what owns the name
//! <state>/containers/<id>/           bundle, socket, host files; gone at reboot
//! ```

mod id;
mod lifecycle;
mod names;
mod record;
mod store;

pub use id::{generate_id, generate_name};
pub use lifecycle::{Event, InvalidTransition, Lifecycle, StartFailure};
pub use names::{InvalidName, validate_name};
pub use record::{ImageRef, MountRecord, MountSource, RECORD_VERSION, Record};
pub use store::{Containers, Locked, Reservation, StoreError};
