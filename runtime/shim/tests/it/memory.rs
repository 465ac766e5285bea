//! The OOM killer's work is recognised.

use std::collections::BTreeMap;
use std::io::Write;

use shim::ExitCause;
use shim::events::{Event, Journal, Reader, Teller};
use testkit::isolated;

use crate::rig::{Rig, kill_shim};

const LIMIT: u64 = 16 << 20;

fn rig(script: &str) -> Rig {
    let mut rig = Rig::shell(script);
    rig.config["linux"]["resources"]["memory"] = serde_json::json!({ "limit": LIMIT, "swap": LIMIT });
    rig
}

/// `tail` keeps all of a line that does not end.
const EATER: &str = "tail /dev/zero";

#[test]
fn cg_02_cg_03_oom_of_init_says_limit_peak_and_victim() {
    isolated(|| {
        let rig = rig(&format!("exec {EATER}"));
        let (mut client, started) = rig.run();
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(137), Some(9), true));
        let ExitCause::OomKilled { victim, limit, peak } = exit.cause else { panic!("{:?}", exit.cause) };
        assert_eq!(limit, Some(LIMIT));
        assert!(peak.is_some_and(|peak| peak > LIMIT / 2 && peak <= LIMIT), "{peak:?}");
        let victim = victim.unwrap();
        assert_eq!((victim.pid, victim.command.as_str()), (started.pid, "tail"));
        assert!(victim.oom_score_adj.is_some());
        rig.assert_clean();
    });
}

#[test]
fn cg_03_oom_of_a_child_is_told_when_it_ends_the_container() {
    isolated(|| {
        let rig = rig(&format!("{EATER}; exit $?"));
        let exit = rig.finish();
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (Some(137), None, true));
        assert!(matches!(exit.cause, ExitCause::OomKilled { limit: Some(LIMIT), .. }), "{exit:?}");
    });
}

/// Lets the shim tell of the container, and says how often the OOM killer's work was told.
fn teller(rig: &Rig) -> impl Fn() -> Vec<Event> {
    Teller::new(rig.dir.path(), BTreeMap::new()).write(&rig.record_dir()).unwrap();
    let journal = Journal::new(rig.dir.path());
    move || {
        let mut reader = Reader::open(journal.clone(), None, None, false).unwrap();
        let all = std::iter::from_fn(|| reader.next_event(None).unwrap());
        all.filter(|event| event.action == "oom").collect()
    }
}

#[test]
fn cg_03_cg_04_oom_of_a_child_that_init_survives_is_told_at_once_with_its_victim() {
    isolated(|| {
        let mut rig = rig(&format!("{EATER}; read x; {EATER}; read x; exit 3"));
        rig.stdin = shim::StdinMode::Open;
        let told = teller(&rig);
        let (mut client, started) = rig.run();
        let attached = client.attach(shim::StreamSet { stdin: true, ..Default::default() }).unwrap();
        let mut stdin = std::fs::File::from(attached.stdin.unwrap());
        for count in 1..=2 {
            testkit::wait_for("the kill to be told while it runs", || (told().len() == count).then_some(()));
            let status = client.status().unwrap();
            assert_eq!((status.oom_kills, status.exit), (count as u64, None));
            let known = shim::OomKills::read(&rig.record_dir());
            assert_eq!((known.count, known.kills.len()), (count as u64, count));
            let kill = known.kills.last().unwrap();
            assert_eq!(kill.limit, Some(LIMIT));
            assert!(kill.usage.is_some_and(|usage| usage > LIMIT / 2 && usage <= LIMIT), "{kill:?}");
            assert!(kill.anon.is_some_and(|anon| anon > LIMIT / 2) && kill.file.is_some(), "{kill:?}");
            let victim = kill.victim.as_ref().unwrap();
            assert_eq!((victim.command.as_str(), victim.oom_score_adj), ("tail", Some(0)));
            assert_ne!(victim.pid, started.pid);
            let event = told().pop().unwrap();
            assert_eq!(event.actor.attributes["pid"], victim.pid.to_string());
            stdin.write_all(b"\n").unwrap();
        }
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.oom_killed, exit.cause), (Some(3), true, ExitCause::Itself));
        assert_eq!(exit.oom_kills, shim::OomKills::read(&rig.record_dir()).kills);
        assert_eq!(told().len(), 2, "none is told again at the end");
    });
}

#[test]
fn cg_04_what_happened_while_no_shim_watched_is_told_by_the_next_one_or_at_the_end() {
    isolated(|| {
        let mut rig =
            rig(&format!("until [ -e /go ]; do sleep 0.01; done; {EATER}; touch /done; read x; exit 3"));
        rig.stdin = shim::StdinMode::Open;
        let told = teller(&rig);
        let (_, started) = rig.run();
        kill_shim(&rig, &started);
        std::fs::write(rig.dir.join("bundle/rootfs/go"), "").unwrap();
        testkit::wait_for("the kill", || rig.dir.join("bundle/rootfs/done").exists().then_some(()));
        assert_eq!(told().len(), 0);
        let (mut client, again) = rig.adopt_alive();
        testkit::wait_for("the kill to be told", || (told().len() == 1).then_some(()));
        assert_eq!(client.status().unwrap().oom_kills, 1);
        // The next one ends unwatched, and is not told again.
        kill_shim(&rig, &again);
        crate::rig::kill(started.pid);
        let exit = match rig.adopt().unwrap() {
            // Its zombie is still there.
            shim::Adopted::Alive(mut client, _) => client.wait().unwrap(),
            shim::Adopted::Ended(exit) => exit,
        };
        assert_eq!((exit.oom_killed, exit.oom_kills.len(), told().len()), (true, 1, 1));
    });
}
