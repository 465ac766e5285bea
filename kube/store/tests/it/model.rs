//! The store against a map of every revision.

use std::collections::BTreeMap;

use store::{
    Compare, Error, Is, KeyRange, KeyValue, Op, OpResponse, Put, PutLease, RangeRequest, Revision, Store,
    Target, Txn, Want,
};

use crate::disk::Memory;
use crate::random::Random;
use crate::{all, open_on};

/// What the store must hold, at each revision.
pub(crate) struct Model {
    now: BTreeMap<Vec<u8>, KeyValue>,
    past: BTreeMap<u64, BTreeMap<Vec<u8>, KeyValue>>,
    revision: u64,
    compacted: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let past = BTreeMap::from([(1, BTreeMap::new())]);
        Self { now: BTreeMap::new(), past, revision: 1, compacted: 0 }
    }

    /// What is there now.
    pub(crate) fn values(&self) -> Vec<KeyValue> {
        self.now.values().cloned().collect()
    }

    fn put(&mut self, revision: u64, key: &str, value: &str) {
        let old = self.now.get(key.as_bytes());
        let kv = KeyValue {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            create_revision: old.map_or(Revision(revision), |old| old.create_revision),
            mod_revision: Revision(revision),
            version: old.map_or(1, |old| old.version + 1),
            lease: None,
        };
        self.now.insert(key.as_bytes().to_vec(), kv);
    }

    fn delete(&mut self, range: &KeyRange) -> usize {
        let before = self.now.len();
        self.now.retain(|key, _| !range.contains(key));
        before - self.now.len()
    }

    fn done(&mut self, revision: u64) {
        self.revision = revision;
        self.past.insert(revision, self.now.clone());
    }
}

fn key(random: &mut Random) -> String {
    format!("{}/{}", ["a", "b", "c"][random.below(3) as usize], random.below(8))
}

fn range(random: &mut Random) -> KeyRange {
    match random.below(4) {
        0 => KeyRange::one(key(random)),
        1 => KeyRange::prefix(["a/", "b/", "c"][random.below(3) as usize]),
        2 => KeyRange::between(key(random), key(random)),
        _ => KeyRange::from(key(random)),
    }
}

pub(crate) fn step(store: &dyn Store, model: &mut Model, random: &mut Random, number: usize) {
    let revision = model.revision + 1;
    let (name, value) = (key(random), format!("v{number}"));
    match random.below(8) {
        0..=2 => {
            assert_eq!(store.txn(Txn::put(name.clone(), value.clone())).unwrap().revision.0, revision);
            model.put(revision, &name, &value);
            model.done(revision);
        }
        3 => {
            let range = range(random);
            let response = store.txn(Txn::delete(range.clone())).unwrap();
            let deleted = model.delete(&range);
            assert_eq!(response.responses, [OpResponse::Delete { deleted, prev: vec![] }]);
            if deleted > 0 {
                model.done(revision);
            }
            assert_eq!(response.revision.0, model.revision);
        }
        4 => compare_and_put(store, model, random, &name, &value),
        5 => {
            let other = format!("{name}x");
            let ops = [Op::put(name.clone(), value.clone()), Op::put(other.clone(), value.clone())];
            assert_eq!(store.txn(Txn::ops(ops)).unwrap().revision.0, revision);
            model.put(revision, &name, &value);
            model.put(revision, &other, &value);
            model.done(revision);
        }
        6 => read(store, model, random),
        _ => {
            let at = model.compacted + random.below(model.revision - model.compacted + 2);
            match store.compact(Revision(at)) {
                Ok(()) => {
                    assert!(at > model.compacted && at <= model.revision);
                    model.compacted = at;
                }
                Err(Error::Compacted { .. }) => assert!(at <= model.compacted),
                Err(Error::Future { .. }) => assert!(at > model.revision),
                Err(error) => panic!("compact: {error}"),
            }
        }
    }
}

fn compare_and_put(store: &dyn Store, model: &mut Model, random: &mut Random, name: &str, value: &str) {
    let revision = model.revision + 1;
    let old = model.now.get(name.as_bytes()).cloned();
    let target = match random.below(4) {
        0 => Target::ModRevision(old.as_ref().map_or(Revision(0), |kv| kv.mod_revision)),
        1 => Target::CreateRevision(old.as_ref().map_or(Revision(0), |kv| kv.create_revision)),
        2 => Target::Version(old.as_ref().map_or(0, |kv| kv.version)),
        _ => Target::Value(old.as_ref().map_or("".into(), |kv| kv.value.clone())),
    };
    let is = [Is::Equal, Is::NotEqual, Is::Greater, Is::Less][random.below(4) as usize];
    let absent_value = old.is_none() && matches!(target, Target::Value(_));
    let holds = is == Is::Equal && !absent_value;
    let put = Put {
        key: name.to_owned().into(),
        value: Some(value.to_owned().into()),
        lease: PutLease::None,
        prev_kv: true,
    };
    let read = RangeRequest::new(KeyRange::one(name.to_owned()));
    let txn = Txn::when(
        [Compare { key: name.to_owned().into(), is, target }],
        [Op::Put(put), Op::Range(read.clone())],
    )
    .otherwise([Op::Range(read)]);
    let response = store.txn(txn).unwrap();
    assert_eq!(response.succeeded, holds);
    if holds {
        model.put(revision, name, value);
        model.done(revision);
        assert_eq!(response.responses[0], OpResponse::Put { prev: old });
    }
    let Some(OpResponse::Range(seen)) = response.responses.last() else { panic!("a read answers") };
    let expected: Vec<KeyValue> = model.now.get(name.as_bytes()).cloned().into_iter().collect();
    assert_eq!(seen.kvs, expected, "a transaction sees its own writes");
}

