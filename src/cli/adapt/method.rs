//! The methods of `expertgrid adapt`: what a word or a method's name means for a network.

use clap::builder::{PossibleValue, PossibleValuesParser};
use itertools::Itertools;

use crate::method::{BUILT_IN, Branch, Method, NetworkForm, Tuned};

/// What is done for the new expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewBranch {
    /// The start of the expert's branch.
    pub branch: Branch,
    /// The parameters that are trained; none where something is chosen instead.
    pub tuned: Option<Tuned>,
}

/// Words that mean something for every form of network.
const WORDS: [(&str, &str); 3] = [
    (
        "full",
        "Train the whole network, after the layers that experts have of their own are reset, as in \
         the paper; a network of one branch is taken as it is",
    ),
    (
        "expert-layers",
        "Copy the branch that fits the cases best and train alone what is the expert's in it: the \
         normalisation layers, or the head. The shared part stays as it is",
    ),
    (
        "select",
        "Train nothing: take the branch that fits the cases best, or the threshold of an only \
         branch, or the latent of a probabilistic U-Net",
    ),
];

/// The words and the names of built-in methods that adapt a network.
pub(super) fn known() -> PossibleValuesParser {
    let words = WORDS.map(|(word, help)| PossibleValue::new(word).help(help));
    let methods = BUILT_IN.iter().filter(|method| method.is_pretrained());
    let methods = methods.map(|method| PossibleValue::new(&*method.name));
    PossibleValuesParser::new(words.into_iter().chain(methods))
}

impl NewBranch {
    /// What a word or a method's name means for a network.
    ///
    /// # Errors
    /// The method is of another form of network; or there is nothing to select.
    pub(super) fn of(word: &str, network: NetworkForm, branches: usize) -> Result<Self, String> {
        let found = match word {
            "full" => Self {
                branch: match network {
                    NetworkForm::Norms | NetworkForm::Heads => Branch::Reset,
                    NetworkForm::One
                    | NetworkForm::Latent
                    | NetworkForm::Comb
                    | NetworkForm::Map => Branch::Inherit,
                },
                tuned: Some(Tuned::Everything),
            },
            "expert-layers" => Self {
                branch: Branch::Inherit,
                tuned: Some(Tuned::ExpertLayers),
            },
            "select" => Self {
                branch: Branch::Inherit,
                tuned: None,
            },
            name => {
                let method = Method::named(name)?;
                if method.network != network {
                    return Err(other_form(&method, network));
                }
                Self {
                    branch: method.branch,
                    tuned: method.tuned,
                }
            }
        };
        let nothing = match (found.tuned, network) {
            (None, NetworkForm::Map) => {
                "the weight of a map cannot become part of a network of one branch"
            }
            (None, NetworkForm::Comb) => "its latent is chosen already",
            (None, NetworkForm::Norms | NetworkForm::Heads) if branches == 1 => {
                "it has one branch, so that there is none to choose"
            }
            _ => return Ok(found),
        };
        Err(format!("{nothing}; take `--method full`"))
    }
}

/// Why a method does not adapt a network, and which do.
fn other_form(method: &Method, network: NetworkForm) -> String {
    let fitting = BUILT_IN.iter();
    let fitting = fitting.filter(|known| known.is_pretrained() && known.network == network);
    let words = WORDS.iter().map(|(word, _)| *word);
    let fitting = words.chain(fitting.map(|known| &*known.name)).join(", ");
    format!(
        "method \"{}\" adapts networks with {}, and this one has {}; take one of {fitting}",
        method.name,
        shape(method.network),
        shape(network)
    )
}

/// What a form of network is, in a sentence.
fn shape(network: NetworkForm) -> &'static str {
    match network {
        NetworkForm::Norms => "norms for each expert",
        NetworkForm::Heads => "a head for each expert",
        NetworkForm::One => "one branch for the masks of all experts",
        NetworkForm::Map => "a head for a mask and one for a map of disagreement",
        NetworkForm::Latent => "a latent for each mask",
        NetworkForm::Comb => "a latent that was chosen for good",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_that_pretrains_adapts_networks_of_its_form_and_no_other() {
        let forms = [
            NetworkForm::Norms,
            NetworkForm::Heads,
            NetworkForm::One,
            NetworkForm::Map,
            NetworkForm::Latent,
            NetworkForm::Comb,
        ];
        for method in BUILT_IN.iter().filter(|method| method.is_pretrained()) {
            for form in forms {
                let found = NewBranch::of(&method.name, form, 3);
                let map = method.tuned.is_none() && form == NetworkForm::Map;
                match form == method.network && !map {
                    true => {
                        let NewBranch { branch, tuned } = found.unwrap();
                        assert_eq!((branch, tuned), (method.branch, method.tuned));
                    }
                    false => {
                        let why = found.unwrap_err();
                        assert!(why.contains("take "), "{why}");
                    }
                }
            }
        }
        let why = NewBranch::of("pool", NetworkForm::Norms, 3).unwrap_err();
        assert!(
            why.starts_with(
                "method \"pool\" adapts networks with one branch for the masks of all experts, and \
                 this one has norms for each expert; take one of full, expert-layers, select, \
                 customised, "
            ),
            "{why}"
        );
        let why = NewBranch::of("select", NetworkForm::Norms, 1).unwrap_err();
        assert!(why.ends_with("; take `--method full`"), "{why}");
    }
}
