//! `expertgrid fuse`: one mask from those of several experts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use anyhow::{Context, Error};
use clap::{Args, ValueEnum};
use itertools::Itertools;
use rayon::prelude::*;

use super::{DescribedSet, Done, Failure, ImageOptions, MaskOptions, output::print};
use crate::{
    data::{Case, Expert, Mask, by_cause, folder, grouped, nifti::write_mask, qubiq},
    file_name::folded,
    fusion::{FusedMask, Performance, Rule, fuse},
    grid::ExpertNames,
    manifest::{self, FileReading},
    method::FusionRegion,
};

#[derive(Debug, Args)]
#[command(
    after_help = "CASES is a folder of cases, each with image.nii.gz and task01_segNN.nii.gz (NN \
                  the expert's number), or one such case, or a whole data set, or a manifest that \
                  describes one. A fused mask has the name of its case and its image's header. \
                  experts.csv holds every expert's sensitivity and specificity in every case: of \
                  the pixels against the fused mask by majority, as estimated by STAPLE.

STAPLE (Warfield et al. 2004) weighs the experts by these. On a whole slice the background makes \
all specificities so high that it comes to two votes being enough; `--region box` estimates \
within the bounding box of all masks and 8 pixels around it. A tie is background.

Examples:
  expertgrid fuse my_cases -o majority
  expertgrid fuse data/phantom -o staple --rule staple --experts 1,2,3,4,5"
)]
pub(super) struct Arguments {
    /// Cases with the masks of several experts.
    #[arg(value_name = "CASES|MANIFEST")]
    cases: PathBuf,
    /// How masks become one.
    #[arg(long, value_enum, default_value = "majority")]
    rule: RuleChoice,
    /// Where STAPLE estimates the experts' performance [default: slice].
    #[arg(long, value_enum)]
    region: Option<RegionChoice>,
    /// Whose masks are fused, by number or name: `--experts 1,2,3` [default: of each case all].
    #[arg(long, value_name = "EXPERT", value_delimiter = ',')]
    experts: Vec<String>,
    /// Folder of the data set that the manifest describes [default: its `dataset.path`, or
    /// data/phantom].
    #[arg(long, value_name = "DIR")]
    dataset: Option<PathBuf>,
    #[command(flatten)]
    images: ImageOptions,
    #[command(flatten)]
    masks: MaskOptions,
    /// Folder to write to; files there are not replaced.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuleChoice {
    /// Inside where more than half of the experts are.
    Majority,
    /// Simultaneous truth and performance level estimation.
    Staple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RegionChoice {
    /// On all of the image.
    Slice,
    /// In the bounding box of all masks and 8 pixels around it.
    Box,
}

/// The table beside the masks.
const TABLE: &str = "experts.csv";

/// A case with its fused mask.
struct FusedCase<'a> {
    case: &'a Case,
    experts: Vec<Expert>,
    fused: FusedMask,
}

pub(super) fn run(arguments: &Arguments) -> Result<Done, Failure> {
    let rule = arguments.rule()?;
    let (cases, names) = arguments.read()?;
    let chosen = chosen(&arguments.experts, &names, &cases)?;
    arguments.refuse_taken(&cases)?;
    let fused = cases
        .par_iter()
        .map(|case| fused(case, &chosen, rule))
        .collect::<Result<Vec<_>, Failure>>()?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| {
            let out = arguments.out.display();
            format!("{out} cannot be created; choose another folder")
        })
        .map_err(Failure::Input)?;
    for FusedCase { case, fused, .. } in &fused {
        let path = arguments.output(&case.name);
        write_mask(&path, &fused.mask, &case.header).map_err(|fault| {
            Failure::Work(Error::new(fault).context(path.display().to_string()))
        })?;
    }
    let path = arguments.out.join(TABLE);
    std::fs::write(&path, table(&fused, &names))
        .with_context(|| path.display().to_string())
        .map_err(Failure::Work)?;
    print(summary(&fused, &names));
    print(format_args!(
        "{} by {}, written to {}",
        match fused.len() {
            1 => "1 mask".to_owned(),
            n => format!("{n} masks"),
        },
        match arguments.rule {
            RuleChoice::Majority => "majority",
            RuleChoice::Staple => "STAPLE",
        },
        arguments.out.display()
    ));
    for note in notes(&fused, &names, rule) {
        eprintln!("note: {note}");
    }
    Ok(Done::Whole)
}

impl Arguments {
    fn rule(&self) -> Result<Rule, Failure> {
        match (self.rule, self.region) {
            (RuleChoice::Majority, None) => Ok(Rule::Majority),
            (RuleChoice::Majority, Some(_)) => Err(Failure::refused(
                "`--region` says where STAPLE estimates; a majority is the same everywhere: add \
                 `--rule staple`, or take `--region` out",
            )),
            (RuleChoice::Staple, None | Some(RegionChoice::Slice)) => {
                Ok(Rule::Staple(FusionRegion::Slice))
            }
            (RuleChoice::Staple, Some(RegionChoice::Box)) => Ok(Rule::Staple(FusionRegion::Box)),
        }
    }

