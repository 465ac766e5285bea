//! A wrong command line in one sentence: what is wrong, and which help tells more.

use std::error::Error as _;
use std::num::{IntErrorKind, ParseIntError};

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The sentence for `error`; `None` for what is help itself.
pub(crate) fn sentence(error: &Error) -> Option<String> {
    let what = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument => unknown(error),
        ErrorKind::InvalidSubcommand => {
            let name = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unknown command {name}{}", suggestion(error, ContextKind::SuggestedSubcommand))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => value(error),
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        ErrorKind::MissingRequiredArgument => {
            format!("{} is missing", list(error, ContextKind::InvalidArg).join(" "))
        }
        ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("{} is not complete", text(error, ContextKind::InvalidArg).unwrap_or_default())
        }
        _ => first_line(error),
    };
    // With a wrong value comes no usage; the sentence has said what is right.
    let hint = command(error).map(|command| format!("; `{command} --help` shows how it is used"));
    Some(what + &hint.unwrap_or_default())
}

fn unknown(error: &Error) -> String {
    let name = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let what = if name.starts_with('-') { "unknown option" } else { "unexpected argument" };
    format!("{what} {name}{}", suggestion(error, ContextKind::SuggestedArg))
}

fn value(error: &Error) -> String {
    let option = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let option = option.split(' ').next().unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let known = list(error, ContextKind::ValidValue);
    let why = match error.source() {
        Some(source) => source.downcast_ref().map_or_else(|| source.to_string(), number),
        None if known.is_empty() => "give it one".to_owned(),
        None => format!("use {}", any_of(&known)),
    };
    if value.is_empty() && error.kind() == ErrorKind::InvalidValue {
        return format!("{option} has no value: {why}");
    }
    format!("{option} {value:?} is not valid: {why}")
}

fn number(error: &ParseIntError) -> String {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "the number is too large".to_owned(),
        _ => "use a whole number".to_owned(),
    }
}

/// `always, missing or never`.
fn any_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn suggestion(error: &Error, kind: ContextKind) -> String {
    match list(error, kind).as_slice() {
        [] => String::new(),
        near => format!(" (did you mean {}?)", any_of(near)),
    }
}

fn list(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(all)) => all.clone(),
        _ => Vec::new(),
    }
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    list(error, kind).into_iter().next()
}

/// `strake image ls`, out of the usage line.
fn command(error: &Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return None };
    let usage = usage.to_string();
    let words = usage.split_whitespace().skip_while(|word| *word != "strake");
    let words: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn first_line(error: &Error) -> String {
    let rendered = error.render().to_string();
    let line = rendered.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], expected: &str) {
        let error = crate::command().try_get_matches_from([&["strake"], args].concat()).unwrap_err();
        assert_eq!(sentence(&error).unwrap(), expected);
    }

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        check(&["run", "--bogus", "x"], "unknown option --bogus; `strake run --help` shows how it is used");
        check(
            &["run", "--nam", "x", "y"],
            "unknown option --nam (did you mean --name?); `strake run --help` shows how it is used",
        );
        check(&["ps", "extra"], "unexpected argument extra; `strake ps --help` shows how it is used");
        check(&["run"], "<IMAGE> [COMMAND]... is missing; `strake run --help` shows how it is used");
        check(
            &["exec", "web"],
            "<CONTAINER> <COMMAND>... is not complete; `strake exec --help` shows how it is used",
        );
        check(
            &["run", "--pids-limit", "many", "x"],
            "--pids-limit \"many\" is not valid: use a whole number",
        );
        check(
            &["inspect", "--type", "soon", "x"],
            "--type \"soon\" is not valid: use container, image, network or volume",
        );
        check(&["run", "--name"], "--name has no value: give it one");
        check(&["image", "frob"], "unknown command frob; `strake image --help` shows how it is used");
        check(&["frob"], "unknown command frob; `strake --help` shows how it is used");
    }

    #[test]
    fn help_is_no_error() {
        let error = crate::command().try_get_matches_from(["strake", "run", "--help"]).unwrap_err();
        assert_eq!(sentence(&error), None);
    }
}
