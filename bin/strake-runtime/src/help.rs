//! What `--help` and `--version` print, made from the tables of options.

use crate::args::{COMMANDS, GLOBALS, Opt};

/// `--version`, in the form that engines read.
pub(crate) fn version() -> String {
    format!(
        "strake-runtime version {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        oci_runtime::state::STATE_VERSION
    )
}

/// Help for all, or for one command.
pub(crate) fn help(command: &str) -> String {
    let mut text = String::new();
    match COMMANDS.iter().find(|spec| spec.name == command) {
        Some(spec) => {
            text.push_str(&format!("strake-runtime {}: {}\n\n", spec.name, spec.help));
            text.push_str(&format!("Usage: strake-runtime {} [options] {}\n", spec.name, spec.operands));
            options(&mut text, spec.options);
        }
        None => {
            text.push_str(
                "An OCI container runtime.\n\nUsage: strake-runtime [global options] <command> [options]\n",
            );
            text.push_str("\nCommands:\n");
            for spec in COMMANDS {
                text.push_str(&format!("  {:<10} {}\n", spec.name, spec.help));
            }
            options(&mut text, GLOBALS);
        }
    }
    text
}

fn options(text: &mut String, options: &[Opt]) {
    if options.is_empty() {
        return;
    }
    text.push_str("\nOptions:\n");
    for opt in options {
        let short = opt.short.map(|short| format!("-{short}, ")).unwrap_or_else(|| "    ".to_owned());
        let value = opt.value.map(|value| format!(" {value}")).unwrap_or_default();
        text.push_str(&format!("  {:<34} {}\n", format!("{short}--{}{value}", opt.long), opt.help));
    }
}
