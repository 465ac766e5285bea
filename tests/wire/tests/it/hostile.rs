//! Bodies that mean harm: each gets an answer, none a 5xx, and the server stays small.

use testkit::kube::KubeServer;
use wire::campaign::{Campaign, Struck};
use wire::seeds::Content;

/// How many mutated bodies each form gets.
const MUTATIONS: usize = 10_000;
/// How many requests are under way at a time.
const AT_ONCE: usize = 32;
/// What the server may have had resident at most: bodies of which 32 MiB are held and the rest waits
/// unread, 128 MiB of values, and what is made of them.
const MEMORY_MAX_KIB: u64 = 640 * 1024;

fn campaign(attack: impl AsyncFnOnce(&Campaign<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = KubeServer::start();
    runtime.block_on(async {
        let campaign = Campaign::start(&server).await.unwrap();
        attack(&campaign).await;
        campaign.check().await.unwrap();
        let memory = campaign.memory_max_kib().unwrap();
        println!("at most {memory} KiB were resident");
        assert!(memory < MEMORY_MAX_KIB, "{memory} KiB were resident");
    });
}

#[test]
fn mutated_bodies_are_answered() {
    campaign(async |campaign| {
        for content in Content::ALL {
            let tally = campaign.mutations(*content, MUTATIONS, AT_ONCE).await.unwrap();
            println!("{content:?}: by hundreds {:?}", tally.codes);
            assert!(tally.codes[2] + tally.codes[4] >= MUTATIONS, "{tally:?}");
        }
    });
}

#[test]
fn bombs_are_answered() {
    campaign(async |campaign| {
        let struck = campaign.bombs().await.unwrap();
        fine(&struck);
        for (name, code) in REFUSED {
            let of_name: Vec<_> =
                struck.iter().filter(|struck| struck.what.starts_with(&format!("{name} ("))).collect();
            assert!(!of_name.is_empty(), "no bomb is called {name}");
            of_name.iter().for_each(|struck| assert_eq!(struck.code, *code, "{struck:?}"));
        }
    });
}

/// What a limit stops, so that nothing is computed of it.
const REFUSED: &[(&str, u16)] = &[
    ("many empty containers", 413),
    ("many empty volumes", 413),
    ("many conditions", 413),
    ("empty containers", 413),
    ("empty volumes", 413),
    ("empty tolerations", 413),
    ("data twice", 413),
    ("many quantities", 413),
    ("many containers", 413),
    ("many annotations", 413),
    ("much data", 413),
    ("a body over the limit", 413),
    ("insertions at the front", 413),
    ("one key in braces", 400),
    ("brackets behind a tag", 400),
    ("brackets behind a text", 400),
    ("one key, line by line", 400),
    ("many short lines", 400),
    ("aliases of aliases", 400),
];

#[test]
fn what_is_as_deep_as_allowed_can_be_read() {
    campaign(async |campaign| {
        let refused = campaign.deep().await.unwrap();
        assert!(refused > 100, "{refused} levels are refused");
    });
}

#[test]
fn a_hundred_large_bodies_at_once_are_answered() {
    campaign(async |campaign| fine(&campaign.all_at_once(100).await.unwrap()));
}

#[track_caller]
fn fine(struck: &[Struck]) {
    for Struck { what, code, took, computed, said } in struck {
        let [took, computed] = [took, computed].map(|time| time.as_secs_f64() * 1e3);
        println!("{code} {took:>7.1} ms, computed {computed:>7.1} ms: {what}: {said}");
    }
    let wrong: Vec<&Struck> = struck.iter().filter(|struck| !struck.is_fine()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
