//! The same calls to Debian's plugins and to ours: the same kinds of answers.

use serde_json::{Value, json};
use testkit::{isolated, sh};

use super::{Plugin, Said, about, container, run};

/// The form of an answer: keys and kinds of values, without the values. A list stands for what
/// its members have.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), form(value))).collect(),
        Value::Array(list) => list.iter().map(form).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

/// Status and code: what a runtime decides by.
fn outcome(said: &Said) -> (i32, Value) {
    (said.status, said.json["code"].clone())
}

#[test]
fn nw_13_our_plugin_answers_as_debians_do() {
    isolated(|| {
        let (theirs, ours) = (Plugin::debian(), Plugin::ours());
        for version in ["0.3.1", "0.4.0", "1.0.0"] {
            let mut forms = Vec::new();
            for plugin in [&theirs, &ours] {
                let (netns, path) = container();
                let config = plugin.config(version);
                let added = plugin.about("ADD", &path, &config);
                assert_eq!(added.status, 0, "{version}: {added:?}");
                assert_eq!(added.json["cniVersion"], version);
                assert_eq!(added.json["interfaces"][2]["sandbox"], path.as_str());
                assert_eq!(added.json["ips"][0]["interface"], 2);
                let address = added.json["ips"][0]["address"].as_str().expect("an address");
                assert!(netns.sh("ip -brief address show eth0").contains(address));
                let gateway = added.json["ips"][0]["gateway"].as_str().expect("a gateway");
                assert!(netns.sh("ip route show default").contains(&format!("via {gateway} dev eth0")));
                let mac = added.json["interfaces"][2]["mac"].as_str().expect("an address");
                assert!(netns.sh("ip -brief link show eth0").contains(mac));
                let mut shape = form(&added.json);
                // Theirs leaves out the next hop of a route that is the address' gateway.
                shape["routes"][0].as_object_mut().expect("a route").remove("gw");
                let again = plugin.about("ADD", &path, &config);
                let mut with = config.clone();
                with["prevResult"] = added.json.clone();
                let checked = (version != "0.3.1").then(|| plugin.about("CHECK", &path, &with).status);
                let deleted: Vec<Said> = (0..2).map(|_| plugin.about("DEL", &path, &with)).collect();
                assert!(deleted.iter().all(|said| said.status == 0 && said.json.is_null()), "{deleted:?}");
                assert!(!netns.sh("ip -brief link").contains("eth0"), "the namespace lives on without it");
                forms.push((shape, outcome(&again), checked));
            }
            assert_eq!(forms[0], forms[1], "{version}");
        }
        assert_eq!(sh("ip -brief link show type veth").trim(), "");
    });
}

#[test]
fn nw_13_wrong_calls_have_the_same_codes() {
    isolated(|| {
        let (theirs, ours) = (Plugin::debian(), Plugin::ours());
        let (_netns, path) = container();
        let add = about("ADD", &path);
        let without = |name: &str| -> Vec<(&str, &str)> {
            add.iter().copied().filter(|(key, _)| *key != name).collect()
        };
        let with = |name: &'static str, value: &'static str| {
            let mut variables = without(name);
            variables.push((name, value));
            variables
        };
        let valid = |plugin: &Plugin| plugin.config("1.0.0").to_string();
        let calls: Vec<(&str, Vec<(&str, &str)>)> = vec![
            ("no id", without("CNI_CONTAINERID")),
            ("no namespace", without("CNI_NETNS")),
            ("no interface", without("CNI_IFNAME")),
            ("no path", without("CNI_PATH")),
            ("a wrong id", with("CNI_CONTAINERID", "-c1")),
            ("an id with a slash", with("CNI_CONTAINERID", "a/b")),
            ("a long interface", with("CNI_IFNAME", "0123456789abcdef")),
            ("a dotted interface", with("CNI_IFNAME", "..")),
            ("an interface with a space", with("CNI_IFNAME", "a b")),
            ("an unknown command", with("CNI_COMMAND", "FOO")),
            ("no such namespace", with("CNI_NETNS", "/no/where")),
            ("check without a result", with("CNI_COMMAND", "CHECK")),
        ];
        for (what, variables) in &calls {
            let (a, b) = (theirs.call(variables, &valid(&theirs)), ours.call(variables, &valid(&ours)));
            assert_eq!(outcome(&a), outcome(&b), "{what}: {a:?} {b:?}");
            if a.json["code"] == 4 {
                assert_eq!(a.json["msg"], b.json["msg"], "{what}");
            }
        }
        for config in [
            "nope",
            "",
            r#"{"cniVersion":"1.0.0"}"#,
            r#"{"cniVersion":"1.0.0","name":"-a"}"#,
            r#"{"cniVersion":"9.0.0","name":"a"}"#,
            r#"{"cniVersion":"x","name":"a"}"#,
            r#"{"cniVersion":1,"name":"a"}"#,
        ] {
            let (a, b) = (theirs.call(&add, config), ours.call(&add, config));
            assert_eq!(outcome(&a), outcome(&b), "{config}: {a:?} {b:?}");
        }
        let old = |plugin: &Plugin| plugin.about("CHECK", &path, &plugin.config("0.3.1"));
        assert_eq!(outcome(&old(&theirs)), outcome(&old(&ours)));
        // DEL without ADD, without a namespace, and with one that is gone.
        for netns in ["", "/no/where", &path] {
            let del = |plugin: &Plugin| plugin.about("DEL", netns, &plugin.config("1.0.0")).status;
            assert_eq!((del(&theirs), del(&ours)), (0, 0), "{netns:?}");
        }
        assert_eq!(sh("ip -brief link show type veth").trim(), "", "nothing is left of what was refused");
    });
}

