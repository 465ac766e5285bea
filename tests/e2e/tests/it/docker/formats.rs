//! `--format` and `--filter` of the lists, and how containers are named.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::{Strake, isolated};

use crate::sleeper;

fn fields(line: &str) -> Vec<String> {
    let row: BTreeMap<String, Value> =
        serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
    row.into_keys().collect()
}

/// Commands that list, the fields of an item, and one that stands in a table.
const LISTS: &[(&[&str], &[&str], &str)] = &[
    (
        &["ps"],
        &[
            "Command",
            "CreatedAt",
            "ID",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status",
        ],
        "Names",
    ),
    (
        &["images"],
        &[
            "Containers",
            "CreatedAt",
            "CreatedSince",
            "Digest",
            "ID",
            "Repository",
            "SharedSize",
            "Size",
            "Tag",
            "UniqueSize",
            "VirtualSize",
        ],
        "Repository",
    ),
    (
        &["volume", "ls"],
        &[
            "Availability",
            "Driver",
            "Group",
            "Labels",
            "Links",
            "Mountpoint",
            "Name",
            "Scope",
            "Size",
            "Status",
        ],
        "Driver",
    ),
    (
        &["stats", "--no-stream"],
        &["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"],
        "Name",
    ),
    (&["system", "df"], &["Active", "Reclaimable", "Size", "TotalCount", "Type"], "Type"),
];

#[test]
fn every_list_has_dockers_fields_as_json_and_as_a_table() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none", "-v", "data:/data"]);
        for (list, expected, column) in LISTS {
            let said = |format: &str| strake.ok(&[list, &["--format", format][..]].concat());
            let first = |format: &str| fields(said(format).lines().next().unwrap());
            let found = first("json");
            // The values say how long ago something was.
            assert_eq!(found, first("{{json .}}"), "{list:?}");
            for field in *expected {
                assert!(found.iter().any(|name| name == field), "{list:?} has no {field}: {found:?}");
            }
            let table = said(&format!("table {{{{.{column}}}}}\t{{{{len .{column}}}}}"));
            let heading = table.split_whitespace().next().unwrap();
            assert_eq!(heading, column.to_uppercase(), "{list:?}: {table}");
        }
        let event = strake.ok(&["events", "--since", "1h", "--until", "0s", "--format", "{{json .}}"]);
        let event: Value = serde_json::from_str(event.lines().next().unwrap()).unwrap();
        for field in ["Type", "Action", "Actor", "scope", "time", "timeNano"] {
            assert!(!event[field].is_null(), "{event}");
        }
    });
}

