//! What renderers take: text, headings and tables, laid out and worded.
//!
//! The rule: a document holds words and marks, no numbers to compute with. An entry that shows a
//! cell of a [`Table`](super::Table) has its index, so that a renderer can show more of the cell.

/// A title and the elements below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The title.
    pub title: String,
    /// In reading order.
    pub elements: Vec<Element>,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A paragraph.
    Paragraph(MarkedText),
    /// A heading one level below the title.
    Heading(String),
    /// Items of a list.
    List(Vec<MarkedText>),
    /// Rows and columns.
    Tabular(Tabular),
}

/// A table as it is shown: rows and columns under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tabular {
    /// Its heading: `(a) Adapted to expert 6`.
    pub heading: String,
    /// The expert tested against, where it is one expert's.
    pub new_expert: Option<u8>,
    /// Head of the column of row heads.
    pub corner: String,
    /// The other columns.
    pub columns: Vec<Column>,
    /// As many entries in each as there are columns.
    pub rows: Vec<Row>,
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What neighbouring columns may share: `Dice (%) ↑`.
    pub over: String,
    /// What tells them apart, or nothing: `w/ k=3`.
    pub under: String,
    /// How its entries are aligned.
    pub align: Align,
}

impl Column {
    /// Both parts in one line.
    pub fn line(&self) -> String {
        match (self.over.as_str(), self.under.as_str()) {
            (over, "") => over.to_owned(),
            ("", under) => under.to_owned(),
            (over, under) => format!("{over} {under}"),
        }
    }
}

/// How the entries of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// As words are.
    Left,
    /// As numbers are.
    Right,
}

/// A row of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its head.
    pub head: String,
    /// One per column.
    pub entries: Vec<RowEntry>,
}

/// An entry of a row, under one of the columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowEntry {
    /// What is shown.
    pub text: MarkedText,
    /// The index of its cell in [`Table::cells`](super::Table::cells), where it shows one.
    pub cell: Option<usize>,
}

impl RowEntry {
    /// Words that show no cell.
    pub fn words(text: impl Into<MarkedText>) -> Self {
        Self {
            text: text.into(),
            cell: None,
        }
    }
}

/// Words, some of them marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkedText(pub Vec<Span>);

/// Words with one marking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// How they are marked.
    pub mark: Mark,
}

/// How words are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Not at all.
    #[default]
    Plain,
    /// Bold.
    Bold,
    /// Underlined.
    Underlined,
    /// Bold and underlined.
    Both,
    /// The name of a file, key or option.
    Code,
}

impl Mark {
    /// Whether it is bold, alone or among others.
    pub fn bold(self) -> bool {
        matches!(self, Self::Bold | Self::Both)
    }

    /// Whether it is underlined, alone or among others.
    pub fn underlined(self) -> bool {
        matches!(self, Self::Underlined | Self::Both)
    }
}

impl MarkedText {
    /// With more words.
    pub fn plain(mut self, text: impl Into<String>) -> Self {
        self.push(text, Mark::Plain);
        self
    }

    /// With more words, bold.
    pub fn bold(mut self, text: impl Into<String>) -> Self {
        self.push(text, Mark::Bold);
        self
    }

    /// With more words, underlined.
    pub fn underlined(mut self, text: impl Into<String>) -> Self {
        self.push(text, Mark::Underlined);
        self
    }

    /// With the name of a file, key or option.
    pub fn code(mut self, text: impl Into<String>) -> Self {
        self.push(text, Mark::Code);
        self
    }

    /// Followed by another text.
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Adds words, unless they are empty.
    pub fn push(&mut self, text: impl Into<String>, mark: Mark) {
        let text = text.into();
        if !text.is_empty() {
            self.0.push(Span { text, mark });
        }
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for MarkedText {
    fn from(text: T) -> Self {
        Self::default().plain(text)
    }
}
