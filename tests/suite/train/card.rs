//! Trainings on an emulated card, against the lanes engine: every form of a step, what a step
//! launches, interruptions.

use std::{num::NonZeroUsize, sync::Arc};

use candle_core::{DType, Tensor};
use expertgrid::{
    data::prepare::{Frame, Plane, Prepared, Region},
    engine::{
        Cuda, Lanes,
        cuda::{Conductor, Precision},
    },
    event::Step,
    manifest::{AugmentSpec, Budget, ExpertBatching, ImageSpec, Recipe},
    method::{Objective, Tuned},
    net::{Branches, ExpertLayers, UNet},
    seed::Seed,
    train::{Annotated, Next, TrainError, Training, Trains, Watch, train},
};

use super::course::{net, network_spec, numbers, training_spec};
use crate::support::emulated_card::{Counted, EmulatedCard, any_card, engine};

/// A kind of training.
#[derive(Clone, Debug)]
struct Form {
    branches: Branches,
    masks: usize,
    batching: ExpertBatching,
    /// Each case has the mask of one expert.
    dealt: bool,
    objective: Objective,
    tuned: Tuned,
    side: usize,
    steps: usize,
}

fn form(branches: Branches, masks: usize) -> Form {
    Form {
        branches,
        masks,
        batching: ExpertBatching::All,
        dealt: false,
        objective: Objective::Dice,
        tuned: Tuned::Everything,
        side: 32,
        steps: 2,
    }
}

const WIDTH: usize = 4;
const CASES: usize = 5;

impl Form {
    fn recipe(&self) -> Recipe {
        let paper = Recipe::default();
        Recipe {
            image: ImageSpec {
                crop: self.side,
                reduce: 1,
                ..paper.image
            },
            network: network_spec(WIDTH),
            training: training_spec(3, 0.99),
            augment: AugmentSpec {
                rotation: 0.0,
                zoom: 0.0,
                blur: 0.0,
                ..paper.augment
            },
        }
    }

    fn cases(&self) -> Vec<Annotated> {
        let plane = |values: Vec<f32>| Plane {
            height: self.side,
            width: self.side,
            values,
        };
        let disc = |case: usize, square: usize| {
            let places = 0..self.side * self.side;
            let (row, column) = (20 + case * 5 % 24, 20 + case * 3 % 24);
            places.map(move |i| {
                let (y, x) = (i / self.side, i % self.side);
                let distance = y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2);
                f32::from(u8::from(distance < square))
            })
        };
        let masks = if self.dealt { 1 } else { self.masks };
        let case = |case: usize| {
            let noise = numbers(self.side * self.side, case as u64);
            Annotated {
                image: Arc::new(Prepared {
                    image: plane(disc(case, 144).zip(noise).map(|(a, b)| a + b).collect()),
                    background: 0.0,
                    foreground: Region {
                        origin: [0; 2],
                        size: [self.side; 2],
                    },
                    frame: Frame {
                        original: [self.side; 2],
                        reduce: 1,
                    },
                }),
                masks: (0..masks)
                    .map(|mask| Arc::new(plane(disc(case, 100 + 44 * mask).collect())))
                    .collect(),
            }
        };
        (0..CASES).map(case).collect()
    }

    /// Trains a network anew.
    fn train<E: Trains>(
        &self,
        engine: &E,
        watch: &mut dyn Watch,
    ) -> (UNet, Result<Vec<Step>, TrainError>) {
        self.train_from(engine, &|_| {}, watch)
    }

    /// The same, with the network changed before.
    fn train_from<E: Trains>(
        &self,
        engine: &E,
        change: &dyn Fn(&UNet),
        watch: &mut dyn Watch,
    ) -> (UNet, Result<Vec<Step>, TrainError>) {
        let trained = net(WIDTH, self.branches.clone(), 1.0, DType::F32);
        change(&trained);
        let recipe = self.recipe();
        let dealt: Vec<usize> = (0..CASES).map(|case| case % self.masks).collect();
        let steps = train(
            &Training {
                net: &trained,
                engine,
                cases: &self.cases(),
                recipe: &recipe,
                budget: Budget {
                    steps: self.steps,
                    lr: 1e-3,
                    ..Budget::FINETUNE
                },
                rate_key: "pretrain.lr".to_owned(),
                batching: self.batching,
                dealt: self.dealt.then_some(&dealt[..]),
                objective: self.objective,
                beta: 1.0,
                tuned: self.tuned,
                seed: Seed::new(4),
            },
            watch,
        );
        (trained, steps)
    }
}

