//! The section that names rules for choosing annotation experts.

use itertools::Itertools;

use super::{
    choices::{Pairing, SelectionRule},
    document::quoted,
    grid::Grid,
    kind::{Key, ValueKind},
    reader::{Located, Section},
    sections::{ManifestValue, SectionSpec, section},
};
use crate::{key::Sink, suggestion::nearest};

section! {
    /// Choosing annotation experts: what each rule would have got from the grid's combinations. It
    /// shapes what stands under the table; the rules' scores are a stage of their own.
    #[derive(Clone, Debug, PartialEq, Eq)]
    SelectionRules {
        /// Rules, each with a row; none: no such table.
        rules: Vec<SelectionRule> = Vec::new(), ValueKind::List(&SelectionRule::KIND), unkeyed;
    }
}

impl SelectionRules {
    /// Whether a rule is named that goes by masks alone.
    pub fn needs_agreement(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_by_masks())
    }

    /// Whether a rule is named that needs a network with a branch for each candidate.
    pub fn needs_branches(&self) -> bool {
        self.rules.contains(&SelectionRule::Branch)
    }
}

/// Reads the section. Rules need a grid that has every combination with every way of sampling.
pub(super) fn selection(section: Section<'_>, grid: &Grid) -> SelectionRules {
    let read = SelectionRules::read(&section, &SelectionRules::default());
    let place = || section.place_of("rules");
    if !read.rules.is_empty() {
        let pretrained = grid
            .methods
            .iter()
            .filter(|chosen| chosen.method.is_pretrained());
        match pretrained.collect_vec().as_slice() {
            [chosen] if read.needs_branches() && !chosen.method.has_branches() => section.note(
                place(),
                format!(
                    "\"branch\" chooses by the branch of each annotator, and {} has none for each; \
                     take the rule out",
                    chosen.word
                ),
            ),
            [_] => {}
            methods => section.note(
                place(),
                format!(
                    "rules choose the annotators of one method that pretrains; `grid.methods` has \
                     {}",
                    match methods {
                        [] => "none".to_owned(),
                        several => several.iter().map(|chosen| &chosen.word).join(", "),
                    }
                ),
            ),
        }
        if grid.pairing != Pairing::Crossed {
            section.note(
                place(),
                "rules choose among all combinations at every way of sampling; set \
                 `grid.pairing = \"crossed\"`",
            );
        }
        if grid.samples.contains(&0) {
            section.note(
                place(),
                "rules choose by the new expert's samples; take 0 out of `grid.samples`",
            );
        }
        if read.rules.contains(&SelectionRule::BestElsewhere) && grid.repeats < 2 {
            section.note(
                place(),
                "\"best-elsewhere\" chooses by the other repeats, and there is one; set \
                 `grid.repeats = 2` or more, or take the rule out",
            );
        }
        let candidates = grid.annotators.from.len();
        let chosen = grid.annotators.choose.iter();
        if !chosen.clone().any(|k| *k < candidates) && chosen.len() > 0 {
            section.note(
                place(),
                format!(
                    "all {candidates} annotation experts at a time leave rules no choice; add a \
                     smaller number to `grid.annotators.choose`"
                ),
            );
        }
    }
    section.finish();
    read
}

impl ManifestValue for Vec<SelectionRule> {
    fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
        let name = section.name(key.last());
        let found = section.read::<Vec<Located<String>>>(key.last(), Vec::new());
        let mut rules: Vec<SelectionRule> = Vec::new();
        for word in &found.value {
            let mut known = SelectionRule::ALL.iter();
            match known.find(|(known, _)| *known == word.value) {
                Some((_, rule)) if rules.contains(rule) => {
                    section.note(&word.place, format!("`{name}` names {} twice", word.value));
                }
                Some((_, rule)) => rules.push(*rule),
                None => {
                    let words = SelectionRule::ALL
                        .iter()
                        .map(|(known, _)| *known)
                        .collect_vec();
                    let remedy = nearest(&word.value, &words);
                    let message = format!("there is no rule \"{}\"; {remedy}", word.value);
                    section.note(&word.place, message);
                }
            }
        }
        match found.value.is_empty() {
            true => default.clone(),
            false => rules,
        }
    }

    fn toml(&self) -> String {
        format!(
            "[{}]",
            self.iter().map(|rule| quoted(rule.word())).join(", ")
        )
    }

    fn enter(&self, name: &str, sink: &mut Sink) {
        self.iter().for_each(|rule| sink.text(name, rule.word()));
    }
}
