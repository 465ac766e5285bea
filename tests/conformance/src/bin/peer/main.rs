//! `peer`: what runs in the pods of these tests where upstream's suite has agnhost.
//!
//! Servers that tell who answered and what was asked, a webhook, an aggregated API, and a client that asks them. It is
//! built beside the tests and put into an image with the libraries that it is linked with.

mod ask;
mod echo;
mod flunders;
mod guestbook;
mod health;
mod http;
mod porter;
mod review;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "use: peer serve [--http N] [--udp N] | porter [--json-response] | webhook | flunders | health PORT [SECONDS] | guestbook PORT [--front | --of HOST:PORT] \
                     | get [--ca FILE] [--token FILE] URL | dial http|udp HOST:PORT REQUEST TRIES";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(&args)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_wrong(&format!("peer: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let flag = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    let port = |name: &str, usual: u16| flag(name).map_or(Ok(usual), |text| text.parse());
    let ended = http::ended()?;
    let serving = async {
        match words[..] {
            ["serve", ..] => echo::run(port("--http", 8080)?, port("--udp", 8081)?).await,
            ["porter", ..] => porter::run(words.contains(&"--json-response")).await,
            ["webhook", ..] => http::serve_tls(8443, http::mounted()?, review::answer).await,
            ["flunders", ..] => flunders::run().await,
            ["health", port] => health::run(port.parse()?, None).await,
            ["health", port, seconds] => health::run(port.parse()?, Some(seconds.parse()?)).await,
            ["get", .., url] => ask::get(url, flag("--ca").copied(), flag("--token").copied()).await,
            ["guestbook", port, "--front"] => guestbook::front(port.parse()?).await,
            ["guestbook", port, ..] => {
                guestbook::back(port.parse()?, flag("--of").map(|of| (*of).to_owned())).await
            }
            ["dial", how, to, request, tries] => ask::dial(how, to, request, tries.parse()?).await,
            _ => bail!(USAGE),
        }
    };
    tokio::select! {
        result = serving => result,
        () = ended => Ok(()),
    }
}

/// Writes a line for `kubectl logs` and `kubectl exec`.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a line to standard error.
pub(crate) fn say_wrong(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