#[test]
fn nw_13_ports_names_and_wishes_reach_the_network() {
    isolated(|| {
        let plugins = [Plugin::debian(), Plugin::ours()];
        let answers: Vec<String> = plugins
            .iter()
            .map(|plugin| {
                let (netns, path) = container();
                netns.serve_tcp(80, "web");
                let ports =
                    json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
                let mut config = plugin.config("1.0.0");
                config["dns"] = json!({"nameservers": ["192.0.2.53"], "search": ["example.org"]});
                if plugin.ports.is_none() {
                    config["runtimeConfig"] = ports.clone();
                }
                let added = plugin.about("ADD", &path, &config);
                assert_eq!(added.status, 0, "{added:?}");
                assert_eq!(added.json["dns"]["nameservers"][0], "192.0.2.53");
                let mut chained = json!({"cniVersion": "1.0.0", "name": "net", "type": "portmap"});
                chained["prevResult"] = added.json.clone();
                chained["runtimeConfig"] = ports;
                if let Some(portmap) = &plugin.ports {
                    assert_eq!(run(portmap, &about("ADD", &path), &chained.to_string()).status, 0);
                }
                let gateway = added.json["ips"][0]["gateway"].as_str().expect("a gateway");
                let host = std::net::SocketAddr::new(gateway.parse().expect("an address"), 8080);
                let said = testkit::ask(host).expect("published");
                if let Some(portmap) = &plugin.ports {
                    assert_eq!(run(portmap, &about("DEL", &path), &chained.to_string()).status, 0);
                }
                assert_eq!(plugin.about("DEL", &path, &config).status, 0);
                testkit::ask(host).expect_err("withdrawn");
                said.split(' ').next().expect("a word").to_owned()
            })
            .collect();
        assert_eq!(answers, ["web", "web"]);

        // An address and a hardware address by capability, and the address by CNI_ARGS.
        let ours = &plugins[1];
        let (netns, path) = container();
        let mut config = ours.config("1.1.0");
        config["runtimeConfig"] = json!({"ips": ["10.78.0.99"], "mac": "02:00:00:00:00:63"});
        let added = ours.about("ADD", &path, &config);
        assert_eq!(added.json["ips"][0]["address"], "10.78.0.99/24", "{added:?}");
        assert_eq!(added.json["interfaces"][2]["mtu"], 1500, "a field of 1.1.0");
        assert!(netns.sh("ip -brief link show eth0").contains("02:00:00:00:00:63"));
        assert_eq!(ours.about("DEL", &path, &config).status, 0);
        let mut variables = about("ADD", &path);
        variables.push(("CNI_ARGS", "IgnoreUnknown=1;IP=10.78.0.77;K8S_POD_NAME=web"));
        let added = ours.call(&variables, &ours.config("1.0.0").to_string());
        assert_eq!(added.json["ips"][0]["address"], "10.78.0.77/24", "{added:?}");
    });
}

#[test]
fn nw_13_check_gc_and_status_of_1_1() {
    isolated(|| {
        let ours = Plugin::ours();
        let config = ours.config("1.1.0");
        assert_eq!(ours.about("STATUS", "", &config).status, 0);
        let (netns, path) = container();
        let added = ours.about("ADD", &path, &config);
        let mut with = config.clone();
        with["prevResult"] = added.json;
        assert_eq!(ours.about("CHECK", &path, &with).status, 0);
        netns.sh("ip address flush dev eth0");
        let said = ours.about("CHECK", &path, &with);
        assert_eq!(outcome(&said), (1, json!(999)));
        assert!(
            said.json["msg"].as_str().expect("a text").contains("link eth0 has not its address"),
            "{said:?}"
        );

        // Who is not named is gone; without names nobody is.
        let gc = |valid: Value| {
            let mut config = config.clone();
            config["cni.dev/valid-attachments"] = valid;
            ours.about("GC", "", &config)
        };
        assert_eq!(outcome(&ours.about("GC", "", &config)), (1, json!(7)));
        assert_eq!(gc(json!([{"containerID": "c1", "ifname": "eth0"}])).status, 0);
        assert!(netns.sh("ip -brief link").contains("eth0"));
        assert_eq!(gc(json!([{"containerID": "c1", "ifname": "eth1"}])).status, 0);
        assert!(!netns.sh("ip -brief link").contains("eth0"));
        assert_eq!(outcome(&ours.about("CHECK", &path, &with)), (1, json!(3)));

        // A network that is changed while somebody is in it says so; STATUS too.
        assert_eq!(ours.about("ADD", &path, &config).status, 0);
        let mut changed = config.clone();
        changed["subnet"] = "10.79.0.0/24".into();
        let (_other, other) = container();
        let mut variables = about("ADD", &other);
        variables[1].1 = "c2";
        assert_eq!(outcome(&ours.call(&variables, &changed.to_string())), (1, json!(7)));
        assert_eq!(outcome(&ours.about("STATUS", "", &changed)), (1, json!(7)));
        assert_eq!(ours.about("DEL", &path, &config).status, 0);
        assert_eq!(ours.call(&variables, &changed.to_string()).json["ips"][0]["address"], "10.79.0.2/24");

        // What we cannot do is refused, never ignored.
        let mut foreign = config.clone();
        foreign["ipam"] = json!({"type": "host-local"});
        assert_eq!(outcome(&ours.about("ADD", &path, &foreign)), (1, json!(2)));
        let host = ours.about("ADD", "/proc/self/ns/net", &config);
        assert_eq!(outcome(&host), (1, json!(8)), "the host is no container");
    });
}