fn bits(net: &UNet) -> Vec<u32> {
    let parameters = net.parameters().iter();
    let values = parameters.flat_map(|parameter| values(parameter.var.as_tensor()));
    values.map(f32::to_bits).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that losses and parameters are those of the lanes engine but for rounding.
#[track_caller]
fn as_lanes(cuda: &Cuda, form: &Form) {
    let lanes = Lanes::new(NonZeroUsize::MIN);
    let (expected, curve) = form.train(&lanes, &mut |_| {});
    let (found, found_curve) = form.train(cuda, &mut |_| {});
    let (curve, found_curve) = (curve.unwrap(), found_curve.unwrap());
    for (expected, found) in curve.iter().zip(&found_curve) {
        let off = (expected.loss - found.loss).abs() / expected.loss;
        assert!(off < 1e-4, "{form:?}: {expected:?} {found:?}");
        assert_eq!(expected.latent.is_some(), found.latent.is_some());
        if let (Some(expected), Some(found)) = (expected.latent, found.latent) {
            let off = (expected.divergence - found.divergence).abs() / expected.divergence;
            assert!(off < 1e-3, "{form:?}: {expected:?} {found:?}");
        }
    }
    for (expected, found) in expected.parameters().iter().zip(found.parameters()) {
        let name = (&expected.name, expected.part);
        let expected = values(expected.var.as_tensor());
        let found = values(found.var.as_tensor());
        let pairs = expected.iter().zip(&found);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A step is at most about the learning rate, whatever the gradient.
        assert!(off < 3e-4, "{form:?}: {name:?} is off by {off}");
    }
}

#[test]
fn ten_steps_take_the_course_of_lanes() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let cuda = engine(&cards);
    as_lanes(
        &cuda,
        &Form {
            side: 64,
            steps: 10,
            ..form(Branches::from(1), 1)
        },
    );
}

#[test]
fn every_form_of_a_step_takes_the_course_of_lanes() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let cuda = engine(&cards);
    let norms = form(Branches::from(3), 3);
    let heads = form(Branches::new(ExpertLayers::Head, 2), 2);
    for form in [
        // A pass for each expert, gradients of shared layers added up.
        norms.clone(),
        // Experts mixed in a batch.
        Form {
            batching: ExpertBatching::OnePerImage,
            ..norms.clone()
        },
        Form {
            dealt: true,
            ..norms.clone()
        },
        // Shared layers frozen.
        Form {
            tuned: Tuned::ExpertLayers,
            ..form(Branches::from(1), 1)
        },
        heads.clone(),
        // Passes of several forms.
        Form {
            dealt: true,
            ..heads
        },
        Form {
            objective: Objective::MeanMask,
            ..form(Branches::from(1), 3)
        },
        Form {
            objective: Objective::MaskAndMap,
            ..form(Branches::with_map(), 3)
        },
        Form {
            objective: Objective::Elbo,
            ..form(Branches::probabilistic(3), 2)
        },
    ] {
        as_lanes(&cuda, &form);
    }
}

/// Stops after some steps, and remembers the state.
struct Stopping {
    after: usize,
    kept: Option<Vec<u8>>,
}

impl Watch for Stopping {
    fn kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    fn step(&mut self, step: Step) -> Next {
        match step.step == self.after {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.kept = Some(state);
    }
}

#[test]
fn a_training_gives_the_same_bytes_again_and_after_an_interruption() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let form = Form {
        steps: 3,
        ..form(Branches::from(2), 2)
    };
    let (whole, curve) = form.train(&engine(&cards), &mut |_| {});
    let cuda = engine(&cards);
    let mut stopping = Stopping {
        after: 1,
        kept: None,
    };
    let (_, stopped) = form.train(&cuda, &mut stopping);
    assert!(
        matches!(stopped, Err(TrainError::Stopped(1))),
        "{stopped:?}"
    );
    stopping.after = 0;
    let (resumed, resumed_curve) = form.train(&cuda, &mut stopping);
    assert_eq!(resumed_curve.unwrap(), curve.unwrap());
    assert!(
        bits(&whole) == bits(&resumed),
        "the same bytes after an interruption"
    );
    // On an engine that has computed something before.
    let (again, _) = form.train(&cuda, &mut |_| {});
    assert!(bits(&whole) == bits(&again), "twice the same bytes");
}

#[test]
fn a_step_is_one_graph_and_one_copy_each_way() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let cuda = card.engine();
    let what = [
        Counted::Launches,
        Counted::Allocations,
        Counted::CopiesIn,
        Counted::CopiesOut,
        Counted::BytesIn,
        Counted::Graphs,
        Counted::InGraphs,
    ];
    let mut counts: Vec<[u64; 7]> = Vec::new();
    let form = form(Branches::from(1), 1);
    let (_, curve) = form.train(&cuda, &mut |_: Step| {
        counts.push(what.map(|what| card.count(what)));
    });
    curve.unwrap();
    let [.., before, after] = &counts[..] else {
        panic!("two steps are there")
    };
    let of_step: Vec<u64> = before.iter().zip(after).map(|(a, b)| b - a).collect();
    let [others @ .., in_graph] = &of_step[..] else {
        unreachable!("seven counts")
    };
    let [
        launches,
        allocations,
        copies_in,
        copies_out,
        bytes_in,
        graphs,
    ] = others
    else {
        unreachable!("seven counts")
    };
    let counted = [launches, allocations, copies_in, copies_out, graphs];
    assert_eq!(counted.map(|count| *count), [0, 0, 1, 1, 1]);
    assert!((200..=300).contains(in_graph), "{in_graph} launches");
    // Three images with their masks, and some numbers for each of 92 parameters and 16 lanes.
    let batch = 2 * 3 * 32 * 32 * 4;
    assert!((batch..batch + 2000).contains(bytes_in), "{bytes_in}");
}

