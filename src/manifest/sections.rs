//! The table of a section: its keys are declared once, with name, type, default, values and
//! meaning; reading, writing and keying are made of that.
//!
//! The rule: [`section!`] declares a spec in the order in which it is written and stored. Keys of
//! stages keep the order they always had, which the declaration says where it is another. It does
//! not know the structural sections (see `table`), nor checks that concern several keys.

use std::fmt;

use super::{
    document::{TomlNode, TomlValue, quoted, real},
    kind::{Key, ValueKind},
    reader::{FromNode, Misfit, Range, Section},
};
use crate::key::Sink;

/// What the value of a declared key can be.
pub(super) trait ManifestValue: Sized + Clone {
    /// Reads and checks it; what is wrong is noted, and reads as the default.
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self;

    /// The value as TOML writes it.
    fn toml(&self) -> String;

    /// Enters the key of a stage.
    fn enter(&self, name: &str, sink: &mut Sink);
}

/// A spec: what a section, or some of its keys, is read as.
pub(super) trait SectionSpec: Default {
    /// What the keys are about, as written in the source.
    const ABOUT: &'static str;
    /// The keys, in the order of the fields.
    const KEYS: &'static [Key];

    /// Reads every key of it; an absent one reads as in `default`.
    fn read(section: &Section<'_>, default: &Self) -> Self;

    /// Every key with its value as TOML writes it.
    fn written(&self) -> Vec<(&'static str, String)>;

    /// Reads a section that holds nothing else.
    fn read_whole(section: Section<'_>, default: &Self) -> Self {
        let read = Self::read(&section, default);
        section.finish();
        read
    }
}

/// Reads a value and checks it by `refuses`, which says what it must be.
fn checked<T>(
    section: &Section<'_>,
    key: &Key,
    default: T,
    refuses: impl Fn(T) -> Option<String>,
) -> T
where
    T: FromNode + Copy + std::fmt::Display,
{
    let found = section.read(key.last(), default);
    let Some(must) = refuses(found.value) else {
        return found.value;
    };
    let what = match key.kind {
        ValueKind::Rate => "the learning rate".to_owned(),
        _ => format!("`{}`", section.name(key.last())),
    };
    section.note(&found.place, format!("{what} is {}; {must}", found.value));
    default
}

impl ManifestValue for usize {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        checked(section, key, *default, |value| {
            key.kind.refuses_whole(value as u64)
        })
    }

    fn toml(&self) -> String {
        self.to_string()
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.u64(name, *self as u64);
    }
}

impl ManifestValue for u64 {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        checked(section, key, *default, |value| {
            key.kind.refuses_whole(value)
        })
    }

    fn toml(&self) -> String {
        self.to_string()
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.u64(name, *self);
    }
}

/// A number, or a list of names that are counted.
impl ManifestValue for u8 {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        let ListedCount(found) =
            checked(section, key, ListedCount(usize::from(*default)), |count| {
                key.kind.refuses_whole(count.0 as u64)
            });
        Self::try_from(found).expect("the bounds of its key are those of a byte")
    }

    fn toml(&self) -> String {
        self.to_string()
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.u64(name, u64::from(*self));
    }
}

/// A number of things, some of which are listed by name instead.
#[derive(Clone, Copy)]
struct ListedCount(usize);

impl fmt::Display for ListedCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromNode for ListedCount {
    fn from_node(node: &TomlNode) -> Result<Self, Misfit> {
        let is_name = |item: &TomlNode| matches!(item.value, TomlValue::Text(_));
        match &node.value {
            TomlValue::Array(items) if !items.is_empty() && items.iter().all(is_name) => {
                Ok(Self(items.len()))
            }
            _ => usize::from_node(node)
                .map(Self)
                .map_err(|_| "a whole number, or a list of names in quotes".into()),
        }
    }
}

impl ManifestValue for f64 {
    /// Every positive learning rate is accepted: a training that diverges reports it.
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        checked(section, key, *default, |value| match key.kind {
            ValueKind::Rate => (value <= 0.0).then(|| "it must be greater than 0".to_owned()),
            kind => kind.refuses_number(value),
        })
    }

    fn toml(&self) -> String {
        real(*self)
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.f64(name, *self);
    }
}

