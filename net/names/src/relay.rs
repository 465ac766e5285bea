//! Messages between an asker and a server: questions on, answers back.

use crate::message::{HEAD, Query, QueryType, Raw, records, word};
use crate::name::Name;
use crate::reply::{OPT_BYTES, Transport, limit, option};

/// The same question under another number, for another server. It may answer with as much as we take.
pub fn question(query: &Query, id: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + query.name.wire().len() + 4 + OPT_BYTES);
    bytes.extend(id.to_be_bytes());
    bytes.extend([1, u8::from(query.checking_disabled) << 4, 0, 1, 0, 0, 0, 0, 0, 1]);
    bytes.extend(query.name.wire());
    bytes.extend(query.kind.0.to_be_bytes());
    bytes.extend(query.class.to_be_bytes());
    bytes.extend(option(0, query.edns.is_some_and(|edns| edns.signatures)));
    bytes
}

/// Whether a message is the answer to a question that was asked under this number.
pub fn is_answer(message: &[u8], query: &Query, id: u16) -> bool {
    let is_reply = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
    if !is_reply || word(message, 0) != Some(id) || word(message, 4) != Some(1) {
        return false;
    }
    let Ok((name, at)) = Name::read(message, HEAD) else { return false };
    let same_question = word(message, at) == Some(query.kind.0) && word(message, at + 2) == Some(query.class);
    name == query.name && same_question && records(message).is_some()
}

/// Makes another server's answer one to this query: its number, its letters, and no more than it takes.
pub fn fit(message: Vec<u8>, query: &Query, transport: Transport) -> Vec<u8> {
    let mut message = without_option(message);
    let asked = query.name.wire();
    let own = Name::read(&message, HEAD).ok().map(|(name, _)| name.wire().len());
    let end = HEAD + asked.len() + 4;
    if own == Some(asked.len())
        && let Some(place) = message.get_mut(HEAD..HEAD + asked.len())
    {
        place.copy_from_slice(asked);
    }
    if let Some([first, second, flags, more]) = message.get_mut(..4) {
        [*first, *second] = query.id.to_be_bytes();
        // Not our own word, but whether recursion was wanted is the asker's.
        *flags = *flags & 0xFA | u8::from(query.recursive);
        *more = *more & 0xEF | 0x80 | u8::from(query.checking_disabled) << 4;
    }
    let most = limit(query, transport) - if query.edns.is_some() { OPT_BYTES } else { 0 };
    if message.len() > most {
        message.truncate(end);
        if let Some(flags) = message.get_mut(2) {
            *flags |= 2;
        }
        if let Some(counts) = message.get_mut(6..12) {
            counts.fill(0);
        }
    }
    if let Some(edns) = query.edns {
        message.extend(option(0, edns.signatures));
        count_more(&mut message, 1);
    }
    message
}

/// An OPT record is between neighbours only.
fn without_option(mut message: Vec<u8>) -> Vec<u8> {
    let last: Option<Raw> = records(&message).and_then(|mut all| all.pop()).map(|(_, record)| record);
    if let Some(last) = last.filter(|last| last.kind == QueryType::OPT) {
        // Its name is the root's one byte, before type, class, time and length.
        message.truncate(last.data.saturating_sub(11));
        count_more(&mut message, -1);
    }
    message
}

fn count_more(message: &mut [u8], by: i16) {
    let count = word(message, 10).unwrap_or(0).saturating_add_signed(by);
    if let Some(place) = message.get_mut(10..12) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}
