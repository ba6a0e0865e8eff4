//! The files of artefacts: their names and formats.
//!
//! The rule: the same content gives the same bytes; whatever is written here can be read back
//! without a network or a device.

mod choices;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::{
    data::{
        nifti::{MAX_AXIS_PX, MAX_PIXELS},
        prepare::{Frame, Prediction, Region},
    },
    event::{LatentTerms, Step},
    metric::{Measure, Score},
    plan::Stage,
    store::Store,
};

pub use choices::{
    BranchFit, Choice, LatentChoice, MapChoice, MapFit, ThresholdChoice, ThresholdFit,
};

/// Weights, as a safetensors checkpoint.
pub const WEIGHTS: &str = "weights.safetensors";
/// How every tensor of the file was used that a pretraining started from.
pub const IMPORT: &str = "import.json";
/// Predictions of the test images.
pub const PREDICTIONS: &str = "predictions.safetensors";
/// Learning rate and loss of every step.
pub const CURVE: &str = "curve.csv";
/// Which pretrained branch a new expert inherited, and how all of them fit the annotated cases.
pub const CHOICE: &str = "choice.json";
/// Which threshold a new expert is served with, and how all of them fit the annotated cases.
pub const THRESHOLD: &str = "threshold.json";
/// How far a new expert's mask follows the map of disagreement, and how all weights fit the
/// annotated cases.
pub const MAP_WEIGHT: &str = "map_weight.json";
/// Which latent a new expert is served with.
pub const LATENT: &str = "latent.json";
/// By how many deviations of each image's prior the latent that a new expert is served with is from
/// the prior's mean.
pub const RELATIVE_LATENT: &str = "relative_latent.json";
/// The terms of the loss of every step, in the training of a probabilistic U-Net.
pub const LATENT_CURVE: &str = "latent.csv";
/// How much of the latent a probabilistic U-Net uses.
pub const LATENT_USE: &str = "latent_use.json";
/// How masks agree, by which annotation experts are chosen.
pub const AGREEMENT: &str = "agreement.json";
/// The metrics of every test image.
pub const SCORES: &str = "scores.json";

/// Plain data as JSON, readable, with a newline at its end.
fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("it is plain data");
    bytes.push(b'\n');
    bytes
}

/// Whether an artefact in the store has every file that its stage's spec asks to be kept.
pub fn is_whole(store: &Store, stage: &Stage) -> bool {
    let Stage { spec, digest, .. } = stage;
    !spec.keeps_weights() || store.has_file(spec.kind(), digest, WEIGHTS)
}

/// The metrics of all test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// In the order of the data set.
    pub cases: Vec<CaseScores>,
}

/// The measures of one test image: a JSON object of the case's name, a score by the word of each
/// measure, and the diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseScores {
    /// The case's name.
    pub case: String,
    /// By word, in the order of tables; per cent as a fraction. Unknown words are kept.
    pub scores: Vec<(String, Score)>,
    /// The image's diagonal, in the unit of distances: the worst case of an undefined one.
    pub diagonal: f64,
}

impl CaseScores {
    /// The score of a measure, where it was measured.
    pub fn of(&self, measure: Measure) -> Option<Score> {
        let named = self.scores.iter().find(|(word, _)| word == measure.word());
        named.map(|(_, score)| *score)
    }
}

impl Serialize for CaseScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + self.scores.len()))?;
        map.serialize_entry("case", &self.case)?;
        for (word, score) in &self.scores {
            map.serialize_entry(word, score)?;
        }
        map.serialize_entry("diagonal", &self.diagonal)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for CaseScores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CaseVisitor)
    }
}

struct CaseVisitor;

