//! Cases: an image, the experts' masks of it, and the data set they belong to.
//!
//! The rule: a digest names decoded content (shape and pixels), never file bytes, so that
//! compressing a file anew or renaming a folder changes no key; and a data set opens whole or not
//! at all, with every problem reported at once.

pub mod alignment;
pub mod augment;
pub mod check;
pub mod fit;
pub mod folder;
pub mod guess;
pub mod nifti;
pub mod phantom;
pub mod prepare;
pub mod qubiq;
pub mod raster;
pub mod survey;
pub mod training_geometry;

mod case_files;
mod described;
mod label;
mod listing;
mod picture;
mod problem;
mod resample;
mod split;

use std::{collections::BTreeMap, path::Path};

use self::nifti::{Fault, Header, SpacingMm};
pub use self::{
    label::{GENERATOR, MARKER, Marker},
    problem::{DataProblem, DataProblems, Severity, by_cause, grouped},
};
use crate::key::{Digest, Keyed, Sink};
use crate::manifest::DataSpec;
use crate::metric::MaskView;

/// An expert's number, as in `task01_seg07`: 7.
pub type Expert = u8;

/// A 2-D image of one channel, `[height, width]`, row-major: pixel (x, y) is
/// `pixels[y * width + x]`.
///
/// x runs along NIfTI's first (fastest) axis, so the order in memory is the order in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Rows: NIfTI's second axis.
    pub height: usize,
    /// Columns: NIfTI's first axis.
    pub width: usize,
    /// `height * width` intensities, all finite.
    pub pixels: Vec<f32>,
}

impl Image {
    /// The intensity of the background: the value that the whole border has, as in CT (-1024), or
    /// else 0.
    pub fn background(&self) -> f32 {
        let mut border = self.border();
        let first = border.next().unwrap_or(0.0);
        match border.all(|value| value == first) {
            true => first,
            false => 0.0,
        }
    }

    /// Whether background surrounds what is shown: at least half of the border is background.
    pub fn is_surrounded(&self) -> bool {
        let background = self.background();
        let (of_it, others): (Vec<f32>, Vec<f32>) =
            self.border().partition(|value| *value == background);
        of_it.len() >= others.len()
    }

    /// The intensities of the outermost rows and columns.
    fn border(&self) -> impl Iterator<Item = f32> {
        let Self { height, width, .. } = *self;
        let rows = move |y: usize| match y == 0 || y + 1 == height {
            true => 1,
            // The first and the last column only.
            false => width.max(2) - 1,
        };
        let places = (0..height).flat_map(move |y| (y * width..(y + 1) * width).step_by(rows(y)));
        places.map(|place| self.pixels[place])
    }
}

/// A binary mask, `[height, width]`, in the order of [`Image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Rows: NIfTI's second axis.
    pub height: usize,
    /// Columns: NIfTI's first axis.
    pub width: usize,
    /// `height * width` pixels, `true` inside.
    pub pixels: Vec<bool>,
}

impl Mask {
    /// Number of pixels inside.
    pub fn area_px(&self) -> usize {
        self.pixels.iter().filter(|inside| **inside).count()
    }

    /// Borrows it for the metrics.
    ///
    /// # Panics
    /// The mask does not hold `height * width` pixels.
    pub fn view(&self) -> MaskView<'_> {
        MaskView::new(self.height, self.width, &self.pixels).expect("a mask has its pixels")
    }
}

/// Whether there are at most two different values, as in a mask.
fn two_valued(values: &[f32]) -> bool {
    let Some((first, rest)) = values.split_first() else {
        return true;
    };
    let second = rest.iter().find(|v| *v != first);
    second.is_none_or(|second| rest.iter().all(|v| v == first || v == second))
}

impl Keyed for Image {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            height,
            width,
            pixels,
        } = self;
        let bytes: Vec<[u8; 4]> = pixels.iter().map(|v| v.to_le_bytes()).collect();
        sink.u64("height", *height as u64);
        sink.u64("width", *width as u64);
        sink.digest("intensities", &Digest::of_bytes(bytes.as_flattened()));
        // Earlier versions took 0 for the background of every image. The extra field separates
        // their results of these images, and leaves all other keys as they were.
        if self.background() != 0.0 {
            sink.f64("background", self.background().into());
        }
    }
}

impl Keyed for Mask {
    fn fields(&self, sink: &mut Sink) {
        let Self {
            height,
            width,
            pixels,
        } = self;
        let bytes: Vec<u8> = pixels.iter().map(|inside| u8::from(*inside)).collect();
        sink.u64("height", *height as u64);
        sink.u64("width", *width as u64);
        sink.digest("inside", &Digest::of_bytes(&bytes));
    }
}

/// One expert's mask of a case.
#[derive(Clone, Debug)]
pub struct ExpertMask {
    /// The mask, of the image's shape.
    pub mask: Mask,
    /// Digest of the mask's shape and pixels.
    pub digest: Digest,
}

