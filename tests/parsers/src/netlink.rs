//! Answers of netlink(7).

use netlink::socket::Answer;
use netlink::wire::{Attributes, Messages};
use netlink::{conntrack, nft, route};

/// A datagram, each of its messages read as everything that there is.
pub(crate) fn answers(bytes: &[u8]) {
    for frame in Messages::new(bytes) {
        attributes(Attributes::new(frame.body), 0);
        let answer = Answer { kind: frame.kind, body: frame.body.to_vec() };
        let _ = (route::Link::parse(&answer), route::Address::parse(&answer), route::Route::parse(&answer));
        let _ = (route::PolicyRule::parse(&answer), conntrack::Connection::parse(&answer));
        let _ = (nft::dump::Table::parse(&answer), nft::dump::Chain::parse(&answer));
        let _ = (nft::dump::Rule::parse(&answer), nft::dump::Set::parse(&answer));
        let _ = nft::dump::parse_generation(&answer);
        for element in nft::dump::parse_elements(&answer) {
            let _ = nft::dump::key_and_value(&element);
            let _ = nft::dump::range(&element);
            let _ = nft::dump::key_and_verdict(&element);
        }
    }
}

/// Attributes in attributes, as deep as any message has them.
fn attributes(all: Attributes<'_>, depth: u32) {
    for attribute in all {
        let _ = (attribute.text(), attribute.u32(), attribute.be64(), attribute.ipv4());
        if depth < 5 {
            attributes(attribute.nested(), depth + 1);
        }
    }
}
