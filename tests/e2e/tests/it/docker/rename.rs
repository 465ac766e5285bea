//! `strake rename`: a container's name is its own, and changes whether it runs or not.

use testkit::{Strake, isolated};

use crate::sleeper;

#[test]
fn running_and_stopped_ones_get_another_name_by_the_rules_of_names() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none"]);
        let id = strake.ok(&["inspect", "-f", "{{.Id}}", "web"]);
        let name = |of: &str| strake.ok(&["inspect", "-f", "{{.Name}}", of]);
        strake.ok(&["create", "--name", "idle", "--network", "none", "busybox", "true"]);
        strake.ok(&["rename", "web", "front"]);
        assert_eq!(name("front"), "/front");
        strake.run(&["inspect", "web"]).exits(1).says("no such object: web");
        // By a short id, to a name with its slash; the old one is free for another.
        strake.ok(&["rename", &id[..12], "/back"]);
        strake.ok(&["rename", "idle", "web"]);
        assert_eq!([name("back"), name(&id), name("web")], ["/back", "/back", "/web"]);
        assert_eq!(strake.ok(&["exec", "back", "hostname"]), &id[..12], "inside nothing changes");

        let taken = format!("The container name \"/back\" is already in use by container \"{}", &id[..12]);
        strake.run(&["rename", "web", "back"]).exits(1).says(&taken);
        strake.run(&["rename", "web", "x"]).exits(1).says("Invalid container name (x)");
        strake.run(&["rename", "web", ""]).exits(1).says("Neither old nor new names may be empty");
        for same in ["web", "/web"] {
            let said = strake.run(&["rename", "web", same]);
            said.exits(1).says("Renaming a container with the same name as its current name");
        }
        strake.run(&["rename", "ghost", "spirit"]).exits(1).says("no such container: ghost");
        assert_eq!([name("back"), name("web")], ["/back", "/web"], "what was refused changed nothing");
        strake.run(&["create", "--name", "web", "busybox", "true"]).exits(1).says("already in use");
    });
}
