//! The whole network against PyTorch: logits, losses, every gradient, ten steps of training.

use candle_core::DType;
use expertgrid::{
    engine::{Engine, Stock},
    method::Objective,
    net::UNet,
};

use super::{
    reader::Tensors,
    steps::{BATCH, Outcome, gradients_are_single, lanes, ten_steps},
};
use crate::train::course::net;

const WIDTHS: [usize; 2] = [8, 16];
/// Shifts of the norms by which few values are near 0, so that rounding moves none to the other
/// side of a ReLU.
const SHIFT: f32 = 3.0;
/// The batch on which that holds, by PyTorch.
const SHIFTED_BATCH: usize = 7;

fn expected() -> Tensors {
    Tensors::read(include_bytes!("../../fixtures/training.safetensors"))
}

/// Every sample has its own expert; in one step of three the last expert is absent, and must stand
/// still.
fn branches(step: usize) -> [usize; BATCH] {
    if step % 3 == 2 {
        [0, 1, 1, 0, 1]
    } else {
        [0, 1, 2, 1, 0]
    }
}

fn outcome<E: Engine>(engine: &E, net: &UNet) -> Outcome {
    let alone = net.branches().count == 1;
    let branches = |step| if alone { [0; BATCH] } else { branches(step) };
    ten_steps(engine, net, net.parameters(), 0, Objective::Dice, branches)
}

fn name(width: usize, experts: usize) -> String {
    format!("width_{width}/experts_{experts}")
}

#[test]
fn in_double_precision_ten_steps_are_pytorchs() {
    let expected = expected();
    for width in WIDTHS {
        for experts in [1, 3] {
            let net = net(width, experts, 0.0, DType::F64);
            let found = outcome(&Stock::double(), &net);
            found.is_double(&expected, &name(width, experts));
        }
    }
}

#[test]
fn in_single_precision_ten_steps_are_pytorchs_within_rounding() {
    let expected = expected();
    for width in WIDTHS {
        for experts in [1, 3] {
            for (isa, engine) in lanes() {
                let net = net(width, experts, 0.0, DType::F32);
                let found = outcome(&engine, &net);
                found.is_single(&expected, &name(width, experts), isa);
            }
        }
    }
}

#[test]
fn in_single_precision_every_gradient_is_pytorchs_within_rounding() {
    let expected = Tensors::read(include_bytes!("../../fixtures/gradients.safetensors"));
    for width in WIDTHS {
        for experts in [1, 3] {
            let name = name(width, experts);
            let branches = if experts == 1 {
                [0; BATCH]
            } else {
                branches(0)
            };
            for (isa, engine) in lanes() {
                let net = net(width, experts, SHIFT, DType::F32);
                gradients_are_single(
                    &engine,
                    &net,
                    (SHIFTED_BATCH, branches),
                    &expected,
                    (&name, isa),
                );
            }
        }
    }
}