impl<'de> Visitor<'de> for CaseVisitor {
    type Value = CaseScores;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a case with its scores")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CaseScores, A::Error> {
        let (mut case, mut diagonal) = (None, None);
        let mut scores: Vec<(String, Score)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let seen = match key.as_str() {
                "case" => case.replace(map.next_value()?).is_some(),
                "diagonal" => diagonal.replace(map.next_value()?).is_some(),
                _ => {
                    let seen = scores.iter().any(|(word, _)| *word == key);
                    scores.push((key.clone(), map.next_value()?));
                    seen
                }
            };
            if seen {
                return Err(de::Error::custom(format!("`{key}` occurs twice")));
            }
        }
        Ok(CaseScores {
            case: case.ok_or_else(|| de::Error::missing_field("case"))?,
            scores,
            diagonal: diagonal.ok_or_else(|| de::Error::missing_field("diagonal"))?,
        })
    }
}

impl Scores {
    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }

    /// From JSON.
    ///
    /// # Errors
    /// The bytes are not what [`Scores::to_bytes`] writes, or hold no case.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let scores: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("{SCORES}: {error}"))?;
        match scores.cases.is_empty() {
            true => Err(format!("{SCORES}: it holds no case")),
            false => Ok(scores),
        }
    }
}

/// How much each dimension of a latent is used, over all pairs of a training image and a mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentUse {
    /// The mean divergence of the posterior from the prior, in nats.
    pub divergence: Vec<f64>,
    /// The variance of the posterior's mean between the masks of an image, the mean over images.
    pub variance_between_masks: Vec<f64>,
}

impl LatentUse {
    /// The mean divergence above which a dimension counts as used, in nats.
    pub const USED: f64 = 0.01;

    /// How many dimensions are used. Where there are none the latent says nothing of a mask: it has
    /// collapsed.
    pub fn used(&self) -> usize {
        let used = self.divergence.iter();
        used.filter(|nats| **nats > Self::USED).count()
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }

    /// From JSON.
    ///
    /// # Errors
    /// The bytes are not what [`LatentUse::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("{LATENT_USE}: {error}"))
    }
}

/// An account of what was imported, as JSON.
pub fn import(account: &impl Serialize) -> Vec<u8> {
    json(account)
}

/// A training curve as CSV.
pub fn curve(steps: &[Step]) -> Vec<u8> {
    let mut text = String::from("step,lr,loss\n");
    for Step { step, lr, loss, .. } in steps {
        text.push_str(&format!("{step},{lr},{loss}\n"));
    }
    text.into_bytes()
}

/// The terms of a probabilistic U-Net's loss as CSV; none where no step has any.
pub fn latent_curve(steps: &[Step]) -> Option<Vec<u8>> {
    let mut text = String::from("step,cross_entropy,divergence,clamped\n");
    let rows = steps
        .iter()
        .filter_map(|step| Some((step.step, step.latent?)));
    let mut empty = true;
    for (step, terms) in rows {
        let LatentTerms {
            cross_entropy,
            divergence,
            clamped,
        } = terms;
        text.push_str(&format!("{step},{cross_entropy},{divergence},{clamped}\n"));
        empty = false;
    }
    (!empty).then(|| text.into_bytes())
}

/// Reads a training curve.
///
/// # Errors
/// The bytes are not what [`curve`] writes.
pub fn parse_curve(bytes: &[u8]) -> Result<Vec<Step>, String> {
    csv::Reader::from_reader(bytes)
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{CURVE}: {error}"))
}

/// The name of an expert's branch in [`PREDICTIONS`].
pub fn branch_name(expert: u8) -> String {
    format!("expert{expert}")
}

/// The name in [`PREDICTIONS`] of the branch that several experts share.
pub const ONLY: &str = "all";

/// The name in [`PREDICTIONS`] of a map of how much experts disagree.
pub const DISAGREEMENT: &str = "map";

/// The name in [`PREDICTIONS`] of what a new expert is served with.
pub const SERVED: &str = "served";

/// Beside the tensors of [`PREDICTIONS`]: where each lies in its image, and what is foreground.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    branch: String,
    case: String,
    image: [usize; 2],
    reduce: usize,
    origin: [usize; 2],
    #[serde(default = "half", skip_serializing_if = "is_half")]
    threshold: u8,
}

fn half() -> u8 {
    Prediction::HALF
}

fn is_half(threshold: &u8) -> bool {
    *threshold == Prediction::HALF
}

