//! What the servers of one cluster have in common: the authorities, with their keys, and the key of service
//! accounts' tokens. Each makes its own certificates by them.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::files::Directory;
use super::make::{self, Pair};
use super::plan::Item;
use super::{KeyPair, PkiError, ServerNames, TOKEN_KEY, service_account_key};

/// The authorities, in the order of [`Item::ALL`].
const AUTHORITIES: [Item; 3] = [Item::ServerCa, Item::ClientCa, Item::FrontProxyCa];

/// What all servers of a cluster have in common.
#[derive(Clone, PartialEq, Eq)]
pub struct Common {
    authorities: [KeyPair; 3],
    service_account_key: String,
}

impl Common {
    /// What a directory holds, and new keys for what it lacks. Nothing is written.
    pub fn of_directory(directory: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let directory = Directory::open(directory)?;
        let found = |item: Item| {
            let found = Pair::read(&directory, item)?.filter(|pair| pair.known(item, None).is_some());
            match found {
                Some(pair) => Ok(pair.to_key_pair()),
                None => Ok(make::make(item, None, &ServerNames::default(), None, now)?.to_key_pair()),
            }
        };
        let [server, client, proxy] = AUTHORITIES;
        let authorities = [found(server)?, found(client)?, found(proxy)?];
        let service_account_key = match service_account_key::read(&directory)? {
            Some(key) => key,
            None => service_account_key::make()?,
        };
        Ok(Self { authorities, service_account_key })
    }

    /// Whether a directory has authorities, of whichever cluster.
    pub fn is_in(directory: &Path) -> bool {
        AUTHORITIES.iter().any(|item| directory.join(format!("{}.key", item.name())).exists())
    }

    /// The same with new authorities for those that end soon; none if none does.
    pub fn renewed(&self, now: Timestamp) -> Result<Option<Self>, PkiError> {
        let mut renewed = self.clone();
        for (item, pair) in AUTHORITIES.into_iter().zip(&mut renewed.authorities) {
            let old = Pair::of(pair.clone());
            if old.known(item, None).is_none_or(|known| now.as_second() >= known.renew_at()) {
                *pair = make::make(item, None, &ServerNames::default(), Some(&old), now)?.to_key_pair();
            }
        }
        Ok((renewed != *self).then_some(renewed))
    }

    /// For keeping: read again by [`Common::read`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = json!({"version": VERSION, "serviceAccountKey": self.service_account_key});
        for (item, pair) in AUTHORITIES.into_iter().zip(&self.authorities) {
            object[item.name()] = json!({"certificate": pair.certificate, "key": pair.key});
        }
        object.to_string().into_bytes()
    }

    /// What was kept; none if it is something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let object: Value = serde_json::from_slice(bytes).ok()?;
        if object.get("version")?.as_u64()? != VERSION {
            return None;
        }
        let authority = |item: Item| {
            let text = |name: &str| Some(object.get(item.name())?.get(name)?.as_str()?.to_owned());
            let pair = KeyPair { certificate: text("certificate")?, key: text("key")? };
            Pair::of(pair.clone()).known(item, None).map(|_| pair)
        };
        let [server, client, proxy] = AUTHORITIES;
        let service_account_key = object.get("serviceAccountKey")?.as_str()?.to_owned();
        service_account_key::check(&service_account_key).ok()?;
        Some(Self {
            authorities: [authority(server)?, authority(client)?, authority(proxy)?],
            service_account_key,
        })
    }

    /// An authority; none if the item is no authority.
    pub(super) fn authority(&self, item: Item) -> Option<Pair> {
        let at = AUTHORITIES.iter().position(|authority| *authority == item)?;
        self.authorities.get(at).cloned().map(Pair::of)
    }

    /// Lays the keys into a directory whose keys, if it has any, are those of this cluster.
    pub(super) fn install(&self, directory: &Directory) -> Result<(), PkiError> {
        for (item, pair) in AUTHORITIES.into_iter().zip(&self.authorities) {
            let there = Pair::read(directory, item)?.map(|pair| pair.to_key_pair());
            if let Some(there) = &there
                && !there.certificate.is_empty()
                && !continues(&pair.certificate, &there.certificate)
            {
                let path = directory.path(&format!("{}.crt", item.name()));
                return Err(PkiError::OtherCluster { path });
            }
        }
        for (item, pair) in AUTHORITIES.into_iter().zip(&self.authorities) {
            if Pair::read(directory, item)?.is_none_or(|there| there.to_key_pair() != *pair) {
                Pair::of(pair.clone()).write(directory, item)?;
            }
        }
        directory.write_if_other(TOKEN_KEY, &self.service_account_key)
    }

    pub(super) fn service_account_key(&self) -> &str {
        &self.service_account_key
    }
}

/// Whether a bundle has the newest certificate of another one: the authority is the same, or came after it.
fn continues(bundle: &str, earlier: &str) -> bool {
    let newest = earlier.split_inclusive(make::PEM_END).next().unwrap_or_default().trim();
    bundle.contains(newest)
}

/// Never the keys.
impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Common").field("authorities", &self.authorities).finish_non_exhaustive()
    }
}

const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_continues_what_it_carries_on() {
        let pem = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let (old, new) = (pem("old"), pem("new"));
        let both = format!("{new}{old}");
        assert!(continues(&old, &old) && continues(&both, &old) && continues(&both, &both));
        assert!(!continues(&old, &new) && !continues(&old, &both));
    }
}
