//! What servers on one etcd share: the cluster's authorities and the key of its tokens, kept in the datastore,
//! sealed with a key that the servers' token makes.
//!
//! Whoever comes first puts them there, by a transaction that only succeeds where there is nothing; everybody
//! else takes what is there. They are in the datastore before anything of the cluster is, and authorities that
//! end are renewed there first, so that what the datastore holds is always what all servers go by.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth::pki::{Common, Seal, SealError};
use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};
use store::{Compare, KeyRange, Op, RangeRequest, Revision, Store, Txn, Want, Watch, WatchRequest};

use super::Args;
use crate::context::Context;
use crate::error::CliError;
use crate::files::write_secret;

/// What servers share, and the token that opens it.
pub(super) struct Shared {
    store: Arc<dyn Store>,
    token: Token,
    /// Where the token is kept for the next start.
    path: PathBuf,
    /// The key that the token made; making it takes its time.
    seal: Mutex<Option<Arc<Seal>>>,
}

/// The servers' token: whoever has it, and can read the datastore, is the cluster.
struct Token {
    text: String,
    from: Origin,
}

/// Where a token comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The operator gave it.
    Operator,
    /// An earlier start left it in the data directory.
    File,
    /// It was made just now.
    Here,
}

/// What is in the datastore.
struct Kept {
    sealed: Vec<u8>,
    revision: Revision,
}

impl Shared {
    /// For servers on a common store; with a store of its own a server shares nothing.
    pub(super) fn new(
        args: &Args,
        data: &Path,
        store: &Arc<dyn Store>,
        context: &Context,
    ) -> Result<Option<Arc<Self>>, CliError> {
        if args.store.is_empty() {
            return Ok(None);
        }
        let path = data.join(FILE_NAME);
        let token = Token::find(args, &path, context)?;
        if token.from == Origin::Operator && token.text.len() < LENGTH_LEAST {
            context.warn(format_args!(
                "the servers' token is short: who can read the datastore may guess it; `openssl rand -hex 16` makes a better one"
            ));
        }
        Ok(Some(Arc::new(Self { store: Arc::clone(store), token, path, seal: Mutex::default() })))
    }

    /// The keys of the cluster as all its servers have them now. Those of `directory`, or new ones, where the
    /// datastore has none yet; new authorities where they end soon. Blocks.
    pub(super) fn agree(&self, directory: &Path, now: Timestamp) -> Result<Common, CliError> {
        for _ in 0..ROUNDS_MAX {
            // In this order: the keys are there before any object is.
            let used = self.is_used()?;
            let next = match self.kept()? {
                None if used && !Common::is_in(directory) => return Err(keyless(directory)),
                None => self.first(directory, now)?,
                Some(kept) => self.later(&kept, now)?,
            };
            if let Some(common) = next {
                self.keep_token()?;
                return Ok(common);
            }
        }
        Err(CliError::message(
            "the cluster's keys in the datastore change all the time: start this server again",
        ))
    }

    /// Follows what is in the datastore from now on.
    pub(super) fn watch(&self) -> Result<Box<dyn Watch>, store::Error> {
        self.store.watch(WatchRequest::new(KeyRange::one(KEY)))
    }

    /// Nothing is there: puts the keys there, unless another server was faster.
    fn first(&self, directory: &Path, now: Timestamp) -> Result<Option<Common>, CliError> {
        let common = Common::of_directory(directory, now)?;
        let common = common.renewed(now)?.unwrap_or(common);
        let seal = Arc::new(Seal::new(&self.token.text)?);
        // Before them, or nobody could open them after a crash.
        self.keep_token()?;
        let done = self.put(&common, &seal, Revision(0))?;
        if !done && self.token.from == Origin::Here {
            // Another one's token opens what is there now.
            fs::remove_file(&self.path).map_err(|error| file_error("remove", &self.path, &error))?;
        }
        self.seal.lock().unwrap_or_else(PoisonError::into_inner).replace(seal);
        Ok(done.then_some(common))
    }

    /// Takes what is there; renews it in time, unless another server was faster.
    fn later(&self, kept: &Kept, now: Timestamp) -> Result<Option<Common>, CliError> {
        let seal = self.seal_of(&kept.sealed)?;
        let bytes = seal.open(&kept.sealed).map_err(|error| self.sealed_by_others(error))?;
        let common = Common::read(&bytes).ok_or_else(|| self.sealed_by_others(SealError::Form))?;
        match common.renewed(now)? {
            None => Ok(Some(common)),
            Some(renewed) => Ok(self.put(&renewed, &seal, kept.revision)?.then_some(renewed)),
        }
    }

