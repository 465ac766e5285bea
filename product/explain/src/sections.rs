//! The sections of an explanation, each a pure function of view and facts.

mod cgroups;
mod filesystem;
mod kernel;
mod namespaces;
mod network;
mod process_tree;
mod record;
mod security;
mod users;

use inspect::NamespaceKind;

use crate::baseline::Baseline;
use crate::facts::ContainerFacts;
use crate::report::Section;
use crate::view::{Relation, View};

/// All sections in reading order: the four that a container isolates come first.
pub(crate) fn all(view: &View, facts: Option<&ContainerFacts>, baseline: &Baseline) -> Vec<Section> {
    let mut sections = vec![
        filesystem::section(view, facts),
        process_tree::section(view),
        network::section(view, facts),
        users::section(view),
        kernel::section(view, facts),
        namespaces::section(view),
        cgroups::section(view, facts),
        security::section(view, facts, baseline),
    ];
    sections.extend(facts.and_then(record::section));
    sections
}

/// Whether what `kind` isolates is private, in two or three words.
fn verdict(view: &View, kind: NamespaceKind) -> Option<String> {
    let relation = view.namespace(kind).map_or(Relation::Unknown, |view| view.relation);
    Some(self::relation(relation).to_owned())
}

fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Hosts => "shared with the host",
        Relation::Private => "private",
        Relation::Shared => "shared with others",
        Relation::Unknown => "not known",
    }
}