/// Predictions as safetensors: a tensor `<branch>/<case>` of bytes for each, probabilities in
/// steps of 1/256 over the network's field of view.
pub fn predictions(by_branch: &[(String, Vec<Prediction>)]) -> Vec<u8> {
    let mut placements = Vec::new();
    let mut views = Vec::new();
    for (branch, predictions) in by_branch {
        for prediction in predictions {
            let Prediction {
                case,
                frame,
                region,
                probability,
                threshold,
            } = prediction;
            placements.push(Placement {
                branch: branch.clone(),
                case: case.clone(),
                image: frame.original,
                reduce: frame.reduce,
                origin: region.origin,
                threshold: *threshold,
            });
            let view = TensorView::new(Dtype::U8, region.size.to_vec(), probability)
                .expect("a byte for every pixel of the region");
            views.push((format!("{branch}/{case}"), view));
        }
    }
    let placements = serde_json::to_string(&placements).expect("placements are plain data");
    // One entry only: the file's metadata is written in a hash map's order.
    let metadata = HashMap::from([("placements".to_owned(), placements)]);
    safetensors::serialize(views, Some(metadata)).expect("names are distinct")
}

/// Reads predictions, branch by branch. Each lies within its image, which is no larger than images
/// that can be read; together they hold no more bytes than they are read from.
///
/// # Errors
/// The bytes are not what [`predictions`] writes.
pub fn parse_predictions(bytes: &[u8]) -> Result<Vec<(String, Vec<Prediction>)>, String> {
    let wrong = |what: &str| format!("{PREDICTIONS}: {what}");
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| wrong(&error.to_string()))?;
    let placements = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get("placements"))
        .ok_or_else(|| wrong("no placements"))?;
    let placements: Vec<Placement> =
        serde_json::from_str(placements).map_err(|error| wrong(&error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(&error.to_string()))?;
    let mut placed = HashSet::new();
    let mut branches: Vec<(String, Vec<Prediction>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for placement in placements {
        let name = format!("{}/{}", placement.branch, placement.case);
        let view = file
            .tensor(&name)
            .map_err(|error| wrong(&error.to_string()))?;
        let &[height, width] = view.shape() else {
            return Err(wrong("a prediction is not a plane"));
        };
        if view.dtype() != Dtype::U8 {
            return Err(wrong("a prediction is not in bytes"));
        }
        let size = [height, width];
        if placement.threshold == 0 {
            return Err(wrong(&format!("{name} has the threshold 0")));
        }
        if !placement.holds(size) {
            return Err(wrong(&format!("{name} does not lie in its image")));
        }
        let Placement {
            branch,
            case,
            image,
            reduce,
            origin,
            threshold,
        } = placement;
        if !placed.insert(name) {
            return Err(wrong(&format!("{branch} has two predictions of {case}")));
        }
        let at = *index.entry(branch).or_insert_with_key(|branch| {
            branches.push((branch.clone(), Vec::new()));
            branches.len() - 1
        });
        branches[at].1.push(Prediction {
            case,
            frame: Frame {
                original: image,
                reduce,
            },
            region: Region { origin, size },
            probability: view.data().to_vec(),
            threshold,
        });
    }
    Ok(branches)
}

impl Placement {
    /// Whether a region of this size lies in the image, as [`Prepared::view`] makes them: its
    /// first pixel within the reduced image, its last within the padding to a multiple of 32.
    ///
    /// [`Prepared::view`]: crate::data::prepare::Prepared::view
    fn holds(&self, size: [usize; 2]) -> bool {
        let Self {
            image,
            reduce,
            origin,
            ..
        } = self;
        let readable = image.iter().all(|n| *n <= MAX_AXIS_PX) && image[0] * image[1] <= MAX_PIXELS;
        readable
            && (0..2).all(|axis| {
                let reduced = image[axis].checked_div(*reduce).unwrap_or(0);
                let end = origin[axis].saturating_add(size[axis]);
                origin[axis] < reduced && size[axis] > 0 && end <= reduced.next_multiple_of(32)
            })
    }
}
