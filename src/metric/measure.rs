//! The measures there are: one row of a table for each, with everything that any part of the
//! program asks of one.
//!
//! A new measure is a row here and the function that computes it. Nothing else names measures,
//! except the paper's claims.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Compared, Score, dice, nsd::normalised_surface_dice, relative_area::relative_area_difference,
};

/// A measure: how well one mask agrees with another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure(usize);

/// The properties of a measure.
struct MeasureRow {
    /// In manifests, expressions and files of scores.
    word: &'static str,
    /// Other words that are understood.
    aliases: &'static [&'static str],
    /// In CSV files.
    column: &'static str,
    /// As the field calls it.
    name: &'static str,
    /// What it is, in a sentence.
    about: &'static str,
    /// Of its value in tables.
    unit: Unit,
    /// Which way it improves.
    better: Better,
    /// The least and the greatest value there can be, in that unit.
    bounds: [f64; 2],
    /// Its value, per cent as a fraction.
    of: fn(&Compared<'_>) -> Score,
    /// The worst possible value, for one that is undefined, given the image's diagonal; `None`
    /// where no number is the worst.
    worst: fn(f64) -> Option<f64>,
}

/// The unit of a measure's values in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Per cent; files of scores hold the fraction.
    Percent,
    /// The unit of the spacing: pixels or millimetres.
    Distance,
}

/// Which way a measure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The larger the better.
    Larger,
    /// The smaller the better.
    Smaller,
    /// The nearer to zero the better, on either side.
    NearZero,
}

impl Better {
    /// A number that is the larger the better `value` is.
    fn merit(self, value: f64) -> f64 {
        match self {
            Self::Larger => value,
            Self::Smaller => -value,
            Self::NearZero => -value.abs(),
        }
    }
}

/// The first three are the paper's: scores hold them whatever a manifest reports.
const TABLE: &[MeasureRow] = &[
    MeasureRow {
        word: "dice",
        aliases: &["dice_percent"],
        column: "dice_percent",
        name: "Dice",
        about: "Dice similarity coefficient: twice the overlap over the sum of both areas.",
        unit: Unit::Percent,
        better: Better::Larger,
        bounds: [0.0, 100.0],
        of: |pair| {
            let overlap = dice(pair.prediction, pair.reference);
            Score::Value(overlap.expect("shapes were checked"))
        },
        worst: |_| Some(0.0),
    },
    MeasureRow {
        word: "assd",
        aliases: &[],
        column: "assd",
        name: "ASSD",
        about: "Average symmetric surface distance.",
        unit: Unit::Distance,
        better: Better::Smaller,
        bounds: [0.0, f64::INFINITY],
        of: |pair| pair.distance(|surfaces| surfaces.assd(pair.definition.assd)),
        worst: Some,
    },
    MeasureRow {
        word: "hd95",
        aliases: &["95hd"],
        column: "hd95",
        name: "95HD",
        about: "95th percentile of surface distances.",
        unit: Unit::Distance,
        better: Better::Smaller,
        bounds: [0.0, f64::INFINITY],
        of: |pair| pair.distance(|surfaces| surfaces.hd95(pair.definition.hd95)),
        worst: Some,
    },
    MeasureRow {
        word: "rad",
        aliases: &[],
        column: "rad_percent",
        name: "RAD",
        about: "Relative area difference: predicted minus reference area, over the reference area.",
        unit: Unit::Percent,
        better: Better::NearZero,
        bounds: [-100.0, f64::INFINITY],
        of: relative_area_difference,
        // No number is the worst: it has no upper bound.
        worst: |_| None,
    },
    MeasureRow {
        word: "nsd",
        aliases: &[],
        column: "nsd_percent",
        name: "NSD",
        about: "Normalised surface Dice: the share of both borders near the other's.",
        unit: Unit::Percent,
        better: Better::Larger,
        bounds: [0.0, 100.0],
        of: normalised_surface_dice,
        worst: |_| Some(0.0),
    },
];

impl Measure {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// The word of each, and what it is.
    pub const WORDS: [(&'static str, &'static str); Self::COUNT] = {
        let mut words = [("", ""); Self::COUNT];
        let mut i = 0;
        while i < Self::COUNT {
            words[i] = (TABLE[i].word, TABLE[i].about);
            i += 1;
        }
        words
    };

    /// Every measure, in the order of tables.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self)
    }

    /// The paper's three: what is reported where a manifest says nothing else, and what scores hold
    /// in any case.
    pub fn standard() -> [Self; 3] {
        [Self(0), Self(1), Self(2)]
    }

    /// By its word, or another that is understood.
    pub fn named(word: &str) -> Option<Self> {
        let is = |row: &MeasureRow| row.word == word || row.aliases.contains(&word);
        TABLE.iter().position(is).map(Self)
    }

    fn row(self) -> &'static MeasureRow {
        &TABLE[self.0]
    }

    /// In manifests, expressions and files of scores.
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// In CSV files.
    pub fn column(self) -> &'static str {
        self.row().column
    }

    /// As the field calls it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// In the head of a table: its name, its unit, and the way it improves. `distances` is the unit
    /// of distances.
    pub fn heading(self, distances: &str) -> String {
        let arrow = match self.row().better {
            Better::Larger => "↑",
            Better::Smaller => "↓",
            Better::NearZero => "→ 0",
        };
        format!("{} ({}) {arrow}", self.name(), self.in_unit(distances))
    }

    /// The unit of its values in tables.
    pub fn unit(self) -> Unit {
        self.row().unit
    }

    /// The symbol of that unit. `distances` is the unit of distances.
    pub fn in_unit(self, distances: &str) -> &str {
        match self.row().unit {
            Unit::Percent => "%",
            Unit::Distance => distances,
        }
    }

    /// The least and the greatest value there can be, in the unit of tables.
    pub fn bounds(self) -> [f64; 2] {
        self.row().bounds
    }

    /// Its value for a pair of masks; per cent as a fraction.
    pub fn of(self, pair: &Compared<'_>) -> Score {
        (self.row().of)(pair)
    }

    /// A value as tables show it: in its unit.
    pub fn in_table(self, score: Score) -> Score {
        match (score, self.row().unit) {
            (Score::Value(value), Unit::Percent) => Score::Value(100.0 * value),
            (score, _) => score,
        }
    }

    /// The worst possible value, for one that is undefined, in the unit of tables; `None` where no
    /// number is the worst. `diagonal` is the image's.
    pub fn worst(self, diagonal: f64) -> Option<f64> {
        (self.row().worst)(diagonal)
    }

    /// Whether `a` is the better value.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        self.row().better.merit(a) > self.row().better.merit(b)
    }

    /// How much better `value` is than `base`, in the unit of tables.
    pub fn gain(self, value: f64, base: f64) -> f64 {
        match self.row().better {
            Better::Larger => value - base,
            Better::Smaller => base - value,
            Better::NearZero => base.abs() - value.abs(),
        }
    }
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::named(&word).ok_or_else(|| de::Error::custom(format!("no measure `{word}`")))
    }
}
