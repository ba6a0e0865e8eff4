//! A method from the four words of a manifest's section `[method.NAME]`, and back.

use super::{
    ALIASES, Annotation, BUILT_IN, Branch, BudgetFrom, Masks, Method, NetworkForm, TrainedOn, Tuned,
};
use crate::suggestion::nearest;

/// The values of the keys of a section `[method.NAME]`, none of which has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// Which masks the network is pretrained on.
    pub annotation: &'a str,
    /// How one network learns from several annotators.
    pub multitask: &'a str,
    /// What the new expert's branch starts from.
    pub branch: &'a str,
    /// What the training for the new expert changes.
    pub adapt: &'a str,
}

/// An error in a section `[method.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError {
    /// The key whose value it is; `None` where it is the section's name.
    pub key: Option<&'static str>,
    /// The error and its remedy.
    pub text: String,
}

const ANNOTATION: &[(&str, Annotation)] =
    &[("every", Annotation::Every), ("cohort", Annotation::Cohort)];
const MULTITASK: &[(&str, (NetworkForm, Masks))] = &[
    ("norms", (NetworkForm::Norms, Masks::Each)),
    ("heads", (NetworkForm::Heads, Masks::Each)),
    ("pool", (NetworkForm::One, Masks::Each)),
    ("majority", (NetworkForm::One, Masks::Majority)),
    ("staple", (NetworkForm::One, Masks::Staple)),
    ("uncertainty", (NetworkForm::One, Masks::Mean)),
    ("uncertainty-map", (NetworkForm::Map, Masks::Mean)),
    ("probabilistic", (NetworkForm::Latent, Masks::Each)),
];
const BRANCH: &[(&str, Branch)] = &[("reset", Branch::Reset), ("inherit", Branch::Inherit)];
const ADAPT: &[(&str, Option<Tuned>)] = &[
    ("full", Some(Tuned::Everything)),
    ("expert-layers", Some(Tuned::ExpertLayers)),
    ("select", None),
];

impl Words<'_> {
    /// The keys of such a section, and the words that each takes.
    pub const KEYS: [(&'static str, &'static [&'static str]); 4] = [
        ("annotation", &["every", "cohort"]),
        (
            "multitask",
            &[
                "norms",
                "heads",
                "pool",
                "majority",
                "staple",
                "uncertainty",
                "uncertainty-map",
                "probabilistic",
            ],
        ),
        ("branch", &["reset", "inherit"]),
        ("adapt", &["full", "expert-layers", "select"]),
    ];
}

impl<'a> Words<'a> {
    /// The values of these keys, in their order.
    pub fn values(&self) -> [&'a str; 4] {
        let Self {
            annotation,
            multitask,
            branch,
            adapt,
        } = self;
        [annotation, multitask, branch, adapt]
    }
}

impl Method {
    /// The method of a section `[method.NAME]`. The name of a built-in method is allowed with that
    /// method's own words.
    ///
    /// # Errors
    /// Every unknown word, with the nearest known one; a name that stands for another method.
    pub fn from_words(name: &str, words: &Words<'_>) -> Result<Self, Vec<WordError>> {
        let mut errors = Vec::new();
        let annotation = chosen("annotation", words.annotation, ANNOTATION, &mut errors);
        let multitask = chosen("multitask", words.multitask, MULTITASK, &mut errors);
        let branch = chosen("branch", words.branch, BRANCH, &mut errors);
        let tuned = chosen("adapt", words.adapt, ADAPT, &mut errors);
        errors.extend(misnamed(name, words));
        errors.extend(contradiction(words));
        match (annotation, multitask, branch, tuned) {
            (Some(annotation), Some((network, masks)), Some(branch), Some(tuned))
                if errors.is_empty() =>
            {
                Ok(Self {
                    name: name.to_owned().into(),
                    annotation,
                    network,
                    masks,
                    branch,
                    tuned,
                    trained_on: TrainedOn::NewExpert,
                    budget: BudgetFrom::Finetune,
                })
            }
            _ => Err(errors),
        }
    }

    /// The words of its section; `None` where nothing is pretrained, as no section says so.
    pub fn words(&self) -> Option<Words<'static>> {
        Some(Words {
            annotation: word(&self.annotation, ANNOTATION)?,
            multitask: word(&(self.network, self.masks), MULTITASK)?,
            branch: word(&self.branch, BRANCH)?,
            adapt: word(&self.tuned, ADAPT)?,
        })
    }
}

/// The value of a word, or an error that names the key.
fn chosen<T: Copy>(
    key: &'static str,
    found: &str,
    known: &[(&'static str, T)],
    errors: &mut Vec<WordError>,
) -> Option<T> {
    let value = known.iter().find(|(word, _)| *word == found);
    if value.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        errors.push(WordError {
            key: Some(key),
            text: format!("`{key}` cannot be \"{found}\"; {}", nearest(found, &words)),
        });
    }
    value.map(|(_, value)| *value)
}

fn word<T: PartialEq>(value: &T, known: &[(&'static str, T)]) -> Option<&'static str> {
    let found = known.iter().find(|(_, known)| known == value);
    found.map(|(word, _)| *word)
}

/// Words of which one leaves the other nothing to do.
fn contradiction(words: &Words<'_>) -> Option<WordError> {
    let Words {
        annotation,
        multitask,
        branch,
        adapt,
    } = *words;
    let of_several = ["majority", "staple", "uncertainty", "uncertainty-map"];
    if annotation == "cohort" && of_several.contains(&multitask) {
        return Some(WordError {
            key: Some("annotation"),
            text: format!(
                "with annotation = \"cohort\" every image has one mask, of which multitask = \
                 \"{multitask}\" makes no other; take annotation = \"every\", or multitask = \
                 \"pool\""
            ),
        });
    }
    (branch == "reset" && adapt == "select").then(|| WordError {
        key: Some("branch"),
        text: "adapt = \"select\" trains nothing, so that a branch with initial values stays \
               without use; take branch = \"inherit\""
            .to_owned(),
    })
}

/// A name that stands for a method with other words.
fn misnamed(name: &str, words: &Words<'_>) -> Option<WordError> {
    let error = |text: String| WordError { key: None, text };
    // Expressions, file names and pages write it without quotes.
    let plain = |c: char| c.is_alphanumeric() || "_-./+".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Some(error(format!(
            "a method cannot be called \"{name}\"; a name is made of letters, digits and _-./+"
        )));
    }
    if let Some((alias, meant)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some(error(format!(
            "\"{alias}\" is another name of the built-in method \"{meant}\"; choose one of your own"
        )));
    }
    let built_in = BUILT_IN.iter().find(|method| method.name == name)?;
    match built_in.words() {
        Some(own) if own == *words => None,
        Some(own) => Some(error(format!(
            "the method \"{name}\" is built in, with annotation = \"{}\", multitask = \"{}\", \
             branch = \"{}\", adapt = \"{}\"; choose another name for other words",
            own.annotation, own.multitask, own.branch, own.adapt
        ))),
        None => Some(error(format!(
            "the method \"{name}\" is built in and pretrains nothing; choose another name"
        ))),
    }
}
