//! `cargo xtask rpc`: `base/rpc/proto/*.proto` → committed Rust, without `protoc`.
//!
//! The compiler of protobuf is a feature of its own, so that nobody else waits for it to build.

use std::path::Path;

use anyhow::Result;

/// Writes `base/rpc/src/generated/`.
#[cfg(feature = "rpc")]
pub(crate) fn run(root: &Path) -> Result<()> {
    use anyhow::Context as _;

    let proto = root.join("base/rpc/proto");
    let target = root.join("base/rpc/src/generated");
    std::fs::create_dir_all(&target).with_context(|| format!("make {}", target.display()))?;
    for name in ["etcd.proto", "cri.proto"] {
        let files =
            protox::compile([proto.join(name)], [&proto]).with_context(|| format!("compile {name}"))?;
        let mut code =
            tonic_prost_build::configure().bytes(".").out_dir(&target).emit_rerun_if_changed(false);
        if name == "cri.proto" {
            // Maps in order, so that the same answer has the same bytes; credentials are shown nowhere.
            code = code.btree_map(".").skip_debug([".runtime.v1.AuthConfig"]);
        }
        code.compile_fds(files).with_context(|| format!("write {}", target.display()))?;
    }
    println!("{}", target.display());
    Ok(())
}

/// Runs itself again with the feature.
#[cfg(not(feature = "rpc"))]
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut command = crate::process::cargo();
    let args = ["run", "--quiet", "--package", "xtask", "--features", "rpc", "--", "rpc"];
    crate::process::run(command.current_dir(root).args(args))
}
