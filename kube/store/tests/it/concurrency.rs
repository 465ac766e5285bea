//! Concurrent histories are linearizable: by revision they are one history, in real-time order.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use store::{Compare, KeyRange, RangeRequest, Revision, Store, Txn};

use crate::disk::Memory;
use crate::open_on;
use crate::random::Random;

/// One call: when it began and ended on a shared counter, and what it saw.
#[derive(Clone, Debug)]
struct Call {
    begun: u64,
    ended: u64,
    /// The revision at which it took effect.
    revision: u64,
    key: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A write that was done, with what it compared.
    Wrote { value: u64, expected: Option<u64> },
    /// A read, or a write that was refused after its comparison: the value and its revision.
    Saw { value: Option<u64>, at: u64 },
}

#[test]
fn concurrent_histories_are_linearizable() {
    for seed in 1..=4 {
        let disk = Memory::new();
        history_is_linearizable(&open_on(&disk).unwrap(), seed, 150);
    }
}

/// Six clients at once, each with this many calls.
pub(crate) fn history_is_linearizable(store: &dyn Store, seed: u64, calls_each: u64) {
    let clock = AtomicU64::new(0);
    let calls = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for client in 0..6 {
            let (clock, calls) = (&clock, &calls);
            scope.spawn(move || {
                let mut random = Random::new(seed * 100 + client);
                for number in 0..calls_each {
                    let call = call(store, clock, &mut random, client * 1000 + number);
                    calls.lock().unwrap().push(call);
                }
            });
        }
    });
    check(&calls.into_inner().unwrap());
}

fn call(store: &dyn Store, clock: &AtomicU64, random: &mut Random, value: u64) -> Call {
    let key = random.below(4);
    let name = format!("k{key}");
    let read = RangeRequest::new(KeyRange::one(name.clone()));
    let begun = clock.fetch_add(1, Ordering::SeqCst);
    let (revision, what) = match random.below(3) {
        0 => {
            let response = store.txn(Txn::put(name, value.to_string())).unwrap();
            (response.revision.0, What::Wrote { value, expected: None })
        }
        1 => {
            let seen = store.range(&read).unwrap();
            let kv = seen.kvs.first();
            let number = kv.map(|kv| String::from_utf8_lossy(&kv.value).parse().unwrap());
            (seen.revision.0, What::Saw { value: number, at: kv.map_or(0, |kv| kv.mod_revision.0) })
        }
        _ => {
            let seen = store.range(&read).unwrap();
            let at = seen.kvs.first().map_or(Revision(0), |kv| kv.mod_revision);
            let put = store::Op::put(name.clone(), value.to_string());
            let txn = Txn::when([Compare::mod_revision(name, at)], [put]).otherwise([store::Op::Range(read)]);
            let response = store.txn(txn).unwrap();
            if response.succeeded {
                (response.revision.0, What::Wrote { value, expected: Some(at.0) })
            } else {
                let store::OpResponse::Range(seen) = &response.responses[0] else { panic!("a read") };
                let kv = seen.kvs.first();
                let number = kv.map(|kv| String::from_utf8_lossy(&kv.value).parse().unwrap());
                (seen.revision.0, What::Saw { value: number, at: kv.map_or(0, |kv| kv.mod_revision.0) })
            }
        }
    };
    Call { begun, ended: clock.fetch_add(1, Ordering::SeqCst), revision, key, what }
}

/// Writes have distinct revisions, so the order by revision is the only candidate; it must
/// explain every value, and never put a call before one that had ended when it began.
fn check(calls: &[Call]) {
    let mut order = calls.to_vec();
    // A read at a revision comes after the write of that revision.
    order.sort_by_key(|call| (call.revision, matches!(call.what, What::Saw { .. })));
    let mut registers: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut written = 0;
    for call in &order {
        match call.what {
            What::Wrote { value, expected } => {
                assert!(call.revision > written, "two writes have one revision: {call:?}");
                written = call.revision;
                let before = registers.insert(call.key, (value, call.revision));
                if let Some(expected) = expected {
                    assert_eq!(before.map_or(0, |(_, at)| at), expected, "a comparison lied: {call:?}");
                }
            }
            What::Saw { value, at } => {
                let expected = registers.get(&call.key).copied();
                assert_eq!(value.map(|value| (value, at)), expected, "a read is stale or early: {call:?}");
            }
        }
    }
    // Real time: what ended before a call began has no greater revision.
    let mut by_end = calls.to_vec();
    by_end.sort_by_key(|call| call.ended);
    let mut by_begin = calls.to_vec();
    by_begin.sort_by_key(|call| call.begun);
    let (mut ended, mut newest) = (by_end.iter().peekable(), 0);
    for call in &by_begin {
        while let Some(earlier) = ended.next_if(|earlier| earlier.ended < call.begun) {
            newest = newest.max(earlier.revision);
        }
        assert!(call.revision >= newest, "a call went back in time: {call:?}");
    }
}