    /// The cases, and what their experts are called.
    fn read(&self) -> Result<(Vec<Case>, ExpertNames), Failure> {
        let named = self.cases.extension().is_none_or(|ending| ending == "toml");
        if self.cases.is_file() && !named {
            return Err(Failure::refused(format!(
                "{} is neither a folder nor a manifest; give the folder of its case",
                self.cases.display()
            )));
        }
        let is_manifest = manifest::found(&self.cases).is_file() && !self.cases.is_dir();
        if !is_manifest && self.dataset.is_none() && !qubiq::is_data_set(&self.cases) {
            let reading = FileReading {
                labels: self.masks.label.clone(),
                ..self.images.reading()
            };
            let found = folder::annotated_by_any(&self.cases, &reading).map_err(Failure::input)?;
            for line in grouped(&found.warnings) {
                eprintln!("{line}");
            }
            return Ok((found.cases, ExpertNames::default()));
        }
        if !self.masks.label.is_empty() || self.images.channel.is_some() {
            return Err(Failure::refused(format!(
                "{} is a whole data set: `label` and `channel` under `[dataset]` in a manifest say \
                 how its files are read, not `--label` and `--channel`",
                self.cases.display()
            )));
        }
        let dataset = DescribedSet::of(&self.cases, self.dataset.as_deref())?.open()?;
        for line in grouped(&dataset.warnings) {
            eprintln!("{line}");
        }
        let names = ExpertNames::new(&dataset.names);
        let cases = dataset.training.into_iter().chain(dataset.test);
        Ok((cases.collect(), names))
    }

    fn output(&self, case: &str) -> PathBuf {
        self.out.join(format!("{case}.nii.gz"))
    }

    /// Refuses to replace a file, and cases that would be written to one.
    fn refuse_taken(&self, cases: &[Case]) -> Result<(), Failure> {
        let why = || {
            let out = self.out.display();
            format!("is in {out} already; choose another folder")
        };
        let outputs = cases.iter().map(|case| format!("{}.nii.gz", case.name));
        let outputs = std::iter::once(TABLE.to_owned()).chain(outputs);
        let taken = outputs.filter(|name| self.out.join(name).exists());
        let mut problems = by_cause(taken.map(|name| (name, why())));
        let mut writers: HashMap<String, &str> = HashMap::new();
        for case in cases {
            if let Some(other) = writers.insert(folded(&case.name), &case.name) {
                problems.push(format!(
                    "two cases, {other} and {}, would both be written to {}; fuse them from \
                     folders of their own",
                    case.name,
                    self.output(&case.name).display()
                ));
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Failure::refused(problems.join("\n"))),
        }
    }
}

/// The experts that the command line names; empty for all.
fn chosen(
    words: &[String],
    names: &ExpertNames,
    cases: &[Case],
) -> Result<BTreeSet<Expert>, Failure> {
    let known: BTreeSet<Expert> = cases
        .iter()
        .flat_map(|case| case.annotations.keys().copied())
        .collect();
    let mut chosen = BTreeSet::new();
    for word in words {
        let named = known.iter().find(|expert| names.show(**expert) == *word);
        let numbered = word.parse().ok().filter(|expert| known.contains(expert));
        let Some(expert) = named.copied().or(numbered) else {
            let known = known.iter().map(|expert| names.show(*expert)).join(", ");
            return Err(Failure::refused(format!(
                "no case has a mask of expert \"{word}\"; the experts are {known}"
            )));
        };
        chosen.insert(expert);
    }
    let lacking = cases.iter().filter_map(|case| {
        let has = |expert: &&Expert| case.annotations.contains_key(expert);
        let lacking = chosen.iter().filter(|expert| !has(expert));
        let lacking = lacking.map(|expert| names.show(*expert)).join(", ");
        (!lacking.is_empty()).then(|| {
            format!(
                "{} has no mask of {lacking}; add it, move the case away, or name other experts",
                case.name
            )
        })
    });
    let lacking = lacking.collect_vec();
    match lacking.is_empty() {
        true => Ok(chosen),
        false => Err(Failure::refused(lacking.join("\n"))),
    }
}

fn fused<'a>(
    case: &'a Case,
    chosen: &BTreeSet<Expert>,
    rule: Rule,
) -> Result<FusedCase<'a>, Failure> {
    let theirs = case.annotations.iter();
    let theirs = theirs.filter(|(expert, _)| chosen.is_empty() || chosen.contains(expert));
    let (experts, masks): (Vec<Expert>, Vec<&Mask>) = theirs
        .map(|(expert, annotation)| (*expert, &annotation.mask))
        .unzip();
    let fused = fuse(&masks, rule)
        .map_err(|error| Failure::Work(Error::new(error).context(case.name.clone())))?;
    Ok(FusedCase {
        case,
        experts,
        fused,
    })
}