fn read(store: &dyn Store, model: &Model, random: &mut Random) {
    let at = random.below(model.revision + 2);
    let range = range(random);
    let limit = 1 + random.below(6) as usize;
    let request = RangeRequest::new(range.clone()).at(Revision(at)).limit(limit);
    let at = if at == 0 { model.revision } else { at };
    match store.range(&request) {
        Ok(response) => {
            assert!(at >= model.compacted && at <= model.revision);
            let expected: Vec<KeyValue> =
                model.past[&at].values().filter(|kv| range.contains(&kv.key)).cloned().collect();
            assert_eq!(response.count, expected.len());
            assert_eq!(response.more, expected.len() > limit);
            assert_eq!(response.kvs, expected[..limit.min(expected.len())]);
            assert_eq!(store.range(&request.want(Want::Count)).unwrap().count, expected.len());
        }
        Err(Error::Compacted { .. }) => assert!(at < model.compacted),
        Err(Error::Future { .. }) => assert!(at > model.revision),
        Err(error) => panic!("read: {error}"),
    }
}

#[test]
fn the_store_is_a_map_of_every_revision() {
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let disk = Memory::new();
        let mut model = Model::new();
        let mut store = open_on(&disk).unwrap();
        for number in 0..400 {
            step(&store, &mut model, &mut random, number);
            assert_eq!(store.revision().0, model.revision);
            if random.below(50) == 0 {
                drop(store);
                store = open_on(&disk).unwrap();
                assert_eq!((store.revision().0, store.compacted().0), (model.revision, model.compacted));
                for at in model.compacted.max(1)..=model.revision {
                    let seen = store.range(&RangeRequest::new(KeyRange::all()).at(Revision(at))).unwrap();
                    let expected: Vec<KeyValue> = model.past[&at].values().cloned().collect();
                    assert_eq!(seen.kvs, expected, "at {at}");
                }
            }
        }
        assert_eq!(all(&store), model.values());
    }
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let store = open_on(&Memory::new()).unwrap();
    store.txn(Txn::put("a", "1")).unwrap();
    refuses_what_is_wrong(&store);
    assert_eq!(all(&store).len(), 1);
    assert_eq!(store.txn(Txn::put("b", "1")).unwrap().revision, Revision(3));
}

/// Transactions with one thing wrong each; none changes anything.
pub(crate) fn refuses_what_is_wrong(store: &dyn Store) {
    let before = all(store);
    let keep = Put { key: "none".into(), value: None, lease: PutLease::None, prev_kv: false };
    let refused = [
        Txn::ops([Op::put("b", "1"), Op::put("b", "2")]),
        Txn::ops([Op::put("b", "1"), Op::delete(KeyRange::prefix("b"))]),
        Txn::ops([Op::put("b", "1"), Op::put("", "2")]),
        Txn::ops([Op::put("b", "1"), Op::put_leased("c", "2", store::LeaseId(7))]),
        Txn::ops([Op::put("b", "1"), Op::Put(keep)]),
        Txn::ops((0..129).map(|n| Op::put(format!("k{n}"), "")).collect::<Vec<_>>()),
        Txn::put("big", vec![0; store::TXN_BYTES_MAX + 1]),
    ];
    for txn in refused {
        let at = store.revision();
        store.txn(txn).unwrap_err();
        assert_eq!(store.revision(), at);
        assert_eq!(all(store), before);
    }
}

#[test]
fn a_put_can_keep_the_value() {
    let store = open_on(&Memory::new()).unwrap();
    store.txn(Txn::put("a", "1")).unwrap();
    let keep = Put { key: "a".into(), value: None, lease: PutLease::Keep, prev_kv: false };
    store.txn(Txn::ops([Op::Put(keep)])).unwrap();
    let kv = &all(&store)[0];
    assert_eq!((&kv.value[..], kv.version, kv.mod_revision), (&b"1"[..], 2, Revision(3)));
}
