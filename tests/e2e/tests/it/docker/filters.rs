//! Filters of images and networks choose as docker documents them.

use serde_json::Value;
use testkit::{Strake, isolated, run};

use crate::sleeper;

fn list(strake: &Strake, args: &[&str], filters: &[&str]) -> String {
    let mut args = args.to_vec();
    args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
    // Without the host's own CNI networks.
    let mut command = strake.command(&args);
    let said = run(command.env("STRAKE_CNI_CONF_DIR", strake.home())).ok().to_owned();
    let mut lines: Vec<&str> = said.split_whitespace().collect();
    lines.sort_unstable();
    lines.join(" ")
}

#[test]
fn filters_of_images_and_their_prune() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--name", "base", "--network", "none", "busybox", "touch", "/made"]);
        let commit = |change: &str, name: &[&str]| {
            strake.ok(&[&["commit", "-c", change, "base"], name].concat());
        };
        commit("LABEL tier=front", &["team/web:1"]);
        commit("LABEL tier=back", &["team/db:2"]);
        commit("LABEL lost=yes", &[]);
        let images = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        for (filters, expected) in [
            (&["reference=team/*"][..], "team/db:2 team/web:1"),
            (&["reference=*/*:1"], "team/web:1"),
            (&["reference=busybox", "reference=team/db"], "busybox:latest team/db:2"),
            (&["label=tier"], "team/db:2 team/web:1"),
            (&["label=tier=back"], "team/db:2"),
            (&["dangling=true"], "<none>:<none>"),
            (&["dangling=false", "label=tier=front"], "team/web:1"),
            (&["since=team/web:1"], "<none>:<none> team/db:2"),
            (&["before=team/db:2", "reference=team/*"], "team/web:1"),
            (&["until=24h", "label=tier"], ""),
        ] {
            assert_eq!(list(&strake, &images, filters), expected, "{filters:?}");
        }
        for (filter, why) in [
            ("frob=1", "invalid filter 'frob=1'"),
            ("frob", "invalid filter 'frob'"),
            ("dangling=maybe", "invalid filter 'dangling=maybe'"),
            ("before=ghost", "ghost"),
        ] {
            strake.run(&["images", "-f", filter]).exits(1).says(why);
        }
        let prune = |filters: &[&str]| {
            list(&strake, &["image", "prune", "-a", "-f"], filters);
            list(&strake, &images, &[])
        };
        assert_eq!(prune(&["until=24h"]), "<none>:<none> busybox:latest team/db:2 team/web:1");
        assert_eq!(prune(&["label=tier=front"]), "<none>:<none> busybox:latest team/db:2");
        assert_eq!(prune(&["label!=tier"]), "busybox:latest team/db:2");
    });
}

#[test]
fn filters_of_networks_and_their_prune() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "--label", "tier=front", "--label", "keep", "web"]);
        strake.ok(&["network", "create", "--label", "tier=back", "website"]);
        let parent = ["link", "add", "parent0", "type", "veth", "peer", "name", "parent1"];
        run(std::process::Command::new("ip").args(parent)).ok();
        strake.ok(&[
            "network",
            "create",
            "-d",
            "macvlan",
            "-o",
            "parent=parent0",
            "--subnet",
            "10.61.0.0/24",
            "lan",
        ]);
        sleeper(&strake, "one", &["--network", "web"]);
        let shown: Value = serde_json::from_str(&strake.ok(&["network", "inspect", "website"])).unwrap();
        let id = format!("id={}", &shown[0]["Id"].as_str().unwrap()[..12]);
        let networks = ["network", "ls", "--format", "{{.Name}}"];
        for (filters, expected) in [
            (&["type=builtin"][..], "bridge host none"),
            (&["type=custom"], "lan web website"),
            (&["name=web"], "web website"),
            (&["name=^web$"], "web"),
            (&["name=lan", "name=host"], "host lan"),
            (&[&id], "website"),
            (&["driver=macvlan"], "lan"),
            (&["driver=bridge", "type=custom"], "web website"),
            (&["label=tier"], "web website"),
            (&["label=tier=front", "label=keep"], "web"),
            (&["dangling=true"], "lan website"),
            (&["dangling=false"], "web"),
            (&["scope=local", "type=builtin"], "bridge host none"),
            (&["scope=swarm"], ""),
        ] {
            assert_eq!(list(&strake, &networks, filters), expected, "{filters:?}");
        }
        for filter in ["frob=1", "frob", "dangling=maybe", "type=maybe"] {
            let said = strake.run(&["network", "ls", "-f", filter]);
            said.exits(1).says(&format!("invalid filter '{filter}'"));
        }
        let prune = |filters: &[&str]| {
            list(&strake, &["network", "prune", "-f"], filters);
            list(&strake, &networks, &["type=custom"])
        };
        assert_eq!(prune(&["until=24h"]), "lan web website");
        assert_eq!(prune(&["label!=tier"]), "web website");
        assert_eq!(prune(&["label=tier=front"]), "web website", "one in use stays");
        assert_eq!(prune(&["label=tier=back"]), "web");
    });
}
