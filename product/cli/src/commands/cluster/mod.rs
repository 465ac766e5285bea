//! Parts of a cluster that run alone against any Kubernetes, and questions to one: all of them find the server
//! by a kubeconfig.

pub mod capacity;
mod certificates;
pub mod controllers;
pub mod dns;
pub mod proxy;
pub mod scheduler;

use tokio::sync::watch;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::files::host_name;
use crate::notices::{self, Notices};
use crate::signals::Ends;

/// Runs a part until a signal asks for its end.
pub(crate) fn serve<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    start: impl AsyncFnOnce(watch::Receiver<bool>, Notices) -> Result<F, CliError>,
    context: &Context,
) -> Result<Status, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build()?;
    let result = runtime.block_on(async {
        let mut ends = Ends::take()?;
        let (shutdown, ended) = watch::channel(false);
        let (notices, mut said) = notices::channel();
        let part = tokio::spawn(start(ended, notices).await?);
        context.say(format_args!("strake {name} runs"));
        tokio::select! {
            () = ends.wait() => {}
            never = said.pass_on(context) => match never {},
        }
        shutdown.send_replace(true);
        part.await.map_err(CliError::from)
    });
    runtime.shutdown_background();
    result.map(|()| Status::SUCCESS)
}

/// Waits for an answer.
pub(crate) fn ask<T>(question: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(question)
}

/// What this process calls itself beside others: the machine and the process.
pub(crate) fn identity() -> String {
    let host = host();
    format!("{host}_{}", std::process::id())
}

/// The machine's name.
pub(crate) fn host() -> String {
    host_name().unwrap_or_else(|| "localhost".to_owned())
}
