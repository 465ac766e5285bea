//! The words of a command line as docker's own parser reads them, spelled so that clap reads them alike.
//!
//! Docker's flags differ from clap's in what is written, not in what is meant: a flag may say `=false`, an
//! option takes the next word whatever that begins with, and an empty text is no text. Here each becomes
//! what clap knows; what is unknown stays as it is, for clap to say so.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::iter::Peekable;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::ptr;

use clap::{Arg, ArgAction, Command};
use engine::request::parse_bool;

/// Options whose empty value says something, or is as wrong as any other that is not valid.
const EMPTY_IS_A_VALUE: &[&str] =
    &["entrypoint", "memory", "memory_reservation", "memory_swap", "shm_size", "cpus", "pull", "kind"];

/// A flag's value that is neither true nor false.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid argument {value:?} for {flag:?} flag: strconv.ParseBool: parsing {value:?}: invalid syntax")]
pub(crate) struct NotABool {
    value: String,
    flag: String,
}

/// `args`, of which the first is the program's name, as `command` with `args_override_self` takes them.
pub(crate) fn normal(command: &Command, args: &[OsString]) -> Result<Vec<OsString>, NotABool> {
    let mut words = args.iter().map(OsString::as_os_str).peekable();
    let mut normal = Normal { level: command, said: Vec::with_capacity(args.len()), positionals: 0 };
    normal.said.extend(words.next().map(|program| (None, program.to_owned())));
    while let Some(word) = words.next() {
        if !normal.take(word, &mut words)? {
            normal.said.push((None, word.to_owned()));
            break;
        }
    }
    let rest = words.map(OsStr::to_owned);
    Ok(normal.said.into_iter().map(|(_, word)| word).chain(rest).collect())
}

struct Normal<'a> {
    /// The command whose options are being read.
    level: &'a Command,
    /// The words so far, each with the option that it gives.
    said: Vec<(Option<&'a Arg>, OsString)>,
    /// How many operands there were at this level.
    positionals: usize,
}

