//! SIGKILL at every named point: what was promised by then holds, and adoption finishes.

use shim::{Adopted, Exit, FAILPOINTS};
use std::time::Duration;
use testkit::{isolated, wait_until};

use crate::rig::Rig;

/// From here on the record is there.
const RECORDED: &[&str] = &["shim.exit-recorded", "shim.waiters-answered", "shim.deleted", "shim.settled"];

#[test]
fn the_end_is_recorded_whatever_kills_the_shim() {
    isolated(|| {
        for failpoint in FAILPOINTS {
            let mut rig = Rig::shell("exit 17");
            rig.failpoint = Some((*failpoint).to_owned());
            let launched = rig.launch();
            // The shim dies somewhere in here; the container's end does not depend on it.
            if let Ok((mut client, _)) = launched {
                let _ = client.start();
                let _ = client.wait();
            }
            let dead = wait_until(Duration::from_secs(10), || !shim::is_alive(&rig.state_dir()));
            assert!(dead, "{failpoint}: the shim lives");
            let recorded = Exit::read(&rig.record_dir()).unwrap();
            if RECORDED.contains(failpoint) {
                assert_eq!(recorded.as_ref().and_then(|exit| exit.code), Some(17), "{failpoint}");
            } else {
                assert_eq!(recorded, None, "{failpoint}");
            }
            let exit = match rig.adopt().unwrap_or_else(|e| panic!("{failpoint}: {e}")) {
                Adopted::Ended(exit) => exit,
                Adopted::Alive(mut client, _) => {
                    if *failpoint == "shim.created" {
                        client.start().unwrap();
                    }
                    client.wait().unwrap()
                }
            };
            // Our test is the container's new parent and does not reap: its zombie tells.
            assert_eq!(exit.code, Some(17), "{failpoint}: {exit:?}");
            rig.assert_clean();
        }
    });
}
