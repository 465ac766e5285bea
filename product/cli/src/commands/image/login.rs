//! `strake login`.

use std::io::{self, BufRead as _, Read as _};
use std::os::fd::AsFd as _;

use registry::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake login`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  strake login registry.example.com\n  cat token | strake login -u me --password-stdin registry.example.com"
)]
pub struct Args {
    /// The registry; docker.io when none
    #[arg(value_name = "SERVER", default_value = "docker.io")]
    pub server: String,
    /// Password or token; others can see it in the list of processes
    #[arg(short = 'p', long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    /// User name
    #[arg(short = 'u', long, value_name = "NAME")]
    pub username: Option<String>,
}

impl std::fmt::Debug for Args {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("server", &self.server)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let server = registry_name(&args.server);
    if args.password_stdin && args.username.is_none() {
        return Err(CliError::message("--password-stdin needs --username too"));
    }
    if args.username.is_none() && args.password.is_none() {
        // Docker's way: what is known is tried before anyone is asked.
        if let Ok(Some(_)) = images.login_again(&server) {
            context.say("Authenticating with existing credentials...");
            context.print_line("Login Succeeded")?;
            return Ok(Status::SUCCESS);
        }
    }
    let username = match &args.username {
        Some(username) => username.clone(),
        None => ask(context, "Username: ")?,
    };
    if args.password.is_some() {
        context.say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let password = password(args, context)?;
    if username.is_empty() || password.expose().is_empty() {
        return Err(CliError::message("user name and password must not be empty"));
    }
    let done = images.login(&server, &username, &password)?;
    if done.plain_http {
        context.warn(format_args!(
            "{server} was spoken to without TLS: the password went over the network in clear"
        ));
    }
    if let (Some(place), false) = (&done.kept_in, done.by_helper) {
        context.say(format_args!("WARNING! Your password will be stored unencrypted in {place}."));
        context.say("Configure a credential helper (credsStore in that file) to remove this warning.");
    }
    context.print_line("Login Succeeded")?;
    Ok(Status::SUCCESS)
}

/// People give addresses where a name is meant.
pub(super) fn registry_name(server: &str) -> String {
    let bare = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        name => name.to_owned(),
    }
}

fn password(args: &Args, context: &Context) -> Result<Secret, CliError> {
    if let Some(password) = &args.password {
        return Ok(Secret::new(password.as_str()));
    }
    if args.password_stdin {
        let mut text = String::new();
        io::stdin().lock().take(PASSWORD_BYTES_MAX).read_to_string(&mut text)?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    if !context.stdin_is_terminal() {
        return Err(CliError::message("no terminal to ask for the password: use --password-stdin"));
    }
    let echo = Echo::off()?;
    let password = ask(context, "Password: ");
    drop(echo);
    context.say("");
    Ok(Secret::new(password?))
}

fn ask(context: &Context, question: &str) -> Result<String, CliError> {
    if !context.stdin_is_terminal() {
        return Err(CliError::message(
            "no terminal to ask for the user name: use --username and --password-stdin",
        ));
    }
    context.print_error_bytes(question.as_bytes())?;
    context.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// Longer than any token in use.
const PASSWORD_BYTES_MAX: u64 = 1 << 20;

/// The terminal does not show what is typed while this lives.
struct Echo(rustix::termios::Termios);

impl Echo {
    fn off() -> Result<Self, CliError> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_names() {
        for (server, name) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("http://localhost:5000/v2/", "localhost:5000"),
            ("r.example.com", "r.example.com"),
        ] {
            assert_eq!(registry_name(server), name);
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let args = Args {
            server: "r".to_owned(),
            password: Some("hunter2".to_owned()),
            password_stdin: false,
            username: Some("ann".to_owned()),
        };
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
