//! The options that say how files become images and masks, as `[dataset]` does in a manifest.

use clap::Args;

use crate::manifest::{Channel, FileReading, MOST_LABEL};

/// How masks are read.
#[derive(Clone, Debug, Args)]
pub(super) struct MaskOptions {
    /// Label of the masks that is inside, or several that are merged: `--label 1,2` [default: the
    /// one value above 0].
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_LABEL)))]
    pub(super) label: Vec<u32>,
}

/// How images are read.
#[derive(Clone, Debug, Args)]
pub(super) struct ImageOptions {
    /// Channel of images that have several: its number, from 0, `sum` or `mean`.
    #[arg(long, value_name = "N", value_parser = channel)]
    pub(super) channel: Option<Channel>,
}

fn channel(text: &str) -> Result<Channel, String> {
    match (text, text.parse()) {
        ("sum", _) => Ok(Channel::Sum),
        ("mean", _) => Ok(Channel::Mean),
        (_, Ok(index)) => Ok(Channel::One(index)),
        _ => Err("write the number of a channel, from 0, or `sum` or `mean`".to_owned()),
    }
}

impl ImageOptions {
    /// What they ask for.
    pub(super) fn reading(&self) -> FileReading {
        FileReading {
            channel: self.channel,
            ..FileReading::default()
        }
    }
}
