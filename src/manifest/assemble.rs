//! Reads a whole manifest: the specs by their tables, the grid and the reference by hand.
//!
//! The rule: what a single value must satisfy is checked where it is read; what several values must
//! satisfy together is checked at the end, and reported at the value the user would change.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use itertools::Itertools;

use super::{
    data_keys, data_set,
    data_spec::DataSpec,
    declared,
    experiment::*,
    experts,
    grid::{Annotators, Grid, MOST_RUNS},
    kind::{Key, SIDE_UNIT},
    problem::Place,
    reader::{Located, Section},
    recipe::*,
    sections::{ManifestValue, SectionSpec},
    selection::selection,
    swept::Swept,
    table::{
        self, FusionOptions, LatentKeys, MoreGrid, MoreImage, MorePretrain, MoreTraining, Top,
    },
};
use crate::{
    grid::{Chosen, ExpertNames},
    key::Memo,
    method::{Annotation, Method, TrainedOn, Words},
};

/// Reads a whole manifest; problems go to the section.
pub(super) fn experiment(
    root: Section<'_>,
    name: &str,
    profile: &str,
    sweep: &[Swept],
) -> Experiment {
    let top = Top::read(&root, &Top::default());
    let (cohort, data) = described(root.section("dataset"));
    let image_section = root.section("image");
    let MoreImage { cut_masks } = MoreImage::read(&image_section, &MoreImage::default());
    let image = image(image_section);
    let training_section = root.section("training");
    let MoreTraining { lr } = MoreTraining::read(&training_section, &MoreTraining::default());
    let training = TrainingSpec::read_whole(training_section, &TrainingSpec::default());
    let network = NetworkSpec::read_whole(root.section("network"), &NetworkSpec::default());
    let augment = AugmentSpec::read_whole(root.section("augment"), &AugmentSpec::default());
    let budget =
        |key, default: Budget| Budget::read_whole(root.section(key), &Budget { lr, ..default });
    let metrics = Metrics::read_whole(root.section("metrics"), &Metrics::default());
    let statistics = Statistics::read_whole(root.section("statistics"), &Statistics::default());
    let sections = root.tables("method");
    let places = sections.iter().map(|(name, section)| {
        let place = section.place().clone();
        (name.clone(), place)
    });
    let places: Vec<(String, Place)> = places.collect();
    let own = methods(sections);
    let grid = grid(root.section("grid"), cohort, &data.experts, &own);
    let warnings = unnamed_methods(&places, &grid);
    let table = declared::table_spec(root.section("table"), &grid, sweep);
    let selection = selection(root.section("selection"), &grid);
    let pretrain = pretrain(root.section("pretrain"), lr, &grid, cohort);
    let probabilistic =
        LatentKeys::read_whole(root.section("probabilistic"), &LatentKeys::default());
    let experiment = Experiment {
        name: name.to_owned(),
        path: PathBuf::new(),
        title: top.title,
        profile: profile.to_owned(),
        overrides: Vec::new(),
        changes: Vec::new(),
        warnings,
        sweep: Vec::new(),
        document: None,
        seed: top.seed,
        cohort,
        data: Arc::new(data),
        grid,
        table,
        selection,
        recipe: Memo::new(Recipe {
            image,
            network,
            training,
            augment,
        }),
        pretrain,
        scratch: budget("scratch", Budget::FROM_RANDOM),
        finetune: budget("finetune", Budget::FINETUNE),
        metrics: Memo::new(metrics),
        statistics,
        cut_masks,
        fusion_region: FusionOptions::read_whole(root.section("fusion"), &FusionOptions::default())
            .region,
        latent: LatentSpec {
            dimensions: probabilistic.latent,
            beta: probabilistic.beta,
        },
        latent_lr_factor: probabilistic.lr_factor,
        latent_served: probabilistic.serve,
        keep: top.keep,
        reference: reference(root.section("reference")),
    };
    // Laying the layers over each other has read these.
    for key in ["extends", "profile", "sweep"] {
        root.skip(key);
    }
    root.finish();
    experiment
}

/// What the manifest expects of the data set, and how it is found and read.
fn described(section: Section<'_>) -> (Cohort, DataSpec) {
    let cohort = Cohort::read(&section, &Cohort::default());
    let names = experts::names(&section);
    let path_key = &data_keys::DATA_PATH;
    if section
        .optional::<String>(path_key.last())
        .is_some_and(|path| path.is_empty())
    {
        section.note(
            section.place_of(path_key.last()),
            "`dataset.path` is empty; name the folder, or take the key out",
        );
    }
    let data = data_set::read(&section, path(&section, path_key), names);
    if data.path.is_some() || data.files.is_some() {
        section.mark_described_data();
    }
    section.finish();
    (cohort, data)
}