    fn seal_of(&self, sealed: &[u8]) -> Result<Arc<Seal>, CliError> {
        let mut known = self.seal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = known.as_ref().filter(|seal| seal.is_of(sealed)) {
            return Ok(Arc::clone(seal));
        }
        let seal = Seal::of(sealed, &self.token.text).map_err(|error| self.sealed_by_others(error))?;
        Ok(Arc::clone(known.insert(Arc::new(seal))))
    }

    fn kept(&self) -> Result<Option<Kept>, store::Error> {
        let found = self.store.range(&RangeRequest::new(KeyRange::one(KEY)))?;
        let kept = found.kvs.into_iter().next();
        Ok(kept.map(|kv| Kept { sealed: kv.value.to_vec(), revision: kv.mod_revision }))
    }

    /// Whether the datastore has objects of a cluster.
    fn is_used(&self) -> Result<bool, store::Error> {
        let any = RangeRequest::new(KeyRange::prefix(OBJECTS)).limit(1).want(Want::Keys);
        Ok(!self.store.range(&any)?.kvs.is_empty())
    }

    /// Whether the keys could be put in the place of what was there at `revision`.
    fn put(&self, common: &Common, seal: &Seal, revision: Revision) -> Result<bool, CliError> {
        let sealed = seal.close(&common.to_bytes())?;
        let txn = Txn::when([Compare::mod_revision(KEY, revision)], [Op::put(KEY, sealed)]);
        Ok(self.store.txn(txn)?.succeeded)
    }

    fn keep_token(&self) -> Result<(), CliError> {
        let text = format!("{}\n", self.token.text);
        write_secret(&self.path, text.as_bytes()).map_err(|error| file_error("write", &self.path, &error))
    }

    fn sealed_by_others(&self, error: SealError) -> CliError {
        if error != SealError::Token {
            return CliError::message(format!("open the cluster's keys in the datastore: {error}"))
                .with_fix("start a server of the version that the others have");
        }
        let what = match self.token.from {
            Origin::Operator => "the token that was given is not the one".to_owned(),
            Origin::File => format!("the token in {} is not the one", self.path.display()),
            Origin::Here => "no token was given".to_owned(),
        };
        CliError::message(format!("{what}: the cluster in this datastore was started with a token")).with_fix(
            format!(
                "give its servers' token with --token or --token-file: each of them has it in the file \
                 {FILE_NAME} of its data directory"
            ),
        )
    }
}

impl Token {
    /// What the operator gave, what an earlier start left, or a new one.
    fn find(args: &Args, path: &Path, context: &Context) -> Result<Self, CliError> {
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| file_error("read", path, &error));
        let given = match (&args.token, &args.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => context.environment.variable("STRAKE_TOKEN").map(str::to_owned),
        };
        let (text, from) = match given {
            Some(text) => (text, Origin::Operator),
            None if path.exists() => (read(path)?, Origin::File),
            None => (random()?, Origin::Here),
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(CliError::message("the servers' token is empty")
                .with_fix("leave --token out and the first server makes one"));
        }
        Ok(Self { text, from })
    }
}

/// A token that nobody can guess.
fn random() -> Result<String, CliError> {
    let mut bytes = [0; 16];
    // The kernel gives so few bytes whole.
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(std::io::Error::from)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn keyless(directory: &Path) -> CliError {
    CliError::message("the datastore has a cluster whose keys no server has put there").with_fix(format!(
        "start the server first that has them, or copy its pki directory to {}",
        directory.display()
    ))
}

fn file_error(operation: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::message(format!("{operation} {}: {error}", path.display()))
}

/// In each server's data directory.
const FILE_NAME: &str = "server-token";
/// Where the sealed keys are, beside the objects.
const KEY: &str = "/strake/cluster-keys";
/// Before all objects' keys.
const OBJECTS: &str = "/registry/";
/// A shorter token is worth a warning.
const LENGTH_LEAST: usize = 16;
/// Each round that is lost is another server's success.
const ROUNDS_MAX: usize = 16;
