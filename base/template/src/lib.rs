//! Go's text/template language, as far as users of docker's `--format` write it.
//!
//! Fields, variables, pipelines, `if`/`else if`/`else`, `range` (with `else`, `break`
//! and `continue`), `with`, comments, trim markers, Go's own functions and docker's
//! `json join split lower upper title pad truncate`. Data is JSON. There are no
//! templates within templates.

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;
mod types;

use serde_json::Value;

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

/// The template is wrong, or does not fit the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("template is not valid: {why}")]
    Syntax {
        /// Which rule it breaks.
        why: String,
    },
    /// It asks for what is not there.
    #[error("template cannot be filled in: there is no field {field}; those are: {known}")]
    NoField {
        /// The missing field.
        field: String,
        /// The fields that exist.
        known: String,
    },
    /// A function got something that it cannot take.
    #[error("template cannot be filled in: {function}: {why}")]
    Function {
        /// The function.
        function: String,
        /// What is wrong.
        why: String,
    },
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parse::parse(text)? })
    }

    /// Fills it in with `data`.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data)
    }

    /// The texts that are given to a method of the data itself, as in `{{.Label "key"}}`.
    pub fn arguments_of(&self, method: &str) -> Vec<String> {
        parse::arguments_of(&self.nodes, method)
    }

    /// The fields of the data itself that it prints, in order: what a table's heading needs.
    pub fn fields(&self) -> Vec<String> {
        parse::fields(&self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let data = json!({
            "Name": "/web", "ID": "0123456789abcdef", "Up": true, "Pid": 42, "Ratio": 0.5, "None": null,
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": null},
            "Mounts": [{"Source": "/a", "RW": true}, {"Source": "/b", "RW": false}],
            "Env": ["A=1", "B=2"], "Labels": {"org.x": "y"}, "State": {"Pid": 7, "Health": {"Log": []}, "Binds": null, "Labels": null},
        });
        let rendered = Template::parse(template).and_then(|t| t.render(&data));
        assert_eq!(rendered.as_deref(), Ok(expected), "{template}");
    }

    #[test]
    fn fields_and_text() {
        check("{{.Name}} is {{ .State.Pid }}!", "/web is 7!");
        check(
            "{{.}}",
            "map[Env:[A=1 B=2] ID:0123456789abcdef Labels:map[org.x:y] Mounts:[map[RW:true Source:/a] map[RW:false Source:/b]] Name:/web None:<nil> Pid:42 Ports:map[443/tcp:<nil> 80/tcp:[{0.0.0.0 8080}]] Ratio:0.5 State:map[Binds:<nil> Health:map[Log:[]] Labels:<nil> Pid:7] Up:true]",
        );
        check("{{$.Pid}} {{.None}} {{.Env}}", "42 <nil> [A=1 B=2]");
        check("a {{- /* gone */ -}} b", "ab");
        check("x  {{- .Pid -}}  y", "x42y");
        check(r#"{{"quoted \"x\"\n"}}{{`raw\n`}}"#, "quoted \"x\"\nraw\\n");
    }

    #[test]
    fn nothing_looks_as_in_docker() {
        // A map may lack a key, an index of it is the empty string.
        check("{{.Labels.nope}}|{{index .Labels \"nope\"}}|{{$.Labels.nope}}", "<no value>||<no value>");
        check("{{.State.Labels.a}}|{{index .State.Labels \"a\"}}", "<no value>|");
        check("{{.State.Binds}} {{.State.Labels}} {{json .State.Binds}}", "[] map[] null");
        check("{{index .Ports \"1/tcp\"}}", "<no value>");
    }

    #[test]
    fn structs_and_maps_look_as_in_go() {
        let bind = json!({"Type": "bind", "Source": "/a", "Destination": "/b", "Mode": "z", "RW": true, "Propagation": "rprivate"});
        let ran = json!({"Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
            "Dead": false, "Pid": 9, "ExitCode": 0, "Error": "", "StartedAt": "s", "FinishedAt": "f", "ExitCause": "ours"});
        let pools = json!([{"Subnet": "10.9.0.0/16", "Gateway": "10.9.0.1"}]);
        for (data, expected) in [
            (json!({"Name": "no", "MaximumRetryCount": 0}), "{no 0}"),
            (json!({"Type": "local", "Config": {"max-size": "8k"}}), "{local map[max-size:8k]}"),
            (json!({"Type": "local", "Config": {}}), "{local map[]}"),
            (
                json!({"80/tcp": [{"HostIp": "", "HostPort": "80"}], "9/udp": null}),
                "map[80/tcp:[{ 80}] 9/udp:<nil>]",
            ),
            (json!({"80/tcp": {}, "81/tcp": {}}), "map[80/tcp:{} 81/tcp:{}]"),
            (json!({"Labels": {}}), "map[Labels:map[]]"),
            (json!({"Type": "layers", "Layers": ["a", "b"]}), "{layers [a b]}"),
            (json!([bind]), "[{bind  /a /b  z true rprivate}]"),
            (
                json!({"Driver": "default", "Options": null, "Config": pools}),
                "{default map[] [{10.9.0.0/16  10.9.0.1 map[]}]}",
            ),
            (ran, "{running true false false false false 9 0  s f <nil>}"),
            (
                json!({"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}),
                "{/dev/a /dev/b r}",
            ),
            (json!([{"Name": "nofile", "Hard": 2, "Soft": 1}]), "[nofile=1:2]"),
            (
                json!([{"Path": "/dev/vda", "Rate": 1024}, {"Path": "/dev/vda", "Weight": 30}]),
                "[/dev/vda:1024 /dev/vda:30]",
            ),
            // Of the user's own keys some may be called as fields are.
            (json!({"Name": "a", "Type": "b"}), "map[Name:a Type:b]"),
        ] {
            let rendered = Template::parse("{{.}}").and_then(|template| template.render(&data));
            assert_eq!(rendered.as_deref(), Ok(expected), "{data}");
        }
    }

    #[test]
    fn what_json_leaves_out_is_a_field_all_the_same() {
        let data = json!({"IPAM": {"Config": [{"Subnet": "10.9.0.0/16"}]}, "State": {"Status": "created",
            "Running": false, "Paused": false, "Restarting": false, "OOMKilled": false, "Dead": false, "Pid": 0,
            "ExitCode": 0, "Error": "", "StartedAt": "", "FinishedAt": ""}});
        let render = |text: &str| Template::parse(text).and_then(|template| template.render(&data));
        let gateways = "{{range .IPAM.Config}}<{{.Gateway}}>{{.AuxiliaryAddresses}}{{end}}";
        assert_eq!(render(gateways).as_deref(), Ok("<>map[]"));
        let checked =
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}unchecked{{end}} {{.State.Health}}";
        assert_eq!(render(checked).as_deref(), Ok("unchecked <nil>"));
        assert!(render("{{.State.Health.Status}}").is_err());
        assert!(render("{{range .IPAM.Config}}{{.Nope}}{{end}}").is_err());
    }

    #[test]
    fn branches() {
        check("{{if .Up}}up{{else}}down{{end}}", "up");
        check("{{if .None}}a{{else if .Env}}b{{else}}c{{end}}", "b");
        check("{{if and .Up (eq .Pid 42)}}yes{{end}}", "yes");
        check("{{if or .None (not .Up)}}x{{else}}y{{end}}", "y");
        check("{{with .State}}{{.Pid}}{{$.Pid}}{{end}}", "742");
        check("{{with .None}}a{{else}}b{{end}}", "b");
        check("{{if ne .Name \"/web\"}}a{{else}}b{{end}} {{lt 1 2}} {{ge .Ratio 0.5}}", "b true true");
    }

    #[test]
    fn loops() {
        check("{{range .Mounts}}{{.Source}}{{if .RW}} rw{{end}};{{end}}", "/a rw;/b;");
        check("{{range $i, $e := .Env}}{{$i}}={{$e}} {{end}}", "0=A=1 1=B=2 ");
        check(
            "{{range $p, $b := .Ports}}{{$p}}:{{range $b}}{{.HostPort}}{{else}}-{{end}} {{end}}",
            "443/tcp:- 80/tcp:8080 ",
        );
        check("{{range .State.Health.Log}}x{{else}}none{{end}}", "none");
        check("{{range .Env}}{{if eq . \"B=2\"}}{{break}}{{end}}{{.}}{{end}}", "A=1");
        check("{{$n := 0}}{{range .Env}}{{$n = .}}{{end}}{{$n}}", "B=2");
        check("{{range 3}}{{.}}{{end}}", "012");
    }

    #[test]
    fn functions() {
        check("{{json .Env}} {{.Mounts | len}}", r#"["A=1","B=2"] 2"#);
        check(
            "{{index .Env 1}} {{index .Labels \"org.x\"}} {{(index (index .Ports \"80/tcp\") 0).HostPort}}",
            "B=2 y 8080",
        );
        check(
            "{{join .Env \", \"}} {{upper .Name}} {{.Name | printf \"%-6s|%q\" .Pid}}",
            "A=1, B=2 /WEB 42    |\"/web\"",
        );
        check("{{slice .ID 0 4}} {{truncate .ID 3}} {{title \"ab cd\"}} {{len .ID}}", "0123 012 Ab Cd 16");
        check(
            "{{printf \"%05d %x %t %v %.2f %5.1f%%\" 42 255 true .Env .Ratio 2.25}}",
            "00042 ff true [A=1 B=2] 0.50   2.2%",
        );
        check(
            "{{range split \"a,b\" \",\"}}<{{.}}>{{end}} {{println 1 \"x\"}}{{print 1 2 \"a\" \"b\" 3}}",
            "<a><b> 1 x\n1 2ab3",
        );
        check("{{html \"<a>\"}} {{urlquery \"a b&c\"}}", "&lt;a&gt; a+b%26c");
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| match Template::parse(text).and_then(|t| t.render(&json!({"A": 1, "B": {}})))
        {
            Ok(text) => panic!("{text}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            error("{{.Nmae}}"),
            "template cannot be filled in: there is no field Nmae; those are: A, B"
        );
        assert!(error("{{.A").contains("}}"));
        assert!(error("{{if .A}}").contains("end"));
        assert!(error("{{frob .A}}").contains("frob"));
        assert!(error("{{end}}").contains("end"));
        assert!(error("{{index .B}}{{index 1 2}}").contains("index"));
        assert!(error(&"{{(".repeat(5000)).contains("template is not valid"));
    }

    #[test]
    fn knows_what_its_methods_are_given() {
        let text = "{{.Label \"a.b\"}} {{if .X}}{{(.Label \"c\") | upper}}{{else}}{{.Labels}}{{end}}";
        assert_eq!(Template::parse(text).unwrap().arguments_of("Label"), ["a.b", "c"]);
    }

    #[test]
    fn knows_its_fields() {
        assert_eq!(
            Template::parse("{{.ID}}\t{{.Names | upper}} {{json .Ports}}").unwrap().fields(),
            ["ID", "Names", "Ports"]
        );
    }
}
