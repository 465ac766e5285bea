//! `strake explain --diff A B`: what is different between two things.

use client::{Api as _, Call};
use controllers::known;
use engine::InspectOptions;
use explain::{Side, Style, View, compare, render_comparison};
use inspect::Proc;

use crate::commands::cluster::ask;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

/// Runs the command for the two `names`.
pub(super) fn run(
    names: &[String],
    (cluster, namespace): (&Cluster, &str),
    json: bool,
    context: &Context,
) -> Result<Status, CliError> {
    let [a, b] = names else {
        return Err(CliError::message("--diff takes two names: `strake explain --diff web db`"));
    };
    let side = |name: &str| match name.strip_prefix("pod/") {
        Some(pod) => of_pod(name, pod, namespace, cluster, context),
        None => of_engine(name, context),
    };
    let compared = compare(&side(a)?, &side(b)?);
    if json {
        context.print_line(serde_json::to_string_pretty(&compared)?)?;
    } else {
        let text = render_comparison(&compared, Style { width: None, colour: context.colour() });
        context.print(format_args!("{text}"))?;
    }
    Ok(Status::SUCCESS)
}

/// A container, or else an image.
fn of_engine(name: &str, context: &Context) -> Result<Side, CliError> {
    let engine = context.engine()?;
    match engine.find(name) {
        Ok(record) => {
            let document = engine.inspect(&record, InspectOptions::default())?;
            let side = Side::container(name, &document);
            let view = match record.lifecycle.pid() {
                // It may end while we look.
                Some(pid) => Proc::open().and_then(|proc| View::gather(&proc, pid)).ok(),
                None => None,
            };
            Ok(match view {
                Some(view) => side.with_view(&view),
                None => side,
            })
        }
        Err(error) if error.is_not_found() => {
            let images = engine.images()?;
            let image = images.try_find(name, None)?.ok_or_else(|| {
                CliError::message(format!("no such container or image: {name}")).with_fix(
                    "`strake ps -a` and `strake images` list what there is; pods are named pod/NAME",
                )
            })?;
            Ok(Side::image(name, &images.inspect(&image)?))
        }
        Err(error) => Err(error.into()),
    }
}

fn of_pod(
    name: &str,
    pod: &str,
    namespace: &str,
    cluster: &Cluster,
    context: &Context,
) -> Result<Side, CliError> {
    let api = cluster.client(context, "explain")?;
    let object = ask(async {
        let found = api.call(Call::get(known::pods(), namespace, pod)).await;
        found.map_err(|status| CliError::message(format!("get pod {namespace}/{pod}: {status}")))
    })?;
    Ok(Side::pod(name, &object))
}
