//! Queries in, answers out, and packets of people who mean harm.

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use crate::{
    Cache, Code, Data, Edns, Found, InvalidQuery, Name, Query, QueryType, Record, Soa, Transport, Zones,
    answers, failure, fit, forwarded, is_answer, question, read, respond,
};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn query(text: &str, kind: QueryType) -> Query {
    Query { id: 7, recursive: true, checking_disabled: false, name: name(text), kind, class: 1, edns: None }
}

fn address(owner: &str, last: u8) -> Record {
    Record { name: name(owner), ttl: 5, data: Data::A(Ipv4Addr::new(10, 0, 0, last)) }
}

fn soa() -> Box<Soa> {
    Box::new(Soa { server: name("ns.x"), mailbox: name("root.x"), serial: 1, minimum: 5 })
}

/// Code, flags (AA, TC, RA) and the four counts.
fn head(message: &[u8]) -> (u8, [bool; 3], [u16; 4]) {
    let bit = |at: usize, bit: u8| message[at] & bit != 0;
    let count = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    (message[3] & 15, [bit(2, 4), bit(2, 2), bit(3, 0x80)], [count(4), count(6), count(8), count(10)])
}

#[test]
fn answers_keep_number_letters_and_question() {
    let asked = query("WeB.x", QueryType::A);
    let found = Found::records(vec![address("web.x", 1), address("web.x", 2)]);
    let message = respond(&asked, &found, Transport::Udp).unwrap();
    assert_eq!(head(&message), (0, [true, false, true], [1, 2, 0, 0]));
    assert_eq!(&message[12..19], b"\x03WeB\x01x\x00");
    // Owners are pointers to the question.
    assert_eq!(message.len(), 12 + 7 + 4 + 2 * 16);
    assert_eq!(answers(&message).unwrap().len(), 2);
    assert!(is_answer(&message, &asked, 7) && !is_answer(&message, &asked, 8));
    let nothing = respond(&asked, &Found::NoName(soa(), name("x")), Transport::Udp).unwrap();
    assert_eq!(head(&nothing), (3, [true, false, true], [1, 0, 1, 0]));
    let no_record = respond(&asked, &Found::NoRecord(soa(), name("x")), Transport::Udp).unwrap();
    assert_eq!(head(&no_record), (0, [true, false, true], [1, 0, 1, 0]));
    assert_eq!(respond(&asked, &Found::NotOurs, Transport::Udp), None);
}

#[test]
fn what_is_too_large_is_cut_and_says_so() {
    let many: Vec<Record> = (0..100).map(|last| address("web.x", last)).collect();
    let found = Found::records(many);
    for (size, transport, most, truncated) in [
        (None, Transport::Udp, 512, true),
        (Some(100), Transport::Udp, 512, true),
        (Some(1000), Transport::Udp, 1000, true),
        (Some(65535), Transport::Udp, 1232, true),
        (None, Transport::Tcp, 65535, false),
    ] {
        let edns = size.map(|size| Edns { size, version: 0, signatures: false });
        let asked = Query { edns, ..query("web.x", QueryType::A) };
        let message = respond(&asked, &found, transport).unwrap();
        assert!(message.len() <= most, "{} > {most}", message.len());
        assert_eq!(head(&message).1[1], truncated);
        let relayed =
            fit(respond(&query("web.x", QueryType::A), &found, Transport::Tcp).unwrap(), &asked, transport);
        assert!(relayed.len() <= most && head(&relayed).1[1] == truncated);
        assert!(answers(&relayed).is_some());
        assert_eq!(head(&message).2[3], u16::from(edns.is_some()));
    }
    let unknown = Edns { size: 1232, version: 1, signatures: false };
    let asked = Query { edns: Some(unknown), ..query("web.x", QueryType::A) };
    let message = respond(&asked, &Found::NotOurs, Transport::Udp).unwrap();
    // BADVERS: 16 is 1 above the low four bits.
    assert_eq!((head(&message).0, message[message.len() - 6]), (0, 1));
}

#[test]
fn every_kind_of_record_can_be_written() {
    let all = [
        (QueryType::AAAA, Data::Aaaa("fd00::1".parse().unwrap())),
        (QueryType::CNAME, Data::Cname(name("other.web.x"))),
        (QueryType::PTR, Data::Ptr(name("a.b"))),
        (QueryType::SRV, Data::Srv { priority: 0, weight: 100, port: 80, target: name("web.x") }),
    ];
    for (kind, data) in all {
        let record = Record { name: name("web.x"), ttl: 5, data };
        let asked = query("web.x", kind);
        let message = respond(&asked, &Found::records(vec![record.clone()]), Transport::Udp).unwrap();
        assert_eq!(answers(&message).unwrap(), [record]);
    }
    for data in [Data::Txt(vec![b'a'; 300]), Data::Ns(name("ns.x")), Data::Soa(soa())] {
        let record = Record { name: name("x"), ttl: 5, data };
        let message =
            respond(&query("x", record.data.kind()), &Found::records(vec![record]), Transport::Tcp).unwrap();
        assert_eq!(head(&message).2, [1, 1, 0, 0]);
        assert!(crate::message::records(&message).is_some());
    }
}

