//! What `--help` and `--version` print, made from the tables of options, in the form of the
//! tools that people and engines know.

use crate::args::{COMMANDS, GLOBALS, Opt};
use crate::name::name;

/// `--version`, in the form that engines read.
pub(crate) fn version() -> String {
    format!(
        "{} version {}\ncommit: {}\nspec: {}\n",
        name(),
        env!("CARGO_PKG_VERSION"),
        option_env!("STRAKE_COMMIT").unwrap_or("not recorded in this build"),
        oci_runtime::state::STATE_VERSION
    )
}

/// Help for all, or for one command.
pub(crate) fn help(command: &str) -> String {
    match COMMANDS.iter().find(|spec| spec.name == command) {
        Some(spec) => {
            let title = format!("{} {} - {}", name(), spec.name, spec.help);
            let usage = format!("{} {} [command options] {}", name(), spec.name, spec.operands);
            let mut text = format!("NAME:\n   {title}\n\nUSAGE:\n   {}\n", usage.trim_end());
            options(&mut text, "OPTIONS", spec.options);
            text
        }
        None => {
            let mut text = format!(
                "NAME:\n   {0} - Open Container Initiative runtime\n\nUSAGE:\n   {0} [global options] command [command options] [arguments...]\n\nVERSION:\n   {1}\n\nCOMMANDS:\n",
                name(),
                env!("CARGO_PKG_VERSION"),
            );
            for spec in COMMANDS {
                text.push_str(&format!("   {:<10}  {}\n", spec.name, spec.help));
            }
            options(&mut text, "GLOBAL OPTIONS", GLOBALS);
            text
        }
    }
}

fn options(text: &mut String, title: &str, options: &[Opt]) {
    text.push_str(&format!("\n{title}:\n"));
    for opt in options {
        let value = opt.value.map(|value| format!(" {value}")).unwrap_or_default();
        let short = opt.short.map(|short| format!(", -{short}{value}")).unwrap_or_default();
        text.push_str(&format!("   {:<38}  {}\n", format!("--{}{value}{short}", opt.long), opt.help));
    }
    text.push_str(&format!("   {:<38}  {}\n", "--help, -h", "show help"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_name_and_usage() {
        for spec in COMMANDS {
            let text = help(spec.name);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "NAME:");
            assert!(lines[1].starts_with(&format!("   {} {} - ", name(), spec.name)), "{text}");
        }
        assert!(help("").contains("Open Container Initiative runtime"));
    }

    #[test]
    fn the_version_has_the_lines_that_engines_read() {
        let text = version();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(&format!("{} version ", name())), "{text}");
        assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: 1."), "{text}");
    }
}