/// One row per case and expert. Numbers are written in full; an undefined one is empty.
fn table(fused: &[FusedCase<'_>], names: &ExpertNames) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; 7]| {
        let written = writer.write_record(row);
        written.expect("a buffer in memory can be written");
    };
    write([
        "case",
        "expert",
        "sensitivity",
        "specificity",
        "area_px",
        "fused_area_px",
        "rounds",
    ]);
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for FusedCase {
        case,
        experts,
        fused,
    } in fused
    {
        for (expert, performance) in experts.iter().zip(&fused.performances) {
            write([
                &case.name,
                &names.show(*expert),
                &number(performance.sensitivity),
                &number(performance.specificity),
                &case.annotations[expert].mask.area_px().to_string(),
                &fused.mask.area_px().to_string(),
                &fused
                    .rounds
                    .map_or_else(String::new, |rounds| rounds.to_string()),
            ]);
        }
    }
    writer
        .into_inner()
        .expect("a buffer in memory can be written")
}

/// The experts' mean sensitivity and specificity over the cases in which they are defined.
fn summary(fused: &[FusedCase<'_>], names: &ExpertNames) -> String {
    let mut found: BTreeMap<Expert, Vec<Performance>> = BTreeMap::new();
    for case in fused {
        for (expert, performance) in case.experts.iter().zip(&case.fused.performances) {
            found.entry(*expert).or_default().push(*performance);
        }
    }
    let shown: BTreeMap<Expert, String> = found.keys().map(|e| (*e, names.show(*e))).collect();
    let widths = shown.values().map(|name| name.chars().count());
    let width = widths.max().unwrap_or(0).max("expert".len());
    let head = format!("{:width$}  cases  sensitivity  specificity", "expert");
    let mean = |all: &[Performance], of: fn(&Performance) -> Option<f64>| {
        let values = all.iter().filter_map(of).collect_vec();
        match values.is_empty() {
            true => "undefined".to_owned(),
            false => format!("{:.3}", values.iter().sum::<f64>() / values.len() as f64),
        }
    };
    let rows = found.iter().map(|(expert, all)| {
        format!(
            "{:width$}  {:>5}  {:>11}  {:>11}",
            shown[expert],
            all.len(),
            mean(all, |one| one.sensitivity),
            mean(all, |one| one.specificity)
        )
    });
    std::iter::once(head).chain(rows).join("\n")
}

/// How many cases a note names.
const NAMED: usize = 5;

/// What a user may not expect of the fused masks.
fn notes(fused: &[FusedCase<'_>], names: &ExpertNames, rule: Rule) -> Vec<String> {
    let of = |is: &dyn Fn(&FusedCase<'_>) -> bool| {
        let cases = fused.iter().filter(|case| is(case));
        let cases = cases.map(|case| case.case.name.as_str()).collect_vec();
        let named = cases.iter().take(NAMED).join(", ");
        match cases.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    };
    let marked = |case: &FusedCase<'_>| {
        let mut masks = case.experts.iter().map(|e| &case.case.annotations[e].mask);
        masks.any(|mask| mask.area_px() > 0)
    };
    let mut notes = Vec::new();
    let mut tell = |cases: String, what: &str| {
        if !cases.is_empty() {
            notes.push(format!("{what}: {cases}"));
        }
    };
    tell(
        of(&|case| case.fused.mask.area_px() == 0 && marked(case)),
        "nothing is inside the fused mask, though experts marked something",
    );
    tell(
        of(&|case| case.experts.len() == 1),
        "the fused mask is the mask of the only expert",
    );
    let most = fused
        .iter()
        .map(|case| case.experts.len())
        .max()
        .unwrap_or(0);
    tell(
        of(&|case| case.experts.len() > 1 && case.experts.len() < most),
        "fused from fewer experts than others",
    );
    if matches!(rule, Rule::Staple(_)) {
        let suspect = |case: &FusedCase<'_>| {
            let mut all = case.fused.performances.iter();
            all.any(Performance::is_no_better_than_chance)
        };
        let who = fused.iter().flat_map(|case| {
            let all = case.experts.iter().zip(&case.fused.performances);
            all.filter(|(_, performance)| performance.is_no_better_than_chance())
                .map(|(expert, _)| *expert)
        });
        let who = who.collect::<BTreeSet<_>>();
        let who = who.into_iter().map(|expert| names.show(expert)).join(", ");
        tell(
            of(&suspect),
            &format!(
                "STAPLE finds a mask no better than chance (sensitivity and specificity are 1 or \
                 less together; expert {who}); look at the fused masks before you use them"
            ),
        );
    }
    notes
}
