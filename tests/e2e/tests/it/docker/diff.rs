//! `strake diff`.

use testkit::{Strake, isolated};

use crate::sleeper;

#[test]
fn shows_what_was_added_changed_and_deleted() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none"]);
        assert_eq!(strake.ok(&["diff", "web"]), "");
        let script = "mkdir /made && echo x > /made/file && echo y >> /etc/passwd && rm /etc/group";
        strake.ok(&["exec", "web", "sh", "-c", script]);
        let expected = "C /etc\nD /etc/group\nC /etc/passwd\nA /made\nA /made/file";
        assert_eq!(strake.ok(&["diff", "web"]), expected);
        // A directory that was deleted and made again hides what was in it.
        let script = "rm -rf /home && mkdir /home && touch /home/mine";
        strake.ok(&["exec", "web", "sh", "-c", script]);
        let all = strake.ok(&["container", "diff", "web"]);
        assert!(all.contains("C /home\nD /home/app\nA /home/mine"), "{all}");
        strake.ok(&["stop", "-t", "0", "web"]);
        assert_eq!(strake.ok(&["diff", "web"]), all);
        strake.run(&["diff", "nobody"]).exits(1).says("nobody");
    });
}
