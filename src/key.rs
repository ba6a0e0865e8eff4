//! Content keys: a canonical encoding, its BLAKE3 digest, and the explanation of that digest.
//!
//! The rule: the digest and its explanation come from the same walk over the inputs
//! ([`Keyed::fields`]), so what is printed about a key is what was hashed. A spec destructures
//! itself without `..`, so that a new field does not compile until it is entered or left out.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A BLAKE3 digest: the name of a stage, an artefact or a piece of data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Hash for Digest {
    /// The first bytes suffice: digests are uniformly distributed.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.first_bytes());
    }
}

impl Digest {
    /// The digest of plain bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first bytes as a number, a hash of the digest: digests are uniformly distributed.
    pub fn first_bytes(&self) -> u64 {
        let first = self.0.first_chunk().expect("there are 32");
        u64::from_le_bytes(*first)
    }

    /// The first twelve hexadecimal digits, for display.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| format!("`{text}` is not a digest of 64 hexadecimal digits"))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Something that can be part of a content key.
pub trait Keyed {
    /// Names every input to the sink, in an order that never depends on how the value was written.
    fn fields(&self, sink: &mut Sink);

    /// The digest of this value's fields.
    fn digest(&self) -> Digest {
        let mut sink = Sink::hashing();
        self.fields(&mut sink);
        sink.finish()
    }

    /// The inputs behind the digest, as `path = value` in the order they were hashed.
    fn explain(&self) -> Vec<Input> {
        let mut sink = Sink {
            explanation: Some(Explanation::default()),
            ..Sink::hashing()
        };
        self.fields(&mut sink);
        sink.explanation.unwrap_or_default().inputs
    }
}

/// One line of an explanation: the path of a field (`optimiser.lr`) and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Dotted path from the key's root.
    pub field: String,
    /// The value, printed.
    pub value: String,
}

#[derive(Default)]
struct Explanation {
    prefix: String,
    inputs: Vec<Input>,
}

/// Receives the fields of a key. Every field is written as name, type and value, each with its
/// length, so that no two different sequences of fields give the same bytes.
pub struct Sink {
    hasher: blake3::Hasher,
    explanation: Option<Explanation>,
}

impl Sink {
    fn hashing() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            explanation: None,
        }
    }

    fn finish(self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }

    fn put(&mut self, name: &str, tag: u8, bytes: &[u8]) {
        // One buffer per field: the hasher is much faster on one call than on five.
        let mut buffer = [0_u8; 192];
        let needed = 4 + name.len() + 1 + 4 + bytes.len();
        let header = |out: &mut [u8]| {
            let (n, rest) = (name.len(), 4 + name.len());
            out[..4].copy_from_slice(&length(n));
            out[4..rest].copy_from_slice(name.as_bytes());
            out[rest] = tag;
            out[rest + 1..rest + 5].copy_from_slice(&length(bytes.len()));
            out[rest + 5..rest + 5 + bytes.len()].copy_from_slice(bytes);
        };
        if needed <= buffer.len() {
            header(&mut buffer);
            self.hasher.update(&buffer[..needed]);
        } else {
            let mut heap = vec![0; needed];
            header(&mut heap);
            self.hasher.update(&heap);
        }
    }

    fn say(&mut self, name: &str, value: impl FnOnce() -> String) {
        if let Some(explanation) = &mut self.explanation {
            explanation.inputs.push(Input {
                field: format!("{}{name}", explanation.prefix),
                value: value(),
            });
        }
    }

    /// A whole number.
    pub fn u64(&mut self, name: &str, value: u64) {
        self.put(name, b'u', &value.to_le_bytes());
        self.say(name, || value.to_string());
    }

    /// A real number; `-0.0` counts as `0.0`.
    pub fn f64(&mut self, name: &str, value: f64) {
        debug_assert!(!value.is_nan(), "{name}: a key cannot hold NaN");
        let value = if value == 0.0 { 0.0 } else { value };
        self.put(name, b'f', &value.to_bits().to_le_bytes());
        self.say(name, || format!("{value:?}"));
    }

    /// A word: a name, a choice.
    pub fn text(&mut self, name: &str, value: &str) {
        self.put(name, b't', value.as_bytes());
        self.say(name, || value.to_owned());
    }

    /// A digest of something else: an image, a mask, an upstream stage.
    pub fn digest(&mut self, name: &str, value: &Digest) {
        self.put(name, b'd', value.as_bytes());
        self.say(name, || value.to_string());
    }

    /// Several digests whose order matters.
    pub fn digests<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a Digest>) {
        let values: Vec<&Digest> = values.into_iter().collect();
        let bytes: Vec<u8> = values.iter().flat_map(|d| *d.as_bytes()).collect();
        self.put(name, b'D', &bytes);
        for (i, value) in values.iter().enumerate() {
            self.say(&format!("{name}[{i}]"), || value.to_string());
        }
    }

    /// Several whole numbers whose order matters.
    pub fn numbers(&mut self, name: &str, values: &[u64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.put(name, b'U', &bytes);
        self.say(name, || format!("{values:?}"));
    }

    /// A nested group of fields, hashed on its own and entered by its digest.
    pub fn group(&mut self, name: &str, value: &impl Keyed) {
        self.put(name, b'g', value.digest().as_bytes());
        if let Some(mut explanation) = self.explanation.take() {
            let outer = explanation.prefix.len();
            explanation.prefix.push_str(name);
            explanation.prefix.push('.');
            // This walk is for the explanation; the group was hashed by its digest above.
            let mut inner = Sink {
                explanation: Some(explanation),
                ..Sink::hashing()
            };
            value.fields(&mut inner);
            let mut explanation = inner.explanation.unwrap_or_default();
            explanation.prefix.truncate(outer);
            self.explanation = Some(explanation);
        }
    }
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n)
        .expect("a key's field is shorter than 4 GiB")
        .to_le_bytes()
}

