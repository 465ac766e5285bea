//! What the types are made with: records, which are JSON's objects, and words, its enumerations.
//!
//! Each `config.json` is read by the code that these make, so it is made small: a word is looked
//! up in a table by one function for all of them.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, Visitor};

/// A struct with its reading and writing, a reader and a setter for each field.
///
/// `needs` are fields that must be there, `fills` have their type's default when missing, `may` are
/// left out when `None`. `copy` gives a field's value, `by` a reference. A name in JSON is the
/// field's in camel case, or what stands behind `=`.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident
        $(needs { $($(#[doc = $ndoc:literal])+ $nhow:ident $nfield:ident $nset:ident: $nty:ty $(= $njson:literal)?;)* })?
        $(fills { $($(#[doc = $fdoc:literal])+ $fhow:ident $ffield:ident $fset:ident: $fty:ty $(= $fjson:literal)?;)* })?
        $(may { $($(#[doc = $odoc:literal])+ $ohow:ident $ofield:ident $oset:ident: $oty:ty $(= $ojson:literal)?;)* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($($(#[serde(rename = $njson)])? $nfield: $nty,)*)?
            $($($(#[serde(rename = $fjson)])? $ffield: $fty,)*)?
            $($(
                #[serde(skip_serializing_if = "Option::is_none")]
                $(#[serde(rename = $ojson)])?
                $ofield: Option<$oty>,
            )*)?
        }

        impl $name {
            $($($crate::runtime::forms::field! { [$($ndoc)+] $nhow $nfield $nset: $nty })*)?
            $($($crate::runtime::forms::field! { [$($fdoc)+] $fhow $ffield $fset: $fty })*)?
            $($($crate::runtime::forms::field! { [$($odoc)+] $ohow $ofield $oset: Option<$oty> })*)?
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object, ", stringify!($name)))
                    }

                    #[allow(unused_mut, unused_assignments, reason = "not every record needs a field")]
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut record = $name::default();
                        $($(let mut $nfield = false;)*)?
                        while let Some(name) = map.next_key_seed($crate::runtime::forms::Name)? {
                            let name = name.as_str();
                            $($(if $crate::runtime::forms::is!(name, $nfield $($njson)?) {
                                record.$nfield = map.next_value()?;
                                $nfield = true;
                                continue;
                            })*)?
                            $($(if $crate::runtime::forms::is!(name, $ffield $($fjson)?) {
                                record.$ffield = map.next_value()?;
                                continue;
                            })*)?
                            $($(if $crate::runtime::forms::is!(name, $ofield $($ojson)?) {
                                record.$ofield = map.next_value()?;
                                continue;
                            })*)?
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                        $($(if !$nfield {
                            let missing = $crate::runtime::forms::name!($nfield $($njson)?);
                            return Err(serde::de::Error::missing_field(missing));
                        })*)?
                        Ok(record)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

/// A field's name as it is told.
macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $json:literal) => {
        $json
    };
}

/// Whether `name` is the field's in JSON.
macro_rules! is {
    ($name:ident, $field:ident) => {
        $crate::runtime::forms::is_camel($name, stringify!($field))
    };
    ($name:ident, $field:ident $json:literal) => {
        $name == $json
    };
}

/// The reader and the setter of one field.
macro_rules! field {
    ([$($doc:literal)+] copy $field:ident $set:ident: $ty:ty) => {
        $(#[doc = $doc])+
        pub fn $field(&self) -> $ty {
            self.$field
        }
        $crate::runtime::forms::field! { $field $set: $ty }
    };
    ([$($doc:literal)+] by $field:ident $set:ident: $ty:ty) => {
        $(#[doc = $doc])+
        pub fn $field(&self) -> &$ty {
            &self.$field
        }
        $crate::runtime::forms::field! { $field $set: $ty }
    };
    ($field:ident $set:ident: $ty:ty) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        pub fn $set(&mut self, value: $ty) -> &mut Self {
            self.$field = value;
            self
        }
    };
}

/// An enumeration whose variants are words in JSON; the first is the default.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $first:ident = $first_word:literal, $($variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            #[doc = concat!("`", $first_word, "`")]
            #[default]
            $first,
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl $name {
            const ALL: &[Self] = &[Self::$first, $(Self::$variant,)*];
            const WORDS: &[&str] = &[$first_word, $($word,)*];

            /// The word of the specification.
            pub fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::runtime::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let at = Self::WORDS.iter().position(|known| *known == word);
                at.map(|at| Self::ALL[at]).ok_or($crate::runtime::UnknownWord)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::runtime::forms::place(deserializer, Self::WORDS).map(|at| Self::ALL[at])
            }
        }
    };
}

pub(super) use {field, is, name, record, words};

/// Whether `name` is `field` in camel case.
pub(super) fn is_camel(name: &str, field: &str) -> bool {
    let mut left = name.bytes();
    let mut is_upper = false;
    for byte in field.bytes() {
        if byte == b'_' {
            is_upper = true;
            continue;
        }
        let wanted = if is_upper { byte.to_ascii_uppercase() } else { byte };
        is_upper = false;
        if left.next() != Some(wanted) {
            return false;
        }
    }
    left.next().is_none()
}

/// Reads a name; one that is longer than any field's is none of them.
pub(super) struct Name;

/// A name in place: nothing is allocated for it.
pub(super) struct Short {
    bytes: [u8; Self::LONGEST],
    len: usize,
}

impl Short {
    const LONGEST: usize = 32;

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Short;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Short, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Short;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Short, E> {
        let mut short = Short { bytes: [0; Short::LONGEST], len: 0 };
        if let Some(place) = short.bytes.get_mut(..name.len()) {
            place.copy_from_slice(name.as_bytes());
            short.len = name.len();
        }
        Ok(short)
    }
}

/// The place of a word in `words`.
pub(super) fn place<'de, D: Deserializer<'de>>(
    deserializer: D,
    words: &'static [&'static str],
) -> Result<usize, D::Error> {
    struct Words(&'static [&'static str]);

    impl Visitor<'_> for Words {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word of the specification")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<usize, E> {
            let at = self.0.iter().position(|known| *known == word);
            at.ok_or_else(|| E::unknown_variant(word, self.0))
        }
    }

    deserializer.deserialize_str(Words(words))
}
