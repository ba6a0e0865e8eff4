//! The words a manifest chooses from: one enum per key.

use serde::{Deserialize, Serialize};

use super::{
    document::quoted,
    kind::{Key, ValueKind, Word},
    reader::Section,
    sections::ManifestValue,
};
use crate::{
    key::Sink,
    method::FusionRegion,
    metric::{Assd, Hd95},
};

/// An enum whose values are the words of a manifest key.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[doc = $means:literal])+ $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $means])+ #[serde(rename = $word)] $variant),+
        }

        spoken! { $name { $($(#[doc = $means])+ $variant = $word),+ } }
    };
}

/// The words that a manifest has for the values of an enum.
macro_rules! spoken {
    (
        $name:ident {
            $($(#[doc = $means:literal])+ $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        impl $name {
            /// Every value with its word.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($word, $name::$variant)),+];

            /// The words as the values of a key.
            pub const KIND: ValueKind = ValueKind::Words(&[
                $(Word { word: $word, doc: concat!($($means),+) }),+
            ]);

            /// The word of the manifest.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl ManifestValue for $name {
            fn read(section: &Section<'_>, key: &Key, default: &Self) -> Self {
                section.choice(key.last(), Self::ALL, *default)
            }

            fn toml(&self) -> String {
                quoted(self.word())
            }

            fn enter(&self, name: &str, sink: &mut Sink) {
                sink.text(name, self.word());
            }
        }
    };
}

words! {
    /// Where the crop of a test image lies.
    CropAt {
        /// Centred on the bounding box of the foreground, kept within the image.
        Foreground = "foreground",
        /// Centred on the image.
        Centre = "centre",
    }
}

words! {
    /// An axis of a file, in the order in which NIfTI stores them.
    FileAxis {
        /// The first.
        X = "x",
        /// The second.
        Y = "y",
        /// The third.
        Z = "z",
        /// The fourth.
        T = "t",
    }
}
words! {
    /// An axis of a volume.
    SliceAxis {
        /// The first of its file.
        X = "x",
        /// The second.
        Y = "y",
        /// The third.
        Z = "z",
    }
}
words! {
    /// Which slices of a volume are cases.
    KeepSlices {
        /// Those in which any of the masks has a pixel inside.
        Foreground = "foreground",
        /// All of them.
        All = "all",
    }
}
words! {
    /// The latent that a probabilistic U-Net serves a new expert with, where nothing is trained.
    LatentServed {
        /// The mean of the posterior over the new expert's cases, the same for every image.
        Posterior = "posterior",
        /// The prior of each image, moved as far as the posterior is from it over those cases.
        Relative = "relative",
    }
}

words! {
    /// The part of a test image that is the network's input. Instance norm's statistics depend on
    /// it.
    FieldOfView {
        /// A window as large as the training crop.
        Crop = "crop",
        /// The whole image, padded with background to a multiple of 32.
        Full = "full",
    }
}

words! {
    /// How the first convolution is initialised.
    FirstConv {
        /// Uniform within one seventh, as PyTorch initialises a replaced layer.
        Uniform = "uniform",
        /// Like the rest of the encoder.
        Kaiming = "kaiming",
    }
}

words! {
    /// Which experts' branches a training step passes through.
    ExpertBatching {
        /// Every image through every expert's branch: the paper's equation (1).
        All = "all",
        /// Every slot of the batch draws one expert, in balance.
        OnePerImage = "one_per_image",
    }
}

words! {
    /// Which combinations of annotation experts meet which ways of sampling.
    Pairing {
        /// Every combination with every way of sampling. Results share their pretrainings: a test
        /// does not see how much these differ by chance.
        Crossed = "crossed",
        /// Every way of sampling with a combination and a pretraining of its own, in turn. What
        /// pretrainings differ by is part of what a test sees.
        Matched = "matched",
    }
}

words! {
    /// What one Dice loss is taken over.
    Reduction {
        /// One image at a time, then the mean.
        Image = "image",
        /// All pixels of the batch together.
        Batch = "batch",
    }
}

words! {
    /// The cells among which the best is sought.
    Block {
        /// One measure in one panel: all rows and columns.
        Table = "table",
        /// One metric in one printed row of it.
        Row = "row",
        /// One printed column of it.
        Column = "column",
    }
}

words! {
    /// What stands beside the mean in a table's cells.
    Spread {
        /// Nothing.
        None = "none",
        /// The standard deviation over the results of the cell.
        Sd = "sd",
    }
}

words! {
    /// The paired test.
    Paired {
        /// Results are taken as independent, as in the paper.
        Student = "student",
        /// With Nadeau and Bengio's larger variance, as trainings share cases.
        NadeauBengio = "nadeau_bengio",
    }
}

words! {
    /// The unpaired test.
    Unpaired {
        /// Equal variances.
        Student = "student",
        /// Unequal variances.
        Welch = "welch",
    }
}

words! {
    /// A rule that chooses one of the combinations of annotation experts for a new expert.
    SelectionRule {
        /// None: the mean over all combinations of a size, to which the others are compared.
        Mean = "mean",
        /// The experts whose masks of the support cases agree best with the new expert's.
        Agreement = "agreement",
        /// The experts whose majority agrees best with the new expert on the support cases.
        Cover = "cover",
        /// The experts whose areas on the support cases are, in the mean, nearest to the new
        /// expert's.
        Style = "style",
        /// The experts whose masks of the training cases agree best with each other's.
        Alike = "alike",
        /// The experts whose masks of the training cases agree least with each other's.
        Unlike = "unlike",
        /// The experts whose branches of a network of all of them fit the new expert's support
        /// cases best.
        Branch = "branch",
        /// Not a rule: the combination that was best in the other repeats.
        BestElsewhere = "best-elsewhere",
        /// Not a rule: the combination that was best, in this result and measure.
        Best = "best",
        /// Not a rule: the combination that was worst, in this result and measure.
        Worst = "worst",
    }
}

impl SelectionRule {
    /// Whether it chooses without knowing results.
    pub fn is_applicable(self) -> bool {
        self == Self::Branch || self.is_by_masks()
    }

    /// Whether it chooses by masks alone, before any training.
    pub fn is_by_masks(self) -> bool {
        match self {
            Self::Agreement | Self::Cover | Self::Style | Self::Alike | Self::Unlike => true,
            Self::Branch | Self::Mean | Self::BestElsewhere | Self::Best | Self::Worst => false,
        }
    }
}

spoken! {
    FusionRegion {
        /// On all of the image. The more background there is, the more a single vote weighs.
        Slice = "slice",
        /// On the bounding box of all that any expert marked, with a margin of eight pixels.
        Box = "box",
    }
}

spoken! {
    Assd {
        /// The mean over both sets of distances together.
        Pooled = "pooled",
        /// The mean of the two directions' means.
        Macro = "macro",
    }
}

spoken! {
    Hd95 {
        /// The percentile of both sets together, as MedPy.
        Pooled = "pooled",
        /// The larger of the two directions' percentiles, as MONAI.
        MaxDirected = "max_directed",
    }
}

words! {
    /// The unit of distances.
    SpacingFrom {
        /// Pixels.
        Unit = "unit",
        /// The image header's millimetres.
        Header = "header",
    }
}

impl SpacingFrom {
    /// The unit's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Unit => "px",
            Self::Header => "mm",
        }
    }
}

words! {
    /// Whether a mask may reach out of the test crop.
    CutMasks {
        /// Stop and name the cases.
        Refuse = "refuse",
        /// Name the cases and go on.
        Allow = "allow",
    }
}

words! {
    /// Which networks' weights stay in the store; predictions stay of all of them.
    Keep {
        /// Those of pretrainings, which other stages need.
        Pretrained = "pretrained",
        /// All: at the paper's size 57 MB for every run.
        All = "all",
    }
}

words! {
    /// Where the crop of a training image lies.
    Translation {
        /// Uniformly anywhere within the image that keeps the foreground's centre in view.
        Random = "random",
        /// Where a test crop would lie.
        None = "none",
    }
}
