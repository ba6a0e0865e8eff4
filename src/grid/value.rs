//! The values of axes: how they are compared, shown and matched by words.

use std::{fmt, sync::Arc};

use itertools::Itertools;

use super::{Chosen, ExpertNames, Setting};
use crate::metric::Measure;

/// A value of an axis. Values of one axis are of one kind, and ordered as the axis is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A number, or an expert who has no name.
    Whole(usize),
    /// An expert who has a name.
    Expert {
        /// The expert's number.
        number: usize,
        /// The names of all.
        names: ExpertNames,
    },
    /// Several experts; fewer come first.
    Experts {
        /// How many.
        count: usize,
        /// Who, in ascending order.
        experts: Arc<[u8]>,
        /// What they are called.
        names: ExpertNames,
    },
    /// A method, in the grid's order.
    Method(Arc<Chosen>),
    /// The value of a swept key, in the order in which its values are listed.
    Setting(Setting),
    /// A measure.
    Measure(Measure),
    /// A name.
    Word(Arc<str>),
}

/// The values on some axes, in their order; `None` where an axis does not apply.
pub type Coordinates = Vec<Option<Value>>;

impl Value {
    /// An expert.
    pub fn expert(number: u8, names: &ExpertNames) -> Self {
        let number = usize::from(number);
        match names.of(number) {
            None => Self::Whole(number),
            Some(_) => Self::Expert {
                number,
                names: names.clone(),
            },
        }
    }

    /// Several experts, by their numbers.
    pub fn experts(experts: Arc<[u8]>) -> Self {
        Self::Experts {
            count: experts.len(),
            experts,
            names: ExpertNames::default(),
        }
    }

    /// As a number, where it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) | Self::Expert { number, .. } => Some(*number as f64),
            Self::Setting(setting) => setting.text().parse().ok(),
            _ => None,
        }
    }

    /// As a whole number, where it is one.
    pub fn whole(&self) -> Option<usize> {
        match self {
            Self::Whole(number) | Self::Expert { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// Whether it is what a word means: `1+2`, `w/o` or `scratch`, `0.001` or `1e-3`.
    pub fn is(&self, word: &str) -> bool {
        let same_number = || match (self.number(), word.parse::<f64>()) {
            (Some(a), Ok(b)) => a == b,
            _ => false,
        };
        match self {
            Self::Method(method) => method.is_called(word),
            Self::Setting(setting) => setting.text().trim_matches('"') == word || same_number(),
            Self::Whole(_) => same_number(),
            // A name may be that of another expert's number.
            Self::Expert { number, names } => match names.know(word) {
                true => names.of(*number) == Some(word),
                false => same_number(),
            },
            Self::Measure(measure) => Measure::named(word) == Some(*measure),
            Self::Word(own) => **own == *word,
            Self::Experts { experts, names, .. } => {
                let same_numbers = || experts.iter().join("+") == word;
                let named = word.split('+').any(|word| names.know(word));
                self.to_string() == word || (!named && same_numbers())
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Expert { number, names } => match names.of(*number) {
                Some(name) => f.write_str(name),
                None => number.fmt(f),
            },
            Self::Experts { experts, names, .. } => f.write_str(&names.joined(experts)),
            Self::Method(method) => f.write_str(&method.word),
            Self::Measure(measure) => f.write_str(measure.word()),
            Self::Word(word) => f.write_str(word),
            Self::Setting(setting) => f.write_str(setting.text().trim_matches('"')),
        }
    }
}
