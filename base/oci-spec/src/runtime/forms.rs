//! What the types are made with: records, which are JSON's objects, and words, its enumerations.
//!
//! Each `config.json` is read by the code that these make, so it is made small: a word is looked
//! up in a table by one function for all of them.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

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
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($($(#[serde(rename = $njson)])? $nfield: $nty,)*)?
            $($(#[serde(default)] $(#[serde(rename = $fjson)])? $ffield: $fty,)*)?
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

pub(super) use {field, record, words};

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