/// The values of an axis.
fn list(section: &Section<'_>, axis: &Key) -> Vec<Located<usize>> {
    section.list(axis.last(), axis.example())
}

/// The methods of the sections `[method.NAME]`, by their names; none where a section has a problem,
/// which is noted.
fn methods(sections: Vec<(String, Section<'_>)>) -> Vec<(String, Option<Method>)> {
    let mut methods = Vec::new();
    for (name, section) in sections {
        let [annotation, multitask, branch, adapt] = Words::KEYS.map(|(key, words)| {
            let example = format!("\"{}\"", words[0]);
            section.require::<String>(key, &example).value
        });
        let mut read = None;
        if let (Some(annotation), Some(multitask), Some(branch), Some(adapt)) =
            (&annotation, &multitask, &branch, &adapt)
        {
            let words = Words {
                annotation,
                multitask,
                branch,
                adapt,
            };
            match Method::from_words(&name, &words) {
                Ok(method) => read = Some(method),
                Err(errors) => {
                    for error in errors {
                        let place = match error.key {
                            Some(key) => section.place_of(key),
                            None => section.place(),
                        };
                        section.note(place, error.text);
                    }
                }
            }
        }
        if section.has("finetune") {
            section.skip("finetune");
            let wrong = format!("`{}` is no key of a method", section.name("finetune"));
            let remedy = match adapt.as_deref() {
                Some("select") => "a method that selects is not fine-tuned; take it out",
                _ => {
                    "`[finetune]` holds for all methods of a manifest; sweep its keys, as in \
                     `[sweep] finetune.lr = [1e-3, 1e-2]`, or give this method a manifest of its \
                     own"
                }
            };
            section.note(section.place_of("finetune"), format!("{wrong}; {remedy}"));
        }
        section.finish();
        methods.push((name, read));
    }
    methods
}

/// What is to be said of methods that the manifest defines and its grid does not name.
fn unnamed_methods(defined: &[(String, Place)], grid: &Grid) -> Vec<String> {
    let named = |name: &str| grid.methods.iter().any(|chosen| &*chosen.word == name);
    let idle = defined.iter().filter(|(name, _)| !named(name));
    idle.map(|(name, place)| {
        format!(
            "{place}: `[method.{name}]` is of no use, as `grid.methods` does not name it; name it \
             there, or take the section out"
        )
    })
    .collect()
}

fn grid(
    section: Section<'_>,
    cohort: Cohort,
    names: &[String],
    own: &[(String, Option<Method>)],
) -> Grid {
    let new_experts = experts::list(&section, &table::NEW_EXPERTS, names);
    let (methods, all_known) = chosen(&section, own);
    let any = |is: fn(&Method) -> bool| methods.iter().any(|chosen| is(&chosen.method));
    let with = any(Method::is_pretrained);
    // Where a method is not known, it may be one that pretrains.
    let none_pretrains = !with && all_known;
    let single = any(|method| method.trained_on == TrainedOn::AnotherExpert);

    let dealt = any(|method| method.annotation == Annotation::Cohort);
    let annotators = annotators(&section, (with, dealt), &new_experts, cohort, names);
    let train_experts = if single {
        experts::list(&section, &table::TRAIN_EXPERTS, names)
    } else {
        section.skip(table::TRAIN_EXPERTS.last());
        Vec::new()
    };
    let samples = list(&section, &table::SAMPLES);
    let starts = list(&section, &table::STARTS);
    let MoreGrid { pairing, repeats } = MoreGrid::read(&section, &MoreGrid::default());
    let grid = Grid {
        new_experts: known_experts(&section, "grid.new_experts", &new_experts, cohort),
        methods,
        annotators,
        train_experts: known_experts(&section, "grid.train_experts", &train_experts, cohort),
        samples: distinct(&section, "grid.samples", &samples, |n| {
            match n {
            0 if none_pretrains => Some(
                "without samples only a pretrained network can be tested, and no method pretrains; \
                 take out 0, or add a method like \"customised\""
                    .to_owned(),
            ),
            n => (n > cohort.training).then(|| {
                format!(
                    "cannot take {n} samples of {0} training cases; take 1 to {0}",
                    cohort.training
                )
            }),
        }
        }),
        starts: distinct(&section, "grid.starts", &starts, |start| {
            (start < 1 || start > cohort.training).then(|| {
                format!(
                    "there is no training case {start} to start from; starts are 1 to {}",
                    cohort.training
                )
            })
        }),
        names: ExpertNames::new(names),
        pairing,
        repeats,
    };
    let runs = grid.runs();
    if runs > MOST_RUNS {
        section.note(
            section.place(),
            format!(
                "the grid has {runs:.3e} runs, more than {MOST_RUNS:e}; take fewer combinations, \
                 samples, starts or repeats"
            ),
        );
    }
    section.finish();
    grid
}

/// Experts of a list, each of whom the data set has.
fn known_experts(
    section: &Section<'_>,
    key: &str,
    list: &[Located<usize>],
    cohort: Cohort,
) -> Vec<u8> {
    let unknown = |expert: usize| expert < 1 || expert > usize::from(cohort.experts);
    if list.iter().any(|expert| unknown(expert.value)) {
        section.mark_unknown_expert();
    }
    let experts = distinct(section, key, list, |expert| {
        unknown(expert).then(|| {
            format!(
                "there is no expert {expert} where `dataset.experts` is {0}: that is the highest \
                 expert's number, so that experts are 1 to {0}",
                cohort.experts
            )
        })
    });
    experts.into_iter().map(|expert| expert as u8).collect()
}

/// Who annotates for pretraining; empty where nothing is pretrained.
fn annotators(
    section: &Section<'_>,
    (with, dealt): (bool, bool),
    new_experts: &[Located<usize>],
    cohort: Cohort,
    names: &[String],
) -> Annotators {
    let annotators_section = section.section("annotators");
    let mut from = Vec::new();
    let mut choose = Vec::new();
    if with {
        from = experts::list(&annotators_section, &table::FROM, names);
        choose = list(&annotators_section, &table::CHOOSE);
        let most = cohort.training;
        for choose in choose.iter().filter(|choose| dealt && choose.value > most) {
            annotators_section.note(
                &choose.place,
                format!(
                    "{0} experts, each with images of their own, need {0} training cases, and \
                     there are {most}; choose fewer",
                    choose.value
                ),
            );
        }
    } else {
        // Without pretraining the keys have no effect, and may stay.
        annotators_section.skip(table::FROM.last());
        annotators_section.skip(table::CHOOSE.last());
    }
    for annotator in &from {
        if new_experts.iter().any(|new| new.value == annotator.value) {
            annotators_section.note(
                &annotator.place,
                format!(
                    "expert {0} is both an annotation expert and a new expert; take {0} out of \
                     `grid.annotators.from` or out of `grid.new_experts`",
                    annotator.value
                ),
            );
        }
    }
    let candidates = from.len();
    let annotators = Annotators {
        from: known_experts(&annotators_section, "grid.annotators.from", &from, cohort),
        choose: distinct(
            &annotators_section,
            "grid.annotators.choose",
            &choose,
            |k| {
                (k < 1 || k > candidates).then(|| {
                    format!(
                        "cannot choose {k} of {candidates} annotation experts; choose 1 to \
                     {candidates}, or add experts to `grid.annotators.from`"
                    )
                })
            },
        ),
    };
    annotators_section.finish();
    annotators
}

/// The methods of a grid, by their names, those that the manifest defines first; and whether all
/// that it names are known, and there are some.
fn chosen(section: &Section<'_>, own: &[(String, Option<Method>)]) -> (Vec<Arc<Chosen>>, bool) {
    let words = section.list::<String>(table::METHODS.last(), table::METHODS.example());
    let mut methods: Vec<Arc<Chosen>> = Vec::new();
    let mut all_known = true;
    for word in &words {
        let defined = own.iter().find(|(name, _)| *name == word.value);
        let found = match defined {
            Some((_, Some(method))) => Ok(method.clone()),
            // The problem of its section is noted.
            Some((_, None)) => {
                all_known = false;
                continue;
            }
            None => Method::named(&word.value).map_err(|why| match own {
                [] => why,
                own => {
                    let own = own.iter().map(|(name, _)| name);
                    format!("{why}; the manifest defines {}", own.format(", "))
                }
            }),
        };
        match found {
            Ok(method) => match methods.iter().find(|chosen| chosen.method == method) {
                Some(same) if *same.word == *word.value => {
                    section.note(
                        &word.place,
                        format!("method \"{}\" is named twice", word.value),
                    );
                }
                Some(same) => section.note(
                    &word.place,
                    format!("\"{}\" and \"{}\" are one method", same.word, word.value),
                ),
                None => methods.push(Arc::new(Chosen {
                    rank: methods.len(),
                    word: word.value.as_str().into(),
                    method,
                })),
            },
            Err(why) => {
                all_known = false;
                section.note(&word.place, why);
            }
        }
    }
    (methods, all_known && !words.is_empty())
}

/// Checks a list: nothing twice, every value fine. Keeps what is fine.
fn distinct<T>(
    section: &Section<'_>,
    key: &str,
    list: &[Located<T>],
    wrong: impl Fn(T) -> Option<String>,
) -> Vec<T>
where
    T: Copy + PartialEq + Display,
{
    let mut kept = Vec::new();
    for item in list {
        if kept.contains(&item.value) {
            section.note(&item.place, format!("`{key}` names {} twice", item.value));
        } else if let Some(why) = wrong(item.value) {
            section.note(&item.place, format!("`{key}`: {why}"));
        } else {
            kept.push(item.value);
        }
    }
    kept
}

/// The image's spec, whose crop is a multiple of what `reduce` and the network make of it.
fn image(section: Section<'_>) -> ImageSpec {
    let read = ImageSpec::read(&section, &ImageSpec::default());
    let ImageSpec { crop, reduce, .. } = read;
    let unit = SIDE_UNIT * reduce;
    let whole = crop > 0 && crop.is_multiple_of(unit);
    if !whole {
        let below = (crop / unit).max(1) * unit;
        let why = match reduce {
            1 => "the network halves its input five times".to_owned(),
            _ => {
                format!("the network halves its input five times, after `image.reduce = {reduce}`")
            }
        };
        section.note(
            section.place_of("crop"),
            format!(
                "`image.crop` is {}, not a multiple of {unit} ({why}); try {below} or {}",
                crop,
                below + unit
            ),
        );
    }
    section.finish();
    ImageSpec {
        crop: if whole { crop } else { unit },
        ..read
    }
}

/// Reads `[pretrain]`. Weights from a file may be adapted as they are: 0 steps are allowed.
fn pretrain(section: Section<'_>, lr: f64, grid: &Grid, cohort: Cohort) -> Pretrain {
    let (start, least) = match path(&section, &table::START) {
        Some(path) => (Start::File(path), 0),
        None => (Start::Random, 1),
    };
    let default = Budget::FROM_RANDOM;
    let MorePretrain {
        expert_batching,
        images,
        annotations,
    } = MorePretrain::read(&section, &MorePretrain::default());
    let limit = AnnotationLimit {
        images,
        annotations,
    };
    scarce(&section, &limit, grid, cohort);
    let pretrain = Pretrain {
        budget: Budget {
            steps: ManifestValue::read(&section, &table::pretrain_steps(least), &default.steps),
            lr: ManifestValue::read(&section, &Budget::KEYS[1], &lr),
            expert_lr_factor: ManifestValue::read(
                &section,
                &Budget::KEYS[2],
                &default.expert_lr_factor,
            ),
            average: ManifestValue::read(&section, &Budget::KEYS[3], &default.average),
        },
        batching: expert_batching,
        limit,
        start,
    };
    section.finish();
    pretrain
}

/// Refuses fewer annotations or images than the annotators need.
fn scarce(section: &Section<'_>, limit: &AnnotationLimit, grid: &Grid, cohort: Cohort) {
    if !grid.pretrains() {
        return;
    }
    let most = grid.annotators.choose.iter().copied().max().unwrap_or(0);
    let AnnotationLimit {
        images,
        annotations,
    } = *limit;
    if annotations > 0 && annotations < most {
        section.note(
            section.place_of("annotations"),
            format!(
                "`pretrain.annotations` is {annotations}, so that not each of {most} annotators \
                 has a mask; it must be {most} or more, or take fewer annotators"
            ),
        );
    }
    if images > cohort.training {
        section.note(
            section.place_of("images"),
            format!(
                "`pretrain.images` is {images}, more than the {} training cases of the data set",
                cohort.training
            ),
        );
    }
    let shared = |chosen: &Arc<Chosen>| chosen.method.annotation == Annotation::Cohort;
    if images > 0 && images < most && grid.methods.iter().any(shared) {
        section.note(
            section.place_of("images"),
            format!(
                "`pretrain.images` is {images}, too few for {most} annotators who share the \
                 images; it must be {most} or more, or take fewer annotators"
            ),
        );
    }
}

/// A path is relative to the manifest that names it; on the command line, to where it is typed.
fn path(section: &Section<'_>, key: &Key) -> Option<PathBuf> {
    let named = section.read(key.last(), String::new());
    let folder = match &named.place {
        Place::File { path, .. } => Path::new(&**path).parent(),
        Place::Override(_) | Place::Whole(_) => None,
    };
    (!named.value.is_empty()).then(|| folder.unwrap_or(Path::new("")).join(named.value))
}

fn reference(section: Section<'_>) -> Option<Published> {
    let published = path(&section, &table::VALUES).map(|values| Published {
        source: ManifestValue::read(&section, &table::SOURCE, &values.display().to_string()),
        dataset: ManifestValue::read(&section, &table::LABEL, &String::new()),
        values,
    });
    if published.is_none() {
        section.skip(table::SOURCE.last());
        section.skip(table::LABEL.last());
    }
    section.finish();
    published
}
