//! What the kernel holds: tables, chains, rules, sets and their elements.

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{Attributes, Message};

use super::expr::{RawExpr, Verdict};
use super::object::{self, HookPoint};
use super::{
    Family, GET_CHAIN, GET_GENERATION, GET_RULE, GET_SET, GET_SET_ELEMENT, GET_TABLE, HEADER_LEN, NEW_CHAIN,
    NEW_GENERATION, NEW_RULE, NEW_SET, NEW_SET_ELEMENT, NEW_TABLE, message,
};

const ANY: Family = Family::Other(0);
const GENERATION_ID: u16 = 1;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Its chains are not hooked in at present.
    pub dormant: bool,
    /// Its comment.
    pub comment: Option<String>,
}

/// A base chain's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookedAt {
    /// Where; `None` for a point that only other families have.
    pub point: Option<HookPoint>,
    /// Order among chains there.
    pub priority: i32,
    /// What falls off its end is dropped.
    pub drops: bool,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `filter`, `nat`, `route`; empty without a hook.
    pub kind: String,
    /// Where it is hooked in, when it is a base chain.
    pub hook: Option<HookedAt>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The number that names it in its table.
    pub handle: u64,
    /// What it does.
    pub expressions: Vec<RawExpr>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `NFT_SET_*` flags.
    pub flags: u32,
    /// All its attributes, unread.
    pub attributes: Vec<(u16, Vec<u8>)>,
}

/// One element: its attributes, unread.
pub type RawElement = Vec<(u16, Vec<u8>)>;

/// The request for the generation of the rule set.
pub fn generation_request() -> Message {
    message(GET_GENERATION, 0, ANY)
}

/// Reads the answer to [`generation_request`].
pub fn parse_generation(answer: &Answer) -> Option<u32> {
    let body = attributes(answer, NEW_GENERATION)?.1;
    body.find(GENERATION_ID)?.be32()
}

/// The number that each commit to the rule set of this namespace raises by one.
pub fn generation(socket: &mut Socket) -> Result<Option<u32>, Error> {
    let answers = socket.execute_all(&[generation_request()])?;
    Ok(answers.iter().flatten().find_map(parse_generation))
}

/// The request for one table.
pub fn table_request(family: Family, name: &str) -> Message {
    let mut request = message(GET_TABLE, 0, family);
    request.str(object::TABLE_NAME, name);
    request
}

/// One table, or `None`.
pub fn table(socket: &mut Socket, family: Family, name: &str) -> Result<Option<Table>, Error> {
    match socket.execute_all(&[table_request(family, name)]) {
        Ok(answers) => Ok(answers.iter().flatten().find_map(Table::parse)),
        Err(error) if error.is(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All tables of all families.
pub fn tables(socket: &mut Socket) -> Result<Vec<Table>, Error> {
    Ok(socket.dump(&message(GET_TABLE, 0, ANY))?.iter().filter_map(Table::parse).collect())
}

/// All chains of all families.
pub fn chains(socket: &mut Socket) -> Result<Vec<Chain>, Error> {
    Ok(socket.dump(&message(GET_CHAIN, 0, ANY))?.iter().filter_map(Chain::parse).collect())
}

/// All rules of one table, chain by chain in order of evaluation.
pub fn rules(socket: &mut Socket, family: Family, table: &str) -> Result<Vec<Rule>, Error> {
    let mut request = message(GET_RULE, 0, family);
    request.str(object::RULE_TABLE, table);
    let rules = socket.dump(&request)?;
    // Old kernels ignore the filter.
    Ok(rules.iter().filter_map(Rule::parse).filter(|r| r.family == family && r.table == table).collect())
}

/// All sets of one table.
pub fn sets(socket: &mut Socket, family: Family, table: &str) -> Result<Vec<Set>, Error> {
    let mut request = message(GET_SET, 0, family);
    request.str(object::SET_TABLE, table);
    let sets = socket.dump(&request)?;
    Ok(sets.iter().filter_map(Set::parse).filter(|s| s.family == family && s.table == table).collect())
}

/// All elements of one set.
pub fn elements(
    socket: &mut Socket,
    family: Family,
    table: &str,
    set: &str,
) -> Result<Vec<RawElement>, Error> {
    let mut request = message(GET_SET_ELEMENT, 0, family);
    request.str(object::ELEMENTS_TABLE, table).str(object::ELEMENTS_SET, set);
    Ok(socket.dump(&request)?.iter().flat_map(parse_elements).collect())
}

/// Reads one piece of a set's elements.
pub fn parse_elements(answer: &Answer) -> Vec<RawElement> {
    let list = attributes(answer, NEW_SET_ELEMENT).and_then(|(_, body)| body.find(object::ELEMENTS_LIST));
    let Some(list) = list else { return Vec::new() };
    let elements = list.nested().filter(|a| a.kind == object::LIST_ELEMENT);
    elements.map(|element| owned(element.nested())).collect()
}

/// The bytes of an element's key and of its value, when it has a plain one.
pub fn key_and_value(element: &RawElement) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let plain = |wanted: u16| {
        let (_, data) = element.iter().find(|(kind, _)| *kind == wanted)?;
        Some(Attributes::new(data).find(object::DATA_VALUE)?.data.to_vec())
    };
    Some((plain(object::ELEMENT_KEY)?, plain(object::ELEMENT_DATA)))
}

/// The bytes of the first and the last key of an element of a set of ranges.
pub fn range(element: &RawElement) -> Option<(Vec<u8>, Vec<u8>)> {
    let end = |wanted: u16| {
        let (_, data) = element.iter().find(|(kind, _)| *kind == wanted)?;
        Some(Attributes::new(data).find(object::DATA_VALUE)?.data.to_vec())
    };
    Some((end(object::ELEMENT_KEY)?, end(object::ELEMENT_KEY_END)?))
}

/// The bytes of an element's key, and where a map of verdicts leads it.
pub fn key_and_verdict(element: &RawElement) -> Option<(Vec<u8>, Verdict)> {
    let (key, _) = key_and_value(element)?;
    let (_, data) = element.iter().find(|(kind, _)| *kind == object::ELEMENT_DATA)?;
    Some((key, Verdict::from_data(data)?))
}

impl Table {
    /// Reads a dumped table.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let (family, body) = attributes(answer, NEW_TABLE)?;
        Some(Self {
            family,
            name: body.find(object::TABLE_NAME)?.text(),
            dormant: body.find(object::TABLE_FLAGS).and_then(|a| a.be32()).unwrap_or(0) & 1 != 0,
            comment: body.find(object::TABLE_USERDATA).and_then(|a| comment(a.data)),
        })
    }
}

impl Chain {
    /// Reads a dumped chain.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let (family, body) = attributes(answer, NEW_CHAIN)?;
        let hook = body.find(object::CHAIN_HOOK).and_then(|hook| {
            let hook = hook.nested();
            Some(HookedAt {
                point: HookPoint::from_number(hook.find(object::HOOK_NUMBER)?.be32()?),
                priority: hook.find(object::HOOK_PRIORITY)?.be32()?.cast_signed(),
                drops: body.find(object::CHAIN_POLICY).and_then(|a| a.be32()) == Some(0),
            })
        });
        Some(Self {
            family,
            table: body.find(object::CHAIN_TABLE)?.text(),
            name: body.find(object::CHAIN_NAME)?.text(),
            kind: body.find(object::CHAIN_TYPE).map(|a| a.text()).unwrap_or_default(),
            hook,
        })
    }
}

