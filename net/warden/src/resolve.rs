//! From a question of a container to an answer, or to somebody else. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use attach::Attachment;
use names::{Code, Data, Found, InvalidQuery, Name, Query, QueryType, Record, Transport};

use crate::book::{Addresses, Book};

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Answer {
    /// These bytes go back.
    Reply(Vec<u8>),
    /// Others must be asked.
    Forward(Box<Query>),
    /// Nothing: it is no query.
    Silence,
}

/// Answers a message that came from the container with these attachments. `turn` says with
/// which address of several an answer begins.
pub(crate) fn answer(
    message: &[u8],
    asker: &[Attachment],
    book: &Book,
    (transport, turn): (Transport, usize),
) -> Answer {
    let query = match names::read(message) {
        Ok(query) => query,
        Err(InvalidQuery::Silent) => return Answer::Silence,
        Err(InvalidQuery::Form { .. }) => {
            return Answer::Reply(names::failure(message, None, Code::FormError, transport));
        }
        Err(InvalidQuery::Operation { .. }) => {
            return Answer::Reply(names::failure(message, None, Code::NotImplemented, transport));
        }
    };
    let failure = |code| Answer::Reply(names::failure(message, Some(&query), code, transport));
    let name = text_of(&query.name);
    if let Some(address) = reverse(&name) {
        let member = asker.iter().filter(|attachment| attachment.has_names());
        let mut owners = member.clone().filter_map(|attachment| {
            Some((book.owner(&attachment.network, address)?, attachment.network.as_str()))
        });
        if let Some((owner, network)) = owners.next() {
            return reply(&query, pointer(&query, owner, network), transport);
        }
        // Nobody outside knows more of our ranges.
        if member.clone().any(|attachment| contains(attachment, address)) {
            return failure(Code::NoName);
        }
        return forward_or_fail(query, asker, failure);
    }
    match find(&name, asker, book) {
        Some(found) => reply(&query, records(&query, &found, turn), transport),
        None => forward_or_fail(query, asker, failure),
    }
}

fn reply(query: &Query, records: Vec<Record>, transport: Transport) -> Answer {
    let reply = match records.is_empty() {
        // That it has no such record, without the head of a zone: nobody keeps it.
        true => Some(names::forwarded(query, Code::NoError, &[], transport)),
        false => names::respond(query, &Found::records(records), transport),
    };
    reply.map_or(Answer::Silence, Answer::Reply)
}

/// Who is in internal networks only asks nobody outside: an answer would lead out, and the
/// question itself would.
fn forward_or_fail(query: Query, asker: &[Attachment], failure: impl Fn(Code) -> Answer) -> Answer {
    if asker.iter().any(|attachment| !attachment.internal) {
        return Answer::Forward(Box::new(query));
    }
    failure(Code::ServerFailure)
}

/// A name, or a name and the network that it is in.
fn find(name: &str, asker: &[Attachment], book: &Book) -> Option<Addresses> {
    let mut own: Vec<&Attachment> = asker.iter().filter(|attachment| attachment.has_names()).collect();
    own.sort_by(|a, b| b.gateway_priority.cmp(&a.gateway_priority).then_with(|| a.network.cmp(&b.network)));
    let found = own.iter().find_map(|attachment| book.find(&attachment.network, name));
    found.or_else(|| {
        let (head, network) = name.rsplit_once('.')?;
        let own = own.iter().find(|attachment| attachment.network.eq_ignore_ascii_case(network))?;
        book.find(&own.network, head)
    })
}

fn records(query: &Query, found: &Addresses, turn: usize) -> Vec<Record> {
    let record = |data| Record { name: query.name, ttl: TTL, data };
    let mut four: Vec<Record> = found.four.iter().map(|address| record(Data::A(*address))).collect();
    let mut six: Vec<Record> = found.six.iter().map(|address| record(Data::Aaaa(*address))).collect();
    for list in [&mut four, &mut six] {
        let by = turn.checked_rem(list.len()).unwrap_or(0);
        list.rotate_left(by);
    }
    match query.kind {
        QueryType::A => four,
        QueryType::AAAA => six,
        QueryType::ANY => four.into_iter().chain(six).collect(),
        _ => Vec::new(),
    }
}

/// As docker has it: the container, and behind it the network.
fn pointer(query: &Query, owner: &str, network: &str) -> Vec<Record> {
    if !matches!(query.kind, QueryType::PTR | QueryType::ANY) {
        return Vec::new();
    }
    let target = Name::parse(&format!("{owner}.{network}")).or_else(|_| Name::parse(owner));
    target.map(|target| Record { name: query.name, ttl: TTL, data: Data::Ptr(target) }).into_iter().collect()
}