impl ManifestValue for Range {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        let found = section.read(key.last(), *default);
        let ValueKind::Range { least, most } = key.kind else {
            return found.value;
        };
        let name = section.name(key.last());
        let Self { low, high } = found.value;
        if low < least {
            let message = format!("`{name}` begins at {low}; it must be {least} or more");
            section.note(&found.place, message);
        }
        if high > most {
            let message = format!("`{name}` ends at {high}; it must be {most} or less");
            section.note(&found.place, message);
        }
        found.value
    }

    fn toml(&self) -> String {
        format!("[{}, {}]", real(self.low), real(self.high))
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.f64(&format!("{name}.low"), self.low);
        sink.f64(&format!("{name}.high"), self.high);
    }
}

impl ManifestValue for String {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        section.read(key.last(), default.clone()).value
    }

    fn toml(&self) -> String {
        quoted(self)
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        sink.text(name, self);
    }
}

/// A spec and the table of its keys, one line each: `name: type = default, values, keyed;`.
///
/// With `hashed [..]` the spec enters keys of stages, by its fields that are `keyed`: those in the
/// brackets first, then the others as declared. A new key comes last and is `keyed_if_set`: only a
/// value other than its default enters, so that the keys of older manifests stay as they were.
macro_rules! section {
    (
        $(#[$($meta:tt)+])+
        $name:ident { $($body:tt)+ }
        hashed [$($first:ident),* $(,)?]
    ) => {
        $crate::manifest::sections::section! {
            $(#[$($meta)+])+
            $name { $($body)+ }
        }
        $crate::manifest::sections::hashed! { $name [$($first),*] $($body)+ }
    };
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:ident),+ $(,)?)]
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $field:ident: $type:ty = $default:expr, $kind:expr, $keyed:ident;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive($($derive),+)]
        pub struct $name {
            $($(#[doc = $doc])+ $(#[serde($($serde)+)])? pub $field: $type,)+
        }

        /// What every manifest gets that says nothing else.
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $crate::manifest::sections::SectionSpec for $name {
            const ABOUT: &'static str = concat!($($about),+);

            const KEYS: &'static [$crate::manifest::Key] = &[
                $($crate::manifest::Key {
                    name: stringify!($field),
                    kind: $kind,
                    default: $crate::manifest::Fallback::Value(|| {
                        let default: $type = $default;
                        $crate::manifest::sections::ManifestValue::toml(&default)
                    }),
                    doc: concat!($($doc),+),
                    keyed: $crate::manifest::sections::keyed!($keyed),
                }),+
            ];

            fn read(
                section: &$crate::manifest::reader::Section<'_>,
                default: &Self,
            ) -> Self {
                let mut keys = Self::KEYS.iter();
                let mut next = || keys.next().expect("there is one key for each field");
                Self {
                    $($field: $crate::manifest::sections::ManifestValue::read(
                        section,
                        next(),
                        &default.$field,
                    )),+
                }
            }

            fn written(&self) -> Vec<(&'static str, String)> {
                vec![$((
                    stringify!($field),
                    $crate::manifest::sections::ManifestValue::toml(&self.$field),
                )),+]
            }
        }
    };
}

/// The fields of a spec in a stage's key; see [`section!`].
macro_rules! hashed {
    (
        $name:ident [$($first:ident),*]
        $(
            $(#[doc = $doc:literal])+
            $(#[serde($($serde:tt)+)])?
            $field:ident: $type:ty = $default:expr, $kind:expr, $keyed:ident;
        )+
    ) => {
        impl $crate::key::Keyed for $name {
            fn fields(&self, sink: &mut $crate::key::Sink) {
                const FIRST: &[&str] = &[$(stringify!($first)),*];
                $($crate::manifest::sections::ManifestValue::enter(
                    &self.$first,
                    stringify!($first),
                    sink,
                );)*
                $(
                    let later = !FIRST.contains(&stringify!($field));
                    if later
                        && $crate::manifest::sections::enters!(
                            $keyed, self.$field, $type, $default
                        )
                    {
                        $crate::manifest::sections::ManifestValue::enter(
                            &self.$field,
                            stringify!($field),
                            sink,
                        );
                    }
                )+
            }
        }
    };
}

/// Whether a field enters keys of stages.
macro_rules! keyed {
    (keyed) => {
        true
    };
    (keyed_if_set) => {
        true
    };
    (unkeyed) => {
        false
    };
}

/// Whether the value of a field enters keys of stages.
macro_rules! enters {
    (keyed_if_set, $value:expr, $type:ty, $default:expr) => {{
        let default: $type = $default;
        $value != default
    }};
    ($keyed:ident, $value:expr, $type:ty, $default:expr) => {
        $crate::manifest::sections::keyed!($keyed)
    };
}

pub(super) use {enters, hashed, keyed, section};