#[test]
fn a_full_or_broken_card_is_told_in_words() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let told = |cuda: &Cuda| {
        let (_, curve) = form(Branches::from(1), 1).train(cuda, &mut |_| {});
        curve.unwrap_err().to_string()
    };
    let cuda = card.engine();
    card.limit_memory(1 << 20);
    let full = told(&cuda);
    card.limit_memory(4 << 30);
    assert!(full.contains("the card's memory is full"), "{full}");
    assert!(full.contains("of 1 MiB are free"), "{full}");
    // It is usable again.
    form(Branches::from(1), 1)
        .train(&cuda, &mut |_| {})
        .1
        .unwrap();
    card.fail_after(100);
    let broken = told(&cuda);
    card.fail_after(-1);
    assert!(broken.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{broken}");
    assert!(broken.contains("an illegal memory access"), "{broken}");
}

/// Networks that join and leave while others train: each gets the bytes it gets alone.
#[test]
fn a_training_in_company_gives_the_bytes_it_gives_alone() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let steps = [2, 4, 3, 1];
    let of = |steps| Form {
        steps,
        ..form(Branches::from(1), 1)
    };
    let alone = steps.map(|steps| {
        let (net, curve) = of(steps).train(&engine(&cards), &mut |_| {});
        curve.unwrap();
        bits(&net)
    });
    let conductor = Arc::new(Conductor::new(cards.clone(), 0).unwrap());
    let together = std::thread::scope(|scope| {
        let each = steps.map(|steps| {
            let (cards, conductor) = (cards.clone(), conductor.clone());
            scope.spawn(move || {
                let device = cards.open(0).unwrap();
                let cuda = Cuda::beside(device, Precision::F32, conductor);
                let (net, curve) = of(steps).train(&cuda, &mut |_| {});
                curve.unwrap();
                bits(&net)
            })
        });
        each.map(|thread| thread.join().unwrap())
    });
    for (steps, (alone, together)) in steps.iter().zip(alone.iter().zip(&together)) {
        assert!(alone == together, "{steps} steps");
    }
}

/// A network that finds the card's memory full waits until others have left.
#[test]
fn trainings_take_turns_where_the_card_has_no_memory_for_all() {
    let Some(card) = EmulatedCard::new() else {
        return;
    };
    let form = Form {
        steps: 1,
        ..form(Branches::from(1), 1)
    };
    card.limit_memory(4 << 30);
    let alone = bits(&form.train(&card.engine(), &mut |_| {}).0);
    let one = usize::try_from(card.count(Counted::PeakBytes)).unwrap();
    // Room for two, with what stays free.
    card.limit_memory(3 * one);
    let conductor = Arc::new(Conductor::new(card.cards(), 0).unwrap());
    let together = std::thread::scope(|scope| {
        let each = [0; 4].map(|_| {
            let (cards, conductor) = (card.cards(), conductor.clone());
            let form = &form;
            scope.spawn(move || {
                let device = cards.open(0).unwrap();
                let cuda = Cuda::beside(device, Precision::F32, conductor);
                let (net, curve) = form.train(&cuda, &mut |_| {});
                curve.map(|_| bits(&net)).map_err(|error| error.to_string())
            })
        });
        each.map(|thread| thread.join().unwrap())
    });
    let most = usize::try_from(card.count(Counted::PeakBytes)).unwrap();
    card.limit_memory(4 << 30);
    assert!(most < 3 * one, "{most} of {one} each");
    assert!(together.iter().all(|each| *each == Ok(alone.clone())));
    assert_eq!(conductor.networks(), 0);
}

#[test]
fn what_is_not_a_number_is_not_passed_over() {
    let Some((cards, _alone)) = any_card() else {
        return;
    };
    let cuda = engine(&cards);
    let form = form(Branches::from(1), 1);
    // A card's own NaN has all bits set.
    for parameter in [
        "encoder.layer1.0.conv1.weight",
        "decoder.blocks.4.conv2.1.bias",
    ] {
        let spoiled = |net: &UNet| {
            let mut all = net.parameters().iter();
            let var = &all.find(|one| one.name == parameter).unwrap().var;
            let mut numbers = values(var.as_tensor());
            numbers[0] = f32::from_bits(0x7fff_ffff);
            let numbers = Tensor::from_vec(numbers, var.shape(), var.device()).unwrap();
            var.set(&numbers).unwrap();
        };
        let (net, curve) = form.train_from(&cuda, &spoiled, &mut |_| {});
        let error = curve.unwrap_err();
        assert!(
            matches!(error, TrainError::Diverged { .. }),
            "{parameter}: {error}"
        );
        let after: Vec<u32> = bits(&net);
        let untouched = super::course::net(WIDTH, Branches::from(1), 1.0, DType::F32);
        spoiled(&untouched);
        assert!(after == bits(&untouched), "no parameter changes");
    }
}