/// The name in small letters, with dots.
fn text_of(name: &Name) -> String {
    let labels: Vec<String> =
        name.labels().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` is about.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = octets.rsplit('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into());
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    u128::from_str_radix(&digits.concat(), 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
}

fn contains(attachment: &Attachment, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => attachment.subnet.contains(address),
        IpAddr::V6(address) => attachment.ipv6.is_some_and(|six| six.subnet.contains(address)),
    }
}

/// Seconds that an answer about a container may be kept: a container that is started again
/// may have another address.
const TTL: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::{attachment, book};

    const LINES: &[&str] = &[
        "aaaaaaaaaaaaaaaa web a 10.1.0.2 www",
        "aaaaaaaaaaaaaaaa web b 10.2.0.2",
        "bbbbbbbbbbbbbbbb db a 10.1.0.3 www",
        "cccccccccccccccc lone b 10.2.0.3",
    ];

    /// `asker`: networks; the answer as text.
    fn ask(networks: &[&str], name: &str, kind: QueryType) -> String {
        let asker: Vec<Attachment> = networks
            .iter()
            .map(|network| {
                let mut own = attachment(&format!("dddddddddddddddd me {network} 10.9.0.9"));
                if *network == "a" {
                    own.subnet = "10.1.0.0/16".parse().expect("a range");
                }
                own.internal = network.starts_with("in");
                own
            })
            .collect();
        let query = Query {
            id: 7,
            recursive: true,
            checking_disabled: false,
            name: Name::parse(name).expect("a name"),
            kind,
            class: 1,
            edns: None,
        };
        let message = names::question(&query, 7);
        match answer(&message, &asker, &book(LINES), (Transport::Udp, 0)) {
            Answer::Silence => "silence".to_owned(),
            Answer::Forward(_) => "forward".to_owned(),
            Answer::Reply(reply) => {
                let said = names::answers(&reply).expect("an answer");
                let data = said.iter().map(|record| match &record.data {
                    Data::A(address) => address.to_string(),
                    Data::Aaaa(address) => address.to_string(),
                    Data::Ptr(name) => text_of(name),
                    other => format!("{other:?}"),
                });
                format!("{} {}", reply[3] & 15, data.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
            }
        }
    }

    #[test]
    fn members_know_each_other() {
        assert_eq!(ask(&["a"], "web", QueryType::A), "0 10.1.0.2");
        assert_eq!(ask(&["a"], "WEB.", QueryType::A), "0 10.1.0.2");
        assert_eq!(ask(&["a"], "www", QueryType::A), "0 10.1.0.2 10.1.0.3");
        assert_eq!(ask(&["a"], "web.a", QueryType::A), "0 10.1.0.2");
        assert_eq!(ask(&["a", "b"], "web.b", QueryType::A), "0 10.2.0.2");
        assert_eq!(ask(&["b", "a"], "lone", QueryType::A), "0 10.2.0.3");
        assert_eq!(ask(&["a"], "bbbbbbbbbbbb", QueryType::A), "0 10.1.0.3");
    }

    #[test]
    fn a_name_without_the_record_is_there_all_the_same() {
        assert_eq!(ask(&["a"], "web", QueryType::AAAA), "0");
        assert_eq!(ask(&["a"], "web", QueryType::SRV), "0");
    }

    #[test]
    fn others_are_asked_for_the_rest() {
        assert_eq!(ask(&["a"], "lone", QueryType::A), "forward");
        assert_eq!(ask(&["a"], "web.b", QueryType::A), "forward");
        assert_eq!(ask(&["a"], "example.com", QueryType::A), "forward");
        assert_eq!(ask(&["bridge"], "web", QueryType::A), "forward");
        assert_eq!(ask(&["inner"], "example.com", QueryType::A), "2", "nothing leads out");
        assert_eq!(ask(&["inner", "a"], "example.com", QueryType::A), "forward");
    }

    #[test]
    fn addresses_have_names() {
        assert_eq!(ask(&["a"], "2.0.1.10.in-addr.arpa", QueryType::PTR), "0 web.a");
        assert_eq!(ask(&["a"], "77.0.1.10.in-addr.arpa", QueryType::PTR), "3");
        assert_eq!(ask(&["a"], "8.8.8.8.in-addr.arpa", QueryType::PTR), "forward");
        assert_eq!(
            reverse("b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
            Some("2001:db8::567:89ab".parse::<IpAddr>().expect("address"))
        );
        assert_eq!(reverse("1.2.3.in-addr.arpa"), None);
    }

    #[test]
    fn what_is_no_question() {
        let answer = |message: &[u8]| answer(message, &[], &Book::default(), (Transport::Udp, 0));
        assert!(matches!(answer(b""), Answer::Silence));
        assert!(
            matches!(answer(&[0, 1, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Answer::Reply(reply) if reply[3] & 15 == 4)
        );
        assert!(
            matches!(answer(&[0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]), Answer::Reply(reply) if reply[3] & 15 == 1)
        );
    }
}
