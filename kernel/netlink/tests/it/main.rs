//! The codecs against the kernel, each test in its own network namespace; `ip` and `nft`
//! are the oracles.

mod conntrack;
mod nft;
mod route;

/// Runs a command line and gives its standard output.
fn sh(line: &str) -> String {
    let output = std::process::Command::new("sh").args(["-ec", line]).output().expect("sh");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