/// A value with its digest, computed once for the many keys that share it.
#[derive(Clone, Debug)]
pub struct Memo<T> {
    value: T,
    digest: Digest,
}

impl<T: Keyed> Memo<T> {
    /// Computes the digest.
    pub fn new(value: T) -> Self {
        let digest = value.digest();
        Self { value, digest }
    }
}

impl<T: Serialize> Serialize for Memo<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// The digest is computed from the value read.
impl<'de, T: Keyed + Deserialize<'de>> Deserialize<'de> for Memo<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

impl<T> std::ops::Deref for Memo<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Keyed> Keyed for Memo<T> {
    fn fields(&self, sink: &mut Sink) {
        self.value.fields(sink);
    }

    fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct InnerKey {
        steps: u64,
        lr: f64,
    }

    impl Keyed for InnerKey {
        fn fields(&self, sink: &mut Sink) {
            let Self { steps, lr } = self;
            sink.u64("steps", *steps);
            sink.f64("lr", *lr);
        }
    }

    struct OuterKey {
        inner: InnerKey,
        upstream: Digest,
    }

    impl Keyed for OuterKey {
        fn fields(&self, sink: &mut Sink) {
            let Self { inner, upstream } = self;
            sink.group("inner", inner);
            sink.digest("upstream", upstream);
        }
    }

    fn outer(steps: u64) -> OuterKey {
        OuterKey {
            inner: InnerKey { steps, lr: 1e-3 },
            upstream: Digest::of_bytes(b"weights"),
        }
    }

    #[test]
    fn the_explanation_names_every_hashed_field_with_its_path() {
        let inputs = outer(7).explain();
        let fields: Vec<_> = inputs.iter().map(|i| i.field.as_str()).collect();
        assert_eq!(fields, ["inner.steps", "inner.lr", "upstream"]);
        assert_eq!(inputs[1].value, "0.001");
    }

    #[test]
    fn a_changed_field_changes_the_digest_and_one_line_of_the_explanation() {
        let (a, b) = (outer(7), outer(8));
        assert_ne!(a.digest(), b.digest());
        let differing = std::iter::zip(a.explain(), b.explain())
            .filter(|(x, y)| x != y)
            .count();
        assert_eq!(differing, 1);
    }

    #[test]
    fn explaining_does_not_change_what_is_hashed() {
        struct Watched<'a>(&'a OuterKey, std::cell::Cell<Option<Digest>>);
        impl Keyed for Watched<'_> {
            fn fields(&self, sink: &mut Sink) {
                self.0.fields(sink);
                self.1.set(Some(Digest(*sink.hasher.finalize().as_bytes())));
            }
        }
        let outer = outer(7);
        let watched = Watched(&outer, std::cell::Cell::new(None));
        watched.explain();
        assert_eq!(watched.1.get(), Some(outer.digest()));
    }

    #[test]
    fn names_and_values_cannot_run_into_each_other() {
        struct Pair(&'static str, &'static str);
        impl Keyed for Pair {
            fn fields(&self, sink: &mut Sink) {
                sink.text(self.0, self.1);
            }
        }
        assert_ne!(Pair("ab", "c").digest(), Pair("a", "bc").digest());
    }

    #[test]
    fn long_and_short_fields_are_encoded_alike() {
        struct Text(String);
        impl Keyed for Text {
            fn fields(&self, sink: &mut Sink) {
                sink.text("t", &self.0);
            }
        }
        for n in [181, 182, 183, 184, 400] {
            let value = "x".repeat(n);
            let mut bytes = Vec::new();
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(b"tt");
            bytes.extend(u32::try_from(n).unwrap().to_le_bytes());
            bytes.extend(value.as_bytes());
            assert_eq!(Text(value).digest(), Digest::of_bytes(&bytes));
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = outer(7).digest();
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("not hex".parse::<Digest>().is_err());
    }
}
