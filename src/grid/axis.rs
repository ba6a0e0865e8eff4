//! The axes of grids: one row of a table for each, with everything that any part of the program
//! asks of one; and every key that a manifest sweeps.

use std::{fmt, sync::Arc};

use super::{Address, Value};

/// An axis: a way in which runs differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// A row of the table.
    Grid(usize),
    /// A key that the manifest sweeps, from the top of the manifest.
    Swept(Arc<str>),
}

/// The properties of an axis.
struct AxisRow {
    /// In manifests and expressions.
    word: &'static str,
    /// Other words that are understood.
    aliases: &'static [&'static str],
    /// In CSV files.
    column: &'static str,
    /// Over the heads of a table's rows.
    corner: &'static str,
    /// One of its values in a sentence: "one per way of sampling".
    one: &'static str,
    /// All of them in a sentence: "averaged over all combinations of annotation experts".
    all: &'static str,
    /// Whether its values are numbers.
    numeric: bool,
    /// A value at the head of a column, beside those of other axes.
    head: fn(&Value) -> String,
    /// A value at the head of a row, where its axis is named over it.
    row_head: fn(&Value) -> String,
    /// Its value at an address.
    of: fn(&Address) -> Option<Value>,
}

/// Positions of cells are compared in this order.
const TABLE: [AxisRow; 8] = [
    AxisRow {
        word: "expert",
        aliases: &["new_expert", "new_experts"],
        column: "new_expert",
        corner: "Expert",
        one: "new expert",
        all: "new experts",
        numeric: true,
        head: |value| format!("expert {value}"),
        row_head: |value| format!("expert {value}"),
        of: |at| Some(Value::expert(at.new_expert, &at.names)),
    },
    AxisRow {
        word: "train_expert",
        aliases: &["trainer", "train_experts"],
        column: "train_expert",
        corner: "Train",
        one: "expert trained on",
        all: "experts trained on",
        numeric: true,
        head: |value| format!("trained on {value}"),
        row_head: |value| format!("expert {value}"),
        of: |at| {
            at.train_expert()
                .map(|expert| Value::expert(expert, &at.names))
        },
    },
    AxisRow {
        word: "samples",
        aliases: &["n"],
        column: "samples",
        corner: "# Samples",
        one: "number of samples",
        all: "numbers of samples",
        numeric: true,
        head: |value| format!("n={value}"),
        row_head: Value::to_string,
        of: |at| Some(Value::Whole(at.samples)),
    },
    AxisRow {
        word: "experts",
        aliases: &["k"],
        column: "experts",
        corner: "# Experts",
        one: "number of annotation experts",
        all: "numbers of annotation experts",
        numeric: true,
        head: |value| match value {
            Value::Whole(0) => String::new(),
            value => format!("k={value}"),
        },
        row_head: Value::to_string,
        of: |at| Some(Value::Whole(at.experts.len())),
    },
    AxisRow {
        word: "annotators",
        aliases: &["combination"],
        column: "annotators",
        corner: "Annotators",
        one: "combination of annotation experts",
        all: "combinations of annotation experts",
        numeric: false,
        head: |value| value.to_string(),
        row_head: |value| match value.to_string() {
            none if none.is_empty() => "none".to_owned(),
            annotators => annotators,
        },
        of: |at| {
            Some(Value::Experts {
                count: at.experts.len(),
                experts: at.experts.clone(),
                names: at.names.clone(),
            })
        },
    },
    AxisRow {
        word: "method",
        aliases: &["arm", "methods", "arms"],
        column: "method",
        corner: "Method",
        one: "method",
        all: "methods",
        numeric: false,
        head: |value| value.to_string(),
        row_head: Value::to_string,
        of: |at| Some(Value::Method(at.method.clone())),
    },
    AxisRow {
        word: "start",
        aliases: &["starts"],
        column: "start",
        corner: "Start",
        one: "way of sampling",
        all: "ways of sampling",
        numeric: true,
        head: |value| format!("start {value}"),
        row_head: Value::to_string,
        of: |at| Some(Value::Whole(at.start)),
    },
    AxisRow {
        word: "repeat",
        aliases: &["repeats"],
        column: "repeat",
        corner: "Repeat",
        one: "repeat of the pretraining",
        all: "repeats of the pretraining",
        numeric: true,
        head: |value| format!("repeat {value}"),
        row_head: Value::to_string,
        of: |at| at.repeat.map(Value::Whole),
    },
];