#[test]
fn answers_of_others_are_kept_as_long_as_they_say() {
    let mut cache = Cache::default();
    let at = Duration::from_secs;
    let asked = query("www.example", QueryType::A);
    let record = Record { name: name("www.example"), ttl: 60, data: Data::A(Ipv4Addr::LOCALHOST) };
    cache.keep(&asked, &forwarded(&asked, Code::NoError, &[record], Transport::Tcp), at(0));
    let again = Query { id: 99, name: name("WWW.example"), ..asked };
    let found = cache.find(&again, at(20)).unwrap().0;
    assert_eq!((found[1], &found[12..16]), (99, &b"\x03WWW"[..]));
    assert_eq!(answers(&found).unwrap()[0].ttl, 40);
    assert_eq!(cache.find(&Query { kind: QueryType::AAAA, ..asked }, at(20)), None);
    assert_eq!(cache.find(&again, at(60)), None);
    // That there is nothing is kept too, for the time that the zone's head says; failures are not.
    let nothing = respond(&asked, &Found::NoName(soa(), name("example")), Transport::Tcp).unwrap();
    cache.keep(&asked, &nothing, at(100));
    assert!(cache.find(&asked, at(104)).is_some() && cache.find(&asked, at(105)).is_none());
    cache.keep(&asked, &failure(&[], Some(&asked), Code::ServerFailure, Transport::Tcp), at(200));
    assert_eq!(cache.find(&asked, at(200)), None);
    // It never grows beyond two generations.
    for number in 0..20_000 {
        let asked = query(&format!("n{number}.example"), QueryType::A);
        let record = Record { name: asked.name, ttl: 60, data: Data::A(Ipv4Addr::LOCALHOST) };
        cache.keep(&asked, &forwarded(&asked, Code::NoError, &[record], Transport::Tcp), at(300));
    }
    assert!(cache.len() <= 10_000 && !cache.is_empty());
}

#[test]
fn questions_go_on_under_another_number() {
    let asked = query("Www.example", QueryType::AAAA);
    let sent = question(&asked, 4242);
    let read = read(&sent).unwrap();
    assert_eq!(
        (read.id, read.name, read.kind, read.edns.unwrap().size),
        (4242, asked.name, asked.kind, 1232)
    );
}

#[test]
fn nobody_answers_what_is_no_query() {
    let whole = question(&query("a.b", QueryType::A), 1);
    for cut in 0..12 {
        assert_eq!(read(&whole[..cut]).unwrap_err(), InvalidQuery::Silent);
    }
    for cut in 12..whole.len() {
        assert!(matches!(read(&whole[..cut]), Err(InvalidQuery::Form { .. })), "{cut}");
    }
    // An answer must not be answered: two servers would go on for ever.
    let mut reply = whole.clone();
    reply[2] |= 0x80;
    assert_eq!(read(&reply).unwrap_err(), InvalidQuery::Silent);
    let mut update = whole.clone();
    update[2] |= 5 << 3;
    assert_eq!(read(&update).unwrap_err(), InvalidQuery::Operation { id: 1, operation: 5 });
    let mut two = whole;
    two[5] = 2;
    assert!(matches!(read(&two), Err(InvalidQuery::Form { .. })));
}

struct One;

impl Zones for One {
    fn find(&self, asked: &Name, kind: QueryType) -> Found {
        let record = Record { name: *asked, ttl: 5, data: Data::A(Ipv4Addr::LOCALHOST) };
        if kind == QueryType::A { Found::records(vec![record]) } else { Found::NoRecord(soa(), name("x")) }
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        look(&bytes);
    }

    #[test]
    fn no_broken_message_breaks_it(at in 0usize..200, bytes in prop::collection::vec(any::<u8>(), 1..8)) {
        let asked = Query { edns: Some(Edns { size: 1232, version: 0, signatures: true }), ..query("a.b.c", QueryType::SRV) };
        let data = Data::Srv { priority: 0, weight: 1, port: 2, target: name("t.b.c") };
        let records = vec![Record { name: name("a.b.c"), ttl: 5, data }, address("t.b.c", 1)];
        let mut message = respond(&asked, &Found::records(records), Transport::Udp).unwrap();
        for (offset, byte) in bytes.into_iter().enumerate() {
            let place = (at + offset) % message.len();
            message[place] = byte;
        }
        look(&message);
        message[2] &= 0x7F;
        look(&message);
    }

    #[test]
    fn names_read_back(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 0..8)) {
        let text = labels.join(".");
        let parsed = name(&text);
        prop_assert_eq!(Name::read(parsed.wire(), 0).unwrap(), (parsed, parsed.wire().len()));
        prop_assert_eq!(parsed.labels().count(), labels.len());
    }
}

fn look(bytes: &[u8]) {
    drop(answers(bytes));
    if let Ok(asked) = read(bytes) {
        let found = One.find(&asked.name.lowercase(), asked.kind);
        for transport in [Transport::Udp, Transport::Tcp] {
            let reply = respond(&asked, &found, transport).unwrap();
            assert!(crate::message::records(&reply).is_some());
        }
    }
    let asked = query("a.b.c", QueryType::SRV);
    let mut cache = Cache::default();
    cache.keep(&asked, bytes, Duration::ZERO);
    drop(cache.find(&asked, Duration::from_secs(1)));
    if is_answer(bytes, &asked, 7) {
        drop(fit(bytes.to_vec(), &asked, Transport::Udp));
    }
}