#[test]
fn templates_know_dockers_functions() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let labels = ["-l", "com.my-team=a", "-l", "b=x y"];
        sleeper(&strake, "web", &[&["--network", "none"], &labels[..]].concat());
        let ps = |format: &str| strake.run(&["ps", "--format", format]).stdout;
        for (format, expected) in [
            (r#"{{upper .Names}} {{lower "AB"}} {{title "a b"}}"#, "WEB ab A B\n"),
            (r#"{{join (split .Labels ",") "|"}}"#, "b=x y|com.my-team=a\n"),
            (r#"{{len .Names}} <{{pad .Names 1 2}}> {{truncate .Names 2}}"#, "3 < web  > we\n"),
            (r#"{{println .Names}}{{.Label "com.my-team"}}"#, "web\na\n"),
            (r#"{{if eq .State "running"}}up{{else}}down{{end}}"#, "up\n"),
            (r"{{.Names}}\t{{.State}}", "web\trunning\n"),
        ] {
            assert_eq!(ps(format), expected, "{format}");
        }
        let table = ps(r#"table {{.Names}}\t{{.Label "com.my-team"}}"#);
        assert_eq!(table, "NAMES     my team\nweb       a\n");
        let inspect = |format: &str| strake.ok(&["inspect", "-f", format, "web"]);
        assert_eq!(inspect(r#"{{index .Config.Labels "b"}}"#), "x y");
        assert_eq!(inspect("{{range $k, $v := .Config.Labels}}{{$k}};{{end}}"), "b;com.my-team;");
        assert_eq!(inspect("{{json .Config.Cmd}}"), r#"["sleep","3600"]"#);
        assert_eq!(inspect(r#"<{{.Config.Labels.nope}}><{{index .Config.Labels "no"}}>"#), "<<no value>><>");
        assert_eq!(inspect("{{.HostConfig.Binds}} {{.Config.Volumes}}"), "[] map[]");
        assert_eq!(inspect("{{.HostConfig.RestartPolicy}} {{.HostConfig.Ulimits}}"), "{no 0} []");
        assert_eq!(inspect("{{if .State.Health}}checked{{else}}not checked{{end}}"), "not checked");
        assert!(inspect("{{.State}}").starts_with("{running true false false false false "));
        let ports =
            ["create", "--name", "ports", "-p", "127.0.0.1:8080:80", "-v", "data:/d", "--expose", "81"];
        strake.ok(&[&ports[..], &["--ulimit", "nofile=1:2", "busybox", "true"]].concat());
        let inspect = |format: &str| strake.ok(&["inspect", "-f", format, "ports"]);
        assert_eq!(inspect("{{.HostConfig.PortBindings}}"), "map[80/tcp:[{127.0.0.1 8080}]]");
        assert_eq!(inspect("{{.Config.ExposedPorts}}"), "map[80/tcp:{} 81/tcp:{}]");
        assert_eq!(inspect("{{.HostConfig.Ulimits}}"), "[nofile=1:2]");
        assert!(inspect("{{.HostConfig.LogConfig}}").starts_with("{json-file map["));
        let mounts = inspect("{{.Mounts}}");
        assert!(
            mounts.starts_with("[{volume data /") && mounts.ends_with("/data/_data /d local  true }]"),
            "{mounts}"
        );
        strake.ok(&["network", "create", "--subnet", "10.9.0.0/24", "lab"]);
        let ipam = strake.ok(&["network", "inspect", "-f", "{{.IPAM}}", "lab"]);
        assert_eq!(ipam, "{default map[] [{10.9.0.0/24  10.9.0.1 map[]}]}");
        let events = ["events", "--since", "1h", "--until", "0s", "--format"];
        let codes = strake.ok(&[&events[..], &["{{.Actor.Attributes.exitCode}}"]].concat());
        assert!(codes.contains("<no value>"), "{codes}");
        strake.run(&["ps", "--format", "{{.Nope}}"]).exits(1).says("Nope");
        strake.run(&["ps", "--format", "{{frob .Names}}"]).exits(1).says("frob");
    });
}

#[test]
fn filters_of_ps_choose_as_docker_does() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web-1", &["--network", "none", "-l", "tier=front", "-v", "data:/data"]);
        sleeper(&strake, "web-2", &["-l", "tier=back", "--expose", "7000-7002/udp", "-p", "80"]);
        let failed = ["run", "--name", "failed", "--network", "none", "busybox", "sh", "-c", "exit 7"];
        strake.run(&failed).exits(7);
        strake.ok(&["tag", "busybox", "other:1"]);
        strake.ok(&["create", "--name", "made", "--network", "none", "other:1", "true"]);
        let published = strake.ok(&["port", "web-2", "80"]);
        let published = format!("publish={}", published.lines().next().unwrap().rsplit(':').next().unwrap());
        let id = strake.ok(&["ps", "-aq", "--no-trunc", "-f", "name=^made$"]);
        let by_id = format!("id={}", &id[..12]);
        for (filters, expected) in [
            (&["name=web"][..], "web-2 web-1"),
            (&["name=^web-[1]$"], "web-1"),
            (&["name=^/web-1$"], "web-1"),
            (&[&by_id], "made"),
            (&["label=tier"], "web-2 web-1"),
            (&["label=tier=back"], "web-2"),
            (&["status=created"], "made"),
            (&["status=exited", "status=running"], "failed web-2 web-1"),
            (&["exited=7"], "failed"),
            (&["volume=data"], "web-1"),
            (&["volume=/data"], "web-1"),
            (&["network=none", "label=tier"], "web-1"),
            (&["network=bridge"], "web-2"),
            (&[&published], "web-2"),
            (&["expose=7001/udp"], "web-2"),
            (&["expose=6999-7000/udp"], "web-2"),
            (&["expose=7001"], ""),
            (&["before=web-2"], "web-1"),
            (&["since=web-2"], "made failed"),
            (&["health=none", "name=made"], "made"),
            (&["ancestor=busybox", "name=web"], "web-2 web-1"),
        ] {
            let mut args = vec!["ps", "-a", "--format", "{{.Names}}"];
            args.extend(filters.iter().flat_map(|filter| ["-f", filter]));
            let said = strake.ok(&args);
            assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{filters:?}");
        }
        let names = |args: &[&str]| strake.ok(&[&["ps", "--format", "{{.Names}}"], args].concat());
        assert_eq!(names(&["-l"]), "made");
        assert_eq!(names(&["-n", "2"]), "made\nfailed");
        assert_eq!(strake.ok(&["ps", "-q", "--no-trunc"]).lines().next().unwrap().len(), 64);
        let sized = strake.ok(&["ps", "-s", "--format", "{{.Size}}", "-f", "name=web-1"]);
        assert!(sized.contains(" (virtual "), "{sized}");
        for (filter, text) in [
            ("frob=1", "invalid filter 'frob'"),
            ("frob", "bad format of filter (expected name=value)"),
            ("status=up", "invalid filter 'status=up'"),
            ("before=ghost", "no such container: ghost"),
        ] {
            strake.run(&["ps", "-f", filter]).exits(1).says(text);
        }
    });
}

#[test]
fn containers_are_named_by_dockers_rules_and_found_by_a_prefix() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let create =
            |name: &str| strake.run(&["create", "--name", name, "--network", "none", "busybox", "true"]);
        let first = create("first").ok().to_owned();
        create("first").exits(1).says("The container name \"/first\" is already in use by container");
        for bad in ["x", "_x", "a b", "ü", "x/y"] {
            let what = format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
            create(bad).exits(1).says(&what);
        }
        assert_eq!(strake.ok(&["inspect", "-f", "{{.Name}}", &first[..12]]), "/first");
        // Of seventeen ids two begin with the same digit.
        for number in 0..16 {
            create(&format!("more-{number}")).ok();
        }
        let ids = strake.ok(&["ps", "-aq", "--no-trunc"]);
        let mut heads: Vec<&str> = ids.lines().map(|id| &id[..1]).collect();
        heads.sort_unstable();
        let twice = heads.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0];
        let said = strake.run(&["start", twice]);
        said.exits(1).says(&format!("Multiple IDs found with provided prefix: {twice}"));
        strake.run(&["start", "ghost"]).exits(1).says("no such container: ghost");
    });
}