impl<'a> Normal<'a> {
    /// Takes one word, and the next where it is this one's value. False at the first that is not ours to
    /// read, as the command to run in a container.
    fn take<'w>(
        &mut self,
        word: &'w OsStr,
        words: &mut Peekable<impl Iterator<Item = &'w OsStr>>,
    ) -> Result<bool, NotABool> {
        match word.as_bytes() {
            b"--" => return Ok(false),
            [b'-', b'-', name @ ..] => self.long(word, name, words)?,
            [b'-', letters @ ..] if !letters.is_empty() => self.letters(word, letters, words)?,
            _ => return Ok(self.operand(word)),
        }
        Ok(true)
    }

    fn operand(&mut self, word: &OsStr) -> bool {
        if self.level.has_subcommands() {
            let Some(next) = self.level.find_subcommand(word) else { return false };
            (self.level, self.positionals) = (next, 0);
        } else {
            let place = self.level.get_positionals().enumerate();
            let place = place.take_while(|(at, _)| *at <= self.positionals).last();
            if place.is_some_and(|(_, arg)| arg.is_trailing_var_arg_set() || arg.is_last_set()) {
                return false;
            }
            self.positionals += 1;
        }
        self.said.push((None, word.to_owned()));
        true
    }

    fn long<'w>(
        &mut self,
        word: &OsStr,
        name: &[u8],
        words: &mut Peekable<impl Iterator<Item = &'w OsStr>>,
    ) -> Result<(), NotABool> {
        let end = name.iter().position(|byte| *byte == b'=');
        let (name, value) = match end {
            Some(end) => (&name[..end], Some(&name[end + 1..])),
            None => (name, None),
        };
        let known = std::str::from_utf8(name).ok().and_then(|name| long(self.level, name));
        let Some(arg) = known.filter(|arg| is_read(arg)) else {
            self.said.push((None, word.to_owned()));
            return Ok(());
        };
        let next = value.is_none() && takes_the_next(arg);
        let value = value.or_else(|| words.next_if(|_| next).map(OsStr::as_bytes));
        self.give(arg, [b"--", name].concat(), value)
    }

    /// `-it`, `-eA=1`, `-it=false`.
    fn letters<'w>(
        &mut self,
        word: &OsStr,
        letters: &[u8],
        words: &mut Peekable<impl Iterator<Item = &'w OsStr>>,
    ) -> Result<(), NotABool> {
        let mut rest = letters;
        while let [letter, after @ ..] = rest {
            let known = short(self.level, char::from(*letter)).filter(|arg| is_read(arg));
            let Some(arg) = known else {
                // One by one the letters mean the same; alone, the word is the user's own.
                let left = if rest.len() == letters.len() {
                    word.as_bytes().to_vec()
                } else {
                    [b"-", rest].concat()
                };
                self.said.push((None, OsString::from_vec(left)));
                return Ok(());
            };
            let attached = match after {
                [b'=', value @ ..] => Some(value),
                [_, ..] if takes_the_next(arg) => Some(after),
                _ => None,
            };
            let next = attached.is_none() && takes_the_next(arg);
            let value = attached.or_else(|| words.next_if(|_| next).map(OsStr::as_bytes));
            self.give(arg, vec![b'-', *letter], value)?;
            rest = if attached.is_some() || next { &[] } else { after };
        }
        Ok(())
    }

    /// Says that `arg`, named as in `name`, has this value.
    fn give(&mut self, arg: &'a Arg, mut name: Vec<u8>, value: Option<&[u8]>) -> Result<(), NotABool> {
        let Some(value) = value else {
            self.said.push((Some(arg), OsString::from_vec(name)));
            return Ok(());
        };
        let mut value = value;
        if is_flag(arg) || is_bool(arg) {
            let on = std::str::from_utf8(value).ok().and_then(parse_bool).ok_or_else(|| NotABool {
                value: String::from_utf8_lossy(value).into_owned(),
                flag: Flag(arg).to_string(),
            })?;
            if is_flag(arg) {
                self.forget(arg);
                self.said.extend(on.then(|| (Some(arg), OsString::from_vec(name))));
                return Ok(());
            }
            value = if on { b"true" } else { b"false" };
        }
        if value.is_empty() && empty_is_none(arg) {
            self.forget(arg);
            return Ok(());
        }
        name.push(b'=');
        name.extend(value);
        self.said.push((Some(arg), OsString::from_vec(name)));
        Ok(())
    }

    /// The last word about an option is that it is not given.
    fn forget(&mut self, arg: &Arg) {
        self.said.retain(|(said, _)| !said.is_some_and(|said| ptr::eq(said, arg)));
    }
}

/// An option's names as docker shows them: `-t, --tty`.
struct Flag<'a>(&'a Arg);

impl fmt::Display for Flag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.get_short(), self.0.get_long()) {
            (Some(letter), Some(name)) => write!(f, "-{letter}, --{name}"),
            (Some(letter), None) => write!(f, "-{letter}"),
            (None, name) => write!(f, "--{}", name.unwrap_or_default()),
        }
    }
}

fn long<'a>(level: &'a Command, name: &str) -> Option<&'a Arg> {
    let by_name = level.get_arguments().find(|arg| arg.get_long() == Some(name));
    let alias = |arg: &&Arg| arg.get_all_aliases().is_some_and(|all| all.contains(&name));
    by_name.or_else(|| level.get_arguments().find(alias))
}

fn short(level: &Command, letter: char) -> Option<&Arg> {
    let by_letter = level.get_arguments().find(|arg| arg.get_short() == Some(letter));
    let alias = |arg: &&Arg| arg.get_all_short_aliases().is_some_and(|all| all.contains(&letter));
    by_letter.or_else(|| level.get_arguments().find(alias))
}

