//! `cargo xtask layers`: crates lean only on lower floors.
//!
//! `layers.toml` says who lives where. The check reads the resolved graph of
//! `cargo metadata`, dev-dependencies left out: tests may use everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::process::{cargo, read};

/// `layers.toml`.
#[derive(Deserialize)]
struct Layers {
    floors: BTreeMap<String, Vec<String>>,
    around: Around,
    beside: BTreeMap<String, Vec<String>>,
    never: BTreeMap<String, Vec<String>>,
    #[serde(rename = "unsafe")]
    may_unsafe: Around,
}

#[derive(Deserialize)]
struct Around {
    crates: Vec<String>,
}

/// Normal and build dependencies: package name → names it uses directly.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Checks the workspace at `root`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let layers: Layers =
        toml::from_str(&fs::read_to_string(root.join("layers.toml"))?).context("layers.toml")?;
    let metadata = read(cargo().current_dir(root).args(["metadata", "--format-version=1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let members = members(&metadata);
    let mut faults = check(&layers, &members.keys().cloned().collect(), &graph(&metadata));
    for (name, dir) in &members {
        if !layers.may_unsafe.crates.contains(name) && opens_unsafe(Path::new(dir))? {
            faults.push(format!("{name} opens `unsafe`: only {} may", layers.may_unsafe.crates.join(", ")));
        }
    }
    ensure!(faults.is_empty(), "layers:\n  {}", faults.join("\n  "));
    println!("layers: {} crates keep their floors", members.len());
    Ok(())
}

/// All faults, as sentences. Pure.
fn check(layers: &Layers, members: &BTreeSet<String>, graph: &Graph) -> Vec<String> {
    let mut floor_of = BTreeMap::new();
    for (floor, crates) in &layers.floors {
        floor_of.extend(crates.iter().map(|name| (name.as_str(), floor.parse::<u32>().unwrap_or(u32::MAX))));
    }
    let mut faults = Vec::new();
    for name in members {
        if layers.around.crates.contains(name) {
            continue;
        }
        let Some(floor) = floor_of.get(name.as_str()) else {
            faults.push(format!("{name} has no floor: add it to layers.toml"));
            continue;
        };
        for used in graph.get(name).into_iter().flatten().filter(|used| members.contains(*used)) {
            let beside = layers.beside.get(name).is_some_and(|beside| beside.contains(used));
            match floor_of.get(used.as_str()) {
                Some(below) if below < floor || (below == floor && beside) => {}
                Some(other) => faults.push(format!("{name} (floor {floor}) uses {used} (floor {other})")),
                None => faults.push(format!("{name} uses {used}, which stands around the house")),
            }
        }
        let reached = reachable(graph, name);
        for banned in layers.never.get(name).into_iter().flatten().filter(|banned| reached.contains(*banned))
        {
            faults.push(format!("{name} reaches {banned}, which layers.toml forbids it"));
        }
    }
    faults
}

fn reachable(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for used in graph.get(&name).into_iter().flatten() {
            if seen.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    seen
}

/// Workspace members: name → directory.
fn members(metadata: &Value) -> BTreeMap<String, String> {
    let ids: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| package["id"].as_str().is_some_and(|id| ids.contains(id)))
        .filter_map(|package| {
            let dir = package["manifest_path"].as_str()?.strip_suffix("/Cargo.toml")?;
            Some((package["name"].as_str()?.to_owned(), dir.to_owned()))
        })
        .collect()
}

fn graph(metadata: &Value) -> Graph {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let name_of: BTreeMap<&str, &str> =
        packages.filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let Some(name) = node["id"].as_str().and_then(|id| name_of.get(id)) else { continue };
        let uses = graph.entry((*name).to_owned()).or_default();
        for dep in node["deps"].as_array().into_iter().flatten() {
            let kinds = dep["dep_kinds"].as_array().into_iter().flatten();
            if kinds.into_iter().any(|kind| kind["kind"].as_str() != Some("dev"))
                && let Some(used) = dep["pkg"].as_str().and_then(|id| name_of.get(id))
            {
                uses.insert((*used).to_owned());
            }
        }
    }
    graph
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a source below `dir` lifts the workspace's ban on `unsafe`.
fn opens_unsafe(dir: &Path) -> Result<bool> {
    let key = concat!("allow(", "unsafe_code");
    for file in crate::sizes::sources(dir)? {
        if fs::read_to_string(&file)?.contains(key) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: &str = "
        floors.0 = ['base']
        floors.1 = ['sys', 'cgroup']
        floors.2 = ['runtime']
        around.crates = ['testkit']
        beside.cgroup = ['sys']
        never.runtime = ['tokio']
        unsafe.crates = ['sys']
    ";

    fn faults(edges: &[(&str, &str)]) -> Vec<String> {
        let layers = toml::from_str(LAYERS).unwrap();
        let members = ["base", "sys", "cgroup", "runtime", "testkit"].map(str::to_owned).into();
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        check(&layers, &members, &graph)
    }

    #[test]
    fn down_and_declared_beside_is_allowed() {
        assert!(
            faults(&[("runtime", "sys"), ("sys", "base"), ("cgroup", "sys"), ("testkit", "runtime")])
                .is_empty()
        );
    }

    #[test]
    fn up_undeclared_around_and_forbidden_are_faults() {
        assert_eq!(faults(&[("sys", "runtime")]), ["sys (floor 1) uses runtime (floor 2)"]);
        assert_eq!(faults(&[("sys", "cgroup")]), ["sys (floor 1) uses cgroup (floor 1)"]);
        assert_eq!(faults(&[("sys", "testkit")]), ["sys uses testkit, which stands around the house"]);
        let through = faults(&[("runtime", "x"), ("x", "tokio")]);
        assert_eq!(through, ["runtime reaches tokio, which layers.toml forbids it"]);
    }
}