/// An image with the masks of every expert.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder's name: `case01`.
    pub name: String,
    /// The image.
    pub image: Image,
    /// Digest of the image's shape and pixels.
    pub image_digest: Digest,
    /// The masks, by expert.
    pub annotations: BTreeMap<Expert, ExpertMask>,
    /// The image's header; predictions are written with it.
    pub header: Header,
}

impl Case {
    /// A case with the digests of its image and masks.
    pub fn new(
        name: impl Into<String>,
        image: Image,
        header: Header,
        masks: impl IntoIterator<Item = (Expert, Mask)>,
    ) -> Self {
        let annotate = |(expert, mask): (Expert, Mask)| {
            let digest = mask.digest();
            (expert, ExpertMask { mask, digest })
        };
        Self {
            name: name.into(),
            image_digest: image.digest(),
            image,
            annotations: masks.into_iter().map(annotate).collect(),
            header,
        }
    }

    /// The mask of `expert`, if that expert annotated this case.
    pub fn mask(&self, expert: Expert) -> Option<&Mask> {
        self.annotations.get(&expert).map(|a| &a.mask)
    }

    /// Size of a pixel as the header gives it.
    ///
    /// # Errors
    /// See [`HeaderGeometry::spacing`](nifti::HeaderGeometry::spacing).
    pub fn spacing(&self) -> Result<SpacingMm, Fault> {
        self.header.spacing()
    }
}

impl Keyed for Case {
    fn fields(&self, sink: &mut Sink) {
        // Neither the name nor the header is content: cases are picked by their order, and spacing
        // enters the key of the evaluation that uses it.
        let Self {
            name: _,
            image: _,
            image_digest,
            annotations,
            header: _,
        } = self;
        sink.digest("image", image_digest);
        for (expert, annotation) in annotations {
            sink.digest(&format!("expert{expert}"), &annotation.digest);
        }
    }
}

/// Where images and masks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Images and masks drawn by a program; every result of them says so.
    Synthetic,
    /// Real anatomy with masks of simulated experts.
    SimulatedExperts,
    /// Real images with masks by human experts.
    Acquired,
    /// Unknown: the folder does not say.
    Undeclared,
}

impl Provenance {
    /// What whoever sees results or pictures of such data must know: what they are, and why they
    /// are no clinical data.
    pub fn warning(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Synthetic => Some((
                "Synthetic data",
                "the images and the experts' masks were drawn by a program",
            )),
            Self::SimulatedExperts => Some((
                "Simulated experts",
                "the images are real, the experts' masks were derived by a program",
            )),
            Self::Acquired | Self::Undeclared => None,
        }
    }
}

/// Every case of a data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name and origin, as tables and pages print them: `phantom (synthetic, seed 1)`.
    pub label: String,
    /// Where images and masks come from.
    pub provenance: Provenance,
    /// Training cases, in the numerical order of their names.
    pub training: Vec<Case>,
    /// Test cases, in the numerical order of their names.
    pub test: Vec<Case>,
    /// Experts that annotated every case, ascending.
    pub experts: Vec<Expert>,
    /// Names of experts, from number 1 on; empty where they have none.
    pub names: Vec<String>,
    /// What was done to images and masks on their way from the files; `None` where nothing was.
    pub preparation: Option<String>,
    /// [`content_digest`] of its cases.
    pub digest: Digest,
    /// Problems that do not prevent its use.
    pub warnings: Vec<DataProblem>,
}

impl Dataset {
    /// All cases: training, then test.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.training.iter().chain(&self.test)
    }

    /// Whether it is the phantom of the default seed, unchanged.
    pub fn is_default(&self) -> bool {
        // A phantom that was changed since has another label.
        self.provenance == Provenance::Synthetic
            && self.label == phantom::label(phantom::DEFAULT_SEED)
    }
}

/// Digest of all content of a data set, in order: independent of names, headers and compression.
pub fn content_digest(training: &[Case], test: &[Case]) -> Digest {
    struct Content<'a>(&'a [Case], &'a [Case]);
    impl Keyed for Content<'_> {
        fn fields(&self, sink: &mut Sink) {
            let digests = |cases: &[Case]| cases.iter().map(Keyed::digest).collect::<Vec<_>>();
            sink.digests("training", &digests(self.0));
            sink.digests("test", &digests(self.1));
        }
    }
    Content(training, test).digest()
}

/// Reads the data set in `dir`, all cases in parallel.
///
/// # Errors
/// Every problem found, warnings included, where at least one of them is an error.
pub fn open(dir: &Path) -> Result<Dataset, DataProblems> {
    open_as(dir, &DataSpec::default())
}

/// As [`open`], by the description of a manifest.
///
/// # Errors
/// As [`open`].
pub fn open_as(dir: &Path, spec: &DataSpec) -> Result<Dataset, DataProblems> {
    let survey = survey::survey(dir, spec);
    match survey.errors.is_empty() {
        true => Ok(survey.readable),
        false => Err(DataProblems(survey.problems().cloned().collect())),
    }
}
