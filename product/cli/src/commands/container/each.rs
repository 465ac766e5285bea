//! A verb on each of several containers: one that fails does not keep the others from it.

use std::fmt::Display;

use engine::Engine;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Does `act` to each, one after the other; prints what it gives, or what went wrong.
pub(in crate::commands) fn each<T: Display>(
    context: &Context,
    names: &[String],
    mut act: impl FnMut(&str) -> Result<T, CliError>,
) -> Result<Status, CliError> {
    let mut status = Status::SUCCESS;
    for name in names {
        say(context, act(name), &mut status)?;
    }
    Ok(status)
}

/// Does `act`, which waits for containers, to all at once: ten that take their grace time
/// take it together. What it gives is printed in the order of the names.
pub(super) fn all_at_once<T: Display + Send>(
    context: &Context,
    names: &[String],
    act: impl Fn(&Engine, &str) -> Result<T, engine::Error> + Sync,
) -> Result<Status, CliError> {
    all_at_once_but(context, names, |_| false, act)
}

/// The same; what is `forgiven` is said, and no failure.
pub(super) fn all_at_once_but<T: Display + Send>(
    context: &Context,
    names: &[String],
    forgiven: impl Fn(&engine::Error) -> bool,
    act: impl Fn(&Engine, &str) -> Result<T, engine::Error> + Sync,
) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let act = &act;
    let mut status = Status::SUCCESS;
    let mut say = |done: Result<T, engine::Error>| match done {
        Err(error) if forgiven(&error) => say(context, Err::<T, _>(error.into()), &mut Status(0)),
        done => say(context, done.map_err(CliError::from), &mut status),
    };
    for some in names.chunks(AT_ONCE) {
        if let [name] = some {
            say(act(engine, name))?;
            continue;
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = some.iter().map(|name| scope.spawn(move || act(engine, name))).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(done) => say(done),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
    }
    Ok(status)
}

fn say<T: Display>(
    context: &Context,
    done: Result<T, CliError>,
    status: &mut Status,
) -> Result<(), CliError> {
    match done {
        Ok(line) => context.print_line(line),
        Err(error) => {
            context.say(format_args!("strake: {error}"));
            *status = Status::FAILURE;
            Ok(())
        }
    }
}

/// As many threads as docker's client takes.
const AT_ONCE: usize = 50;
