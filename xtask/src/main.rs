//! `cargo xtask`: all that is done with the workspace beside writing it.

// Progress and results of a developer's tool belong on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod apt;
mod bench;
mod binaries;
#[path = "../../bin/strake/src/carried.rs"]
#[allow(dead_code, reason = "strake reads, we append")]
mod carried;
mod codegen;
mod conformance;
mod demo;
mod docs;
mod guest;
mod install;
mod isolated;
mod layers;
mod process;
mod rows;
mod rpc;
mod sizes;
mod suite;
mod torture;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// A load generator allocates for each event: it must not be slower than what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tasks of the Strake workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build, then run a container from the built-in image, one from a real image, and explain it; or a cluster
    Demo(demo::Args),
    /// Install what the tests need, then format, lint, check layers and sizes, and run every test
    Test(suite::Args),
    /// Run the tests that need a kernel of their own, in a virtual machine
    Guest(guest::Args),
    /// Build the static binaries into target/dist
    Build,
    /// Lay the static binaries, man pages, completions and boot files down
    Install(install::Args),
    /// Check that crates lean only on lower floors (layers.toml)
    Layers,
    /// Check functions over 70 lines and files over 700 against the ratchet (sizes.toml)
    Sizes(sizes::Args),
    /// Write the command reference and docs/rows.md
    Docs(docs::Args),
    /// Run a test of endurance at full length
    Torture(torture::Args),
    /// Run a public suite, brought by path, on the reference and on ours
    Conformance(conformance::Args),
    /// Measure us against the peers and the kernel's floor
    Bench(bench::Args),
    /// Write kube-schema's table from Kubernetes' downloaded API description
    Codegen(codegen::Args),
    /// Write the code of base/rpc from its .proto files
    Rpc,
}

fn main() -> anyhow::Result<()> {
    let root = workspace();
    match Xtask::parse().task {
        Task::Demo(args) => demo::run(&root, &args),
        Task::Test(args) => suite::run(&root, &args),
        Task::Guest(args) => guest::run(&root, &args),
        Task::Build => binaries::build(&root).map(|built| println!("{}", built.dir.display())),
        Task::Install(args) => install::run(&root, &args),
        Task::Layers => layers::run(&root),
        Task::Sizes(args) => sizes::run(&root, &args),
        Task::Docs(args) => docs::run(&root, &args),
        Task::Torture(args) => torture::run(&root, &args),
        Task::Conformance(args) => conformance::run(&root, &args),
        Task::Bench(args) => bench::run(&root, &args),
        Task::Codegen(args) => codegen::run(&root, &args),
        Task::Rpc => rpc::run(&root),
    }
}

/// The workspace's root: xtask lies directly below it.
fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