impl Rule {
    /// Reads a dumped rule.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let (family, body) = attributes(answer, NEW_RULE)?;
        let expressions = body.find(object::RULE_EXPRESSIONS).map(|list| {
            let elements = list.nested().filter(|a| a.kind == object::LIST_ELEMENT);
            elements.filter_map(|element| RawExpr::parse(element.nested())).collect()
        });
        Some(Self {
            family,
            table: body.find(object::RULE_TABLE)?.text(),
            chain: body.find(object::RULE_CHAIN)?.text(),
            handle: body.find(object::RULE_HANDLE).and_then(|a| a.be64()).unwrap_or(0),
            expressions: expressions.unwrap_or_default(),
            comment: body.find(object::RULE_USERDATA).and_then(|a| comment(a.data)),
        })
    }
}

impl Set {
    /// Reads a dumped set.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let (family, body) = attributes(answer, NEW_SET)?;
        Some(Self {
            family,
            table: body.find(object::SET_TABLE)?.text(),
            name: body.find(object::SET_NAME)?.text(),
            flags: body.find(object::SET_FLAGS).and_then(|a| a.be32()).unwrap_or(0),
            attributes: owned(body),
        })
    }
}

fn attributes(answer: &Answer, kind: u16) -> Option<(Family, Attributes<'_>)> {
    if answer.kind != kind {
        return None;
    }
    let family = Family::from_number(*answer.body.first()?);
    Some((family, Attributes::after(&answer.body, HEADER_LEN)))
}

fn owned(attributes: Attributes<'_>) -> Vec<(u16, Vec<u8>)> {
    attributes.map(|a| (a.kind, a.data.to_vec())).collect()
}

/// The comment in user data: a run of one-byte types and lengths.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let length = usize::from(*length);
        let value = rest.get(..length)?;
        if *kind == object::USERDATA_COMMENT {
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            return Some(String::from_utf8_lossy(&value[..end]).into_owned());
        }
        data = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comments_come_back() {
        assert_eq!(comment(&object::comment_data("hello")).as_deref(), Some("hello"));
        let long = "é".repeat(100);
        let read = comment(&object::comment_data(&long)).expect("there");
        assert!(long.starts_with(&read) && read.len() > 120);
        assert_eq!(comment(&[7, 1, 0, 0, 2, b'x', 0]).as_deref(), Some("x"));
        assert_eq!(comment(&[0, 200, 1]), None);
    }

    proptest! {
        #[test]
        fn foreign_dumps_never_panic(kind in 0u16..20, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let answer = Answer { kind: super::super::SUBSYSTEM | kind, body };
            let _ = (Table::parse(&answer), Chain::parse(&answer), Rule::parse(&answer), Set::parse(&answer));
            let _ = (parse_elements(&answer), parse_generation(&answer));
        }
    }
}