impl Axis {
    /// The expert tested against.
    pub const NEW_EXPERT: Self = Self::Grid(0);
    /// The expert whose masks trained the network, where that is another by its method.
    pub const TRAIN_EXPERT: Self = Self::Grid(1);
    /// Annotated samples.
    pub const SAMPLES: Self = Self::Grid(2);
    /// The number of experts that annotated for pretraining, or whose masks were trained on
    /// instead.
    pub const EXPERTS: Self = Self::Grid(3);
    /// The combination of these experts.
    pub const ANNOTATORS: Self = Self::Grid(4);
    /// The method that gives the network.
    pub const METHOD: Self = Self::Grid(5);
    /// The way of sampling.
    pub const START: Self = Self::Grid(6);
    /// The repeat of the pretraining.
    pub const REPEAT: Self = Self::Grid(7);

    /// The axes of grids, in their order; a grid need not have values on all of them.
    pub fn of_grids() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self::Grid)
    }

    /// One that every grid has, by its word or another that is understood.
    pub fn named(word: &str) -> Option<Self> {
        let is = |row: &AxisRow| row.word == word || row.aliases.contains(&word);
        TABLE.iter().position(is).map(Self::Grid)
    }

    fn row(&self) -> Option<&'static AxisRow> {
        match self {
            Self::Grid(index) => Some(&TABLE[*index]),
            Self::Swept(_) => None,
        }
    }

    /// In manifests and expressions.
    pub fn word(&self) -> &str {
        match self {
            Self::Grid(index) => TABLE[*index].word,
            Self::Swept(key) => key,
        }
    }

    /// Its word and the others that are understood.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let aliases = self.row().map_or(&[][..], |row| row.aliases);
        std::iter::once(self.word()).chain(aliases.iter().copied())
    }

    /// In CSV files.
    pub fn column(&self) -> &str {
        self.row().map_or(self.word(), |row| row.column)
    }

    /// Over the heads of a table's rows.
    pub fn corner(&self) -> &str {
        self.row().map_or(self.word(), |row| row.corner)
    }

    /// One of its values in a sentence.
    pub fn one(&self) -> String {
        match self.row() {
            Some(row) => row.one.to_owned(),
            None => format!("value of {}", self.word()),
        }
    }

    /// All of its values in a sentence.
    pub fn all(&self) -> String {
        match self.row() {
            Some(row) => row.all.to_owned(),
            None => format!("values of {}", self.word()),
        }
    }

    /// Whether its values are experts, one or several.
    pub fn is_of_experts(&self) -> bool {
        [Self::NEW_EXPERT, Self::TRAIN_EXPERT, Self::ANNOTATORS].contains(self)
    }

    /// Whether its values are numbers; `None` for a swept key, whose values decide.
    pub fn is_numeric(&self) -> Option<bool> {
        self.row().map(|row| row.numeric)
    }

    /// A value at the head of a column, beside those of other axes; empty where nothing is to be
    /// said.
    pub fn head(&self, value: &Value) -> String {
        match self.row() {
            Some(row) => (row.head)(value),
            None => format!("{} = {value}", self.word()),
        }
    }

    /// A value at the head of a row.
    pub fn row_head(&self, value: &Value) -> String {
        match self.row() {
            Some(row) => (row.row_head)(value),
            None => value.to_string(),
        }
    }

    /// Its value at an address; `None` where the axis does not apply.
    pub fn of(&self, at: &Address) -> Option<Value> {
        match self {
            Self::Grid(index) => (TABLE[*index].of)(at),
            Self::Swept(key) => {
                let setting = at.swept.iter().find(|setting| setting.key() == &**key);
                setting.cloned().map(Value::Setting)
            }
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Debug for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
