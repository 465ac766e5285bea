//! Where answers come from.

use crate::message::QueryType;
use crate::name::Name;
use crate::record::{Record, Soa};

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has these records of the type, or an alias; `more` is what will be asked for next.
    Records {
        /// Of the name, or of where its alias leads.
        answer: Vec<Record>,
        /// Such as addresses of a service's hosts.
        more: Vec<Record>,
    },
    /// It is an alias, in `answer`, of a name that is somebody else's.
    Elsewhere {
        /// The aliases to there.
        answer: Vec<Record>,
        /// The last one's name.
        target: Name,
    },
    /// It is there, but has no such record: the head of its zone.
    NoRecord(Box<Soa>, Name),
    /// It is not there: the head of its zone.
    NoName(Box<Soa>, Name),
    /// It is nobody's here.
    NotOurs,
}

/// Names and their records.
pub trait Zones {
    /// Looks for records of a name; the name is in small letters.
    fn find(&self, name: &Name, kind: QueryType) -> Found;
}

impl Found {
    /// Records and nothing beside.
    pub fn records(answer: Vec<Record>) -> Self {
        Self::Records { answer, more: Vec::new() }
    }
}