/// A flag, or an option of at most one value.
fn is_read(arg: &Arg) -> bool {
    is_flag(arg) || arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.max_values() == 1)
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn takes_the_next(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

fn is_bool(arg: &Arg) -> bool {
    arg.get_action().takes_values() && arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

fn empty_is_none(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set)
        && arg.get_value_parser().type_id() == TypeId::of::<String>()
        && !EMPTY_IS_A_VALUE.contains(&arg.get_id().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(|word| OsString::from(word.trim_matches('\''))).collect()
    }

    /// `''` in `line` is an empty word.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let tree = crate::command();
        let said = normal(&tree, &words(&format!("strake {line}"))).unwrap();
        assert_eq!(said[1..].join(OsStr::new(" ")), OsStr::new(expected), "{line}");
        tree.try_get_matches_from(said).unwrap();
    }

    #[test]
    fn a_flag_may_have_a_value() {
        check("run --rm=true x", "run --rm x");
        check("run --rm=false --init=1 x", "run --init x");
        check("run --rm --rm=F x", "run x");
        check("run --rm=f --rm x", "run --rm x");
        check("run -it=false x", "run -i x");
        check("run -t=0 -i=T x", "run -i x");
        check("ps -a=true --size=false", "ps -a");
        check("rm -f=true x", "rm -f x");
        check("system prune --force=true", "system prune --force");
        check("run --sig-proxy=0 --sig-proxy x", "run --sig-proxy=false --sig-proxy x");
        check("commit -p=F x", "commit -p=false x");
        check("ps -a=true -a -q=false -q", "ps -a -a -q");
    }

    #[test]
    fn an_option_takes_the_next_word() {
        check("commit -m -note ex cj", "commit -m=-note ex cj");
        check("run -e -A=1 -l -x=1 --name -x x", "run -e=-A=1 -l=-x=1 --name=-x x");
        check("run --health-retries 1 -itv /a:/b x -v", "run --health-retries=1 -i -t -v=/a:/b x -v");
        check("run -v/a:/b -eA= -u=1 x", "run -v=/a:/b -e=A= -u=1 x");
        check("run --name -- -d x", "run --name=-- -d x");
        check("logs --tail -1 x", "logs --tail=-1 x");
        check("-D -l debug ps -n 3", "-D -l=debug ps -n=3");
    }

    #[test]
    fn an_empty_value_is_none() {
        check("run --ip= --platform '' --stop-signal= -w= x", "run x");
        check("run --name a --name= x", "run x");
        check("run --entrypoint= -m= x", "run --entrypoint= -m= x");
        check("run -e= --network= --label '' x", "run -e= --network= --label= x");
        check("exec -w '' g1 pwd", "exec g1 pwd");
    }

    #[test]
    fn the_last_one_wins() {
        let tree = crate::command();
        let args = normal(&tree, &words("strake run --rm --rm -m 64m -m 128m -i -i x")).unwrap();
        let matches = tree.try_get_matches_from(args).unwrap();
        let run = matches.subcommand_matches("run").unwrap();
        assert_eq!(run.get_one::<String>("memory").unwrap(), "128m");
        assert!(run.get_flag("rm") && run.get_flag("interactive"));
    }

    #[test]
    fn what_follows_the_image_is_not_ours() {
        check("run -i x sh -c --rm=false ''", "run -i x sh -c --rm=false ");
        check("exec c ls --privileged=false", "exec c ls --privileged=false");
        check("run -- x --rm=false", "run -- x --rm=false");
        check("top c -o pid --no=1", "top c -o pid --no=1");
        check("ns run --pid=true ps -t=false", "ns run --pid ps -t=false");
        check("container run -t=false x -i", "container run x -i");
    }

    #[test]
    fn neither_true_nor_false_is_said_in_dockers_words() {
        let tree = crate::command();
        let says = |line: &str| normal(&tree, &words(line)).unwrap_err().to_string();
        assert_eq!(
            says("strake run --rm=x y"),
            "invalid argument \"x\" for \"--rm\" flag: strconv.ParseBool: parsing \"x\": invalid syntax"
        );
        assert!(says("strake run -it=maybe y").contains("\"-t, --tty\" flag"));
        assert!(says("strake run --sig-proxy= y").contains("\"--sig-proxy\" flag"));
    }

    #[test]
    fn what_is_unknown_stays() {
        let tree = crate::command();
        for line in
            ["strake run --bogus=1 -m", "strake frob -a=1", "strake ps -aZ=1 --help", "strake run -Z=x y"]
        {
            let line = line.replace("-aZ", "-a -Z");
            assert_eq!(normal(&tree, &words(&line)).unwrap(), words(&line));
        }
    }
}
