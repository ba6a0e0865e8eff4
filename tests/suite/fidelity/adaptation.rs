//! Both arms of adaptation against PyTorch: the whole network with fresh norms, and the norms alone
//! on a frozen network.

use candle_core::{DType, Device};
use expertgrid::{
    engine::Stock,
    method::Objective,
    net::{Checkpoint, ExpertLayers, Parameter, Part, UNet},
    seed::Seed,
};

use super::{
    reader::Tensors,
    steps::{BATCH, STEPS, flat, lanes, ten_steps},
};
use crate::{
    support::common::about,
    train::course::{net, network_spec},
};

const WIDTHS: [usize; 2] = [8, 16];
/// The branch that the frozen network goes on with.
const INHERITED: usize = 1;

fn expected() -> Tensors {
    Tensors::read(include_bytes!("../../fixtures/adaptation.safetensors"))
}

/// The network for a new expert, by way of the bytes of three experts' network.
fn with_fresh_norms(width: usize) -> UNet {
    let pretrained = net(width, 3, 0.0, DType::F32);
    let checkpoint = Checkpoint::of(&pretrained, about(width, 3)).unwrap();
    let checkpoint = Checkpoint::read(&checkpoint.to_bytes()).unwrap();
    // Fresh norms are not drawn: any seed gives the same.
    let seed = Seed::new(9);
    checkpoint
        .adapt(
            &network_spec(width),
            ExpertLayers::Norms,
            &seed,
            &Device::Cpu,
        )
        .unwrap()
}

/// The network of one of three experts.
fn with_inherited_norms(width: usize) -> UNet {
    let pretrained = net(width, 3, 0.0, DType::F32);
    let kept = |p: &&Parameter| [Part::Shared, Part::Expert(INHERITED)].contains(&p.part);
    copy(
        pretrained.parameters().iter().filter(kept),
        width,
        DType::F32,
    )
}

/// A network of one expert with these values, which come in its order.
fn copy<'a>(
    mut parameters: impl Iterator<Item = &'a Parameter>,
    width: usize,
    dtype: DType,
) -> UNet {
    let spec = network_spec(width);
    UNet::with_values(&spec, 1, &Device::Cpu, dtype, &mut |declared| {
        let next = parameters.next().expect("as many parameters");
        assert_eq!(next.name, declared.name);
        next.var.flatten_all()?.to_vec1()
    })
    .unwrap()
}

fn in_double(net: &UNet, width: usize) -> UNet {
    copy(net.parameters().iter(), width, DType::F64)
}

fn one_branch(_step: usize) -> [usize; BATCH] {
    [0; BATCH]
}

#[test]
fn from_fresh_norms_the_whole_network_trains_as_pytorchs() {
    let expected = expected();
    for width in WIDTHS {
        let name = format!("width_{width}/whole");
        let net = in_double(&with_fresh_norms(width), width);
        let found = ten_steps(
            &Stock::double(),
            &net,
            net.parameters(),
            STEPS,
            Objective::Dice,
            one_branch,
        );
        found.is_double(&expected, &name);
        for (isa, engine) in lanes() {
            let net = with_fresh_norms(width);
            let found = ten_steps(
                &engine,
                &net,
                net.parameters(),
                STEPS,
                Objective::Dice,
                one_branch,
            );
            found.is_single(&expected, &name, isa);
        }
    }
}

fn norms(net: &UNet) -> Vec<Parameter> {
    let parameters = net.parameters().iter();
    parameters
        .filter(|p| p.part != Part::Shared)
        .cloned()
        .collect()
}

/// The bits of what all experts share.
fn shared(net: &UNet) -> Vec<u64> {
    let shared = net.parameters().iter().filter(|p| p.part == Part::Shared);
    shared
        .flat_map(|p| flat(p.var.as_tensor()))
        .map(f64::to_bits)
        .collect()
}

#[test]
fn on_a_frozen_network_the_norms_train_as_pytorchs() {
    let expected = expected();
    for width in WIDTHS {
        let name = format!("width_{width}/norms");
        let net = in_double(&with_inherited_norms(width), width);
        let before = shared(&net);
        let found = ten_steps(
            &Stock::double(),
            &net,
            &norms(&net),
            STEPS,
            Objective::Dice,
            one_branch,
        );
        found.is_double(&expected, &name);
        assert!(shared(&net) == before, "{name}: the shared part moved");
        for (isa, engine) in lanes() {
            let net = with_inherited_norms(width);
            let found = ten_steps(
                &engine,
                &net,
                &norms(&net),
                STEPS,
                Objective::Dice,
                one_branch,
            );
            found.is_single(&expected, &name, isa);
            assert!(
                shared(&net) == before,
                "{name}, {isa}: the shared part moved"
            );
        }
    }
}
