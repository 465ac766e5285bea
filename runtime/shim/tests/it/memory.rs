//! The OOM killer's work is recognised.

use std::io::Write;

use shim::ExitCause;
use testkit::isolated;

use crate::rig::Rig;

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

#[test]
fn cg_04_oom_of_a_child_that_init_survives_is_noted_only() {
    isolated(|| {
        let mut rig = rig(&format!("{EATER}; read x; exit 3"));
        rig.stdin = shim::StdinMode::Open;
        let (mut client, _) = rig.run();
        testkit::wait_for("the kill to be told while it runs", || {
            (client.status().unwrap().oom_kills == 1).then_some(())
        });
        let attached = client.attach(shim::StreamSet { stdin: true, ..Default::default() }).unwrap();
        std::fs::File::from(attached.stdin.unwrap()).write_all(b"\n").unwrap();
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.oom_killed, exit.cause), (Some(3), true, ExitCause::Itself));
    });
}
