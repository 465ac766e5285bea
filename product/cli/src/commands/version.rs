//! `strake version`.

use oci_spec::image::Platform;
use serde_json::{Value, json};
use template::Template;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake version`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake version\n  strake version --format '{{.Server.Version}}'\n\nClient and server are one program; docker's API is not served, and so has no version."
)]
pub struct Args {
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// The version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let facts = facts();
    match args.format.as_deref() {
        None | Some("") => context.print(format_args!("{}", text(&facts)))?,
        Some("json") => context.print_line(&facts)?,
        Some(text) => context.print_line(Template::parse(text)?.render(&facts)?)?,
    }
    Ok(Status::SUCCESS)
}

/// Docker's fields that mean something here.
fn facts() -> Value {
    let host = Platform::host();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let (os, arch) = (host.os, host.architecture);
    json!({
        "Client": {"Version": VERSION, "Os": os, "Arch": arch, "Context": "default"},
        "Server": {
            "Platform": {"Name": "strake"},
            "Components": [{"Name": "Engine", "Version": VERSION,
                "Details": {"Os": os, "Arch": arch, "KernelVersion": kernel, "Experimental": "false"}}],
            "Version": VERSION, "Os": os, "Arch": arch, "KernelVersion": kernel, "Experimental": false,
        },
    })
}

fn text(facts: &Value) -> String {
    let field = |pointer: &str| facts.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let platform = format!("{}/{}", field("/Client/Os"), field("/Client/Arch"));
    format!(
        "Client:\n Version:           {VERSION}\n OS/Arch:           {platform}\n Context:           default\n\n\
         Server:\n Engine:\n  Version:          {VERSION}\n  OS/Arch:          {platform}\n  \
         Kernel Version:   {}\n  Experimental:     false\n",
        field("/Server/KernelVersion")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sections_say_the_version() {
        let text = text(&facts());
        assert_eq!(text.matches(&format!("Version:          {VERSION}\n")).count(), 1, "{text}");
        assert_eq!(text.matches(&format!("Version:           {VERSION}\n")).count(), 1, "{text}");
        assert!(text.contains("OS/Arch:           linux/"), "{text}");
    }
}
