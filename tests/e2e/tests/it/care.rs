//! Care of the host: what it can do, what has been left on it, what is different.

mod check;
mod compare;
mod endurance;
mod fsck;
mod upgrade;
