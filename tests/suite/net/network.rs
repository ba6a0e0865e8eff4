//! The network and its loss: the paper's counts, reference values, gradients, invariances.

use candle_core::{DType, Device, Tensor};
use expertgrid::{
    engine::{Activation, Affine, DiceOver, Engine, Stock},
    manifest::{FirstConv, NetworkSpec},
    net::{Checkpoint, ExpertLayers, Part, UNet},
    seed::Seed,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::{support::common::about, train::course::numbers};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../fixtures/training.json")).unwrap()
}

/// Every number of a nested list, in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn tensor(value: &Value, shape: &[usize]) -> Tensor {
    Tensor::from_vec(flat(value), shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &Tensor, expected: &[f64], tolerance: f64) {
    let found = values(found);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= tolerance,
            "{found} against {expected}"
        );
    }
}

fn spec(width: usize) -> NetworkSpec {
    NetworkSpec {
        width,
        norm_eps: 1e-5,
        first_conv: FirstConv::Uniform,
    }
}

fn net(width: usize, experts: usize) -> UNet {
    UNet::init(&spec(width), experts, &Seed::new(1), &Device::Cpu).unwrap()
}

#[test]
fn at_width_64_it_has_the_papers_counts() {
    let expected = &vectors()["architecture"]["smp_unet_resnet18_in1_classes1"];
    let count = |name: &str| expected[name].as_u64().unwrap() as usize;
    let net = net(64, 1);
    let size = |part: &dyn Fn(Part) -> bool| -> usize {
        let parameters = net.parameters().iter().filter(|p| part(p.part));
        parameters.map(|p| p.var.elem_count()).sum()
    };
    assert_eq!(size(&|_| true), count("total_params"));
    assert_eq!(
        size(&|part| part == Part::Expert(0)),
        count("cin_params_per_expert")
    );
    assert_eq!(
        size(&|part| part == Part::Shared),
        count("conv_params_incl_head_bias")
    );
    let norms = net
        .parameters()
        .iter()
        .filter(|p| p.part == Part::Expert(0))
        .count();
    assert_eq!(norms, 2 * count("norm_layers"));
    // Every convolution, its shape and its place.
    let vectors = vectors();
    let layers = vectors["architecture"]["layers"].as_array().unwrap();
    let convolutions: Vec<_> = net
        .parameters()
        .iter()
        .filter(|p| p.var.rank() == 4)
        .map(|p| p.var.dims().to_vec())
        .collect();
    assert_eq!(convolutions.len(), layers.len());
    let listed = |layer: &Value| {
        let of = |key: &str| layer[key].as_u64().unwrap() as usize;
        vec![of("co"), of("ci"), of("k"), of("k")]
    };
    let mut expected: Vec<_> = layers.iter().map(listed).collect();
    let mut found = convolutions;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn three_experts_add_two_sets_of_norms_and_nothing_else() {
    let count = |net: &UNet| -> usize { net.parameters().iter().map(|p| p.var.elem_count()).sum() };
    let (one, three) = (net(8, 1), net(8, 3));
    // 5,792 norm channels at width 64, scale and shift each.
    assert_eq!(count(&three) - count(&one), 2 * 11_584 / 8);
    for (net, experts) in [(&one, 1), (&three, 3)] {
        assert_eq!(expertgrid::net::count(&spec(8), experts), count(net) as u64);
    }
    assert_eq!(expertgrid::net::count(&spec(64), 1), 14_321_937);
}

#[test]
fn conditional_instance_norm_agrees_with_the_reference() {
    let expected = &vectors()["cin"];
    let rows = |name: &str| -> Vec<Tensor> {
        let rows = expected[name].as_array().unwrap().iter();
        rows.map(|row| tensor(row, &[2])).collect()
    };
    let (gamma, beta) = (rows("gamma_by_expert"), rows("beta_by_expert"));
    let experts: Vec<usize> = flat(&expected["expert_per_sample"])
        .iter()
        .map(|e| *e as usize)
        .collect();
    let x = tensor(&expected["x"], &[2, 2, 2, 2]);
    for (name, eps) in [("y_eps1e_5", 1e-5), ("y_eps1e_3", 1e-3)] {
        let affine = Affine {
            gamma: &gamma,
            beta: &beta,
            route: &experts,
        };
        let y = Stock::double()
            .norm(&x, affine, eps, None, Activation::Linear)
            .unwrap();
        close(&y, &flat(&expected[name]), 1e-12);
    }
}

#[test]
fn the_dice_loss_and_its_gradient_agree_with_the_reference() {
    let expected = &vectors()["dice_loss"];
    let engine = Stock::double();
    let shape = [2, 1, 2, 2];
    for (name, smooth, over) in [
        (
            "per_sample_eps1e-7_both (author-like default)",
            1e-7,
            DiceOver::Image,
        ),
        (
            "per_sample_1e-5_both (MONAI default)",
            1e-5,
            DiceOver::Image,
        ),
        ("per_sample_smooth1", 1.0, DiceOver::Image),
        ("batch_1e-5_both (nnU-Net 2d-like)", 1e-5, DiceOver::Batch),
    ] {
        let logits = candle_core::Var::from_tensor(&tensor(&expected["logits"], &shape)).unwrap();
        let target = tensor(&expected["target"], &shape);
        let loss = engine
            .dice_loss(logits.as_tensor(), &target, 2, smooth, over)
            .unwrap();
        close(&loss, &flat(&expected[name]["loss"]), 1e-10);
        let gradients = loss.backward().unwrap();
        let gradient = gradients.get(logits.as_tensor()).unwrap();
        close(gradient, &flat(&expected[name]["grad_logits"]), 1e-10);
    }
}

fn image(size: usize, batch: usize) -> Vec<f32> {
    let mut rng = Seed::new(2).rng();
    (0..batch * size * size)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect()
}

/// The network of a checkpointed initial state in double precision, with one value moved.
fn moved(parameter: usize, element: usize, by: f64) -> (UNet, Stock) {
    let single = net(4, 2);
    let mut index = 0;
    let double = UNet::with_values(&spec(4), 2, &Device::Cpu, DType::F64, &mut |declared| {
        index += 1;
        let mut values = single.parameters()[index - 1]
            .var
            .flatten_all()?
            .to_vec1::<f32>()?;
        // Off the initial state: there the deepest norms, which see single pixels, put every ReLU
        // behind them on its kink.
        if let Part::Expert(_) = declared.part {
            for (i, value) in values.iter_mut().enumerate() {
                *value += 0.3 * ((index + i) as f32).sin();
            }
        }
        Ok(values)
    })
    .unwrap();
    if by != 0.0 {
        let var = &double.parameters()[parameter].var;
        let mut moved = values(var.as_tensor());
        moved[element] += by;
        var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap())
            .unwrap();
    }
    (double, Stock::double())
}

#[test]
fn the_whole_networks_gradients_agree_with_finite_differences() {
    let pixels = image(32, 2);
    let targets: Vec<f32> = image(32, 2)
        .iter()
        .map(|v| f32::from(u8::from(*v > 0.0)))
        .collect();
    let loss = |(net, engine): &(UNet, Stock)| {
        let x = engine.pack(&pixels, [2, 1, 32, 32]).unwrap();
        let y = engine.pack(&targets, [2, 1, 32, 32]).unwrap();
        let logits = net.forward(engine, &x, &[0, 1]).unwrap();
        engine
            .dice_loss(&logits, &y, 2, 1e-7, DiceOver::Image)
            .unwrap()
    };
    let origin = moved(0, 0, 0.0);
    let gradients = loss(&origin).backward().unwrap();
    for (i, parameter) in origin.0.parameters().iter().enumerate() {
        let gradient = gradients
            .get(parameter.var.as_tensor())
            .expect("every parameter has one");
        let gradient = values(gradient);
        // One element of each parameter: the one with the largest gradient.
        let largest = |a: &usize, b: &usize| gradient[*a].abs().total_cmp(&gradient[*b].abs());
        let element = (0..gradient.len()).max_by(largest).unwrap();
        let at = |by: f64| values(&loss(&moved(i, element, by)))[0];
        let h = 1e-7;
        let numeric = (at(h) - at(-h)) / (2.0 * h);
        assert!(
            (numeric - gradient[element]).abs() <= 1e-4 * numeric.abs().max(1e-4),
            "{}: {} against {numeric}",
            parameter.name,
            gradient[element]
        );
    }
}

#[test]
fn a_brighter_image_gives_the_same_logits() {
    // The first convolution has no bias and instance norm follows it.
    let (net, engine) = moved(0, 0, 0.0);
    let logits = |factor: f32| {
        let pixels: Vec<f32> = image(32, 1).iter().map(|v| factor * v).collect();
        let x = engine.pack(&pixels, [1, 1, 32, 32]).unwrap();
        values(&net.forward(&engine, &x, &[0]).unwrap())
    };
    let (plain, bright) = (logits(1.0), logits(1.25));
    let largest = plain.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (plain, bright) in plain.iter().zip(&bright) {
        // Up to the term against division by zero.
        assert!((plain - bright).abs() < 1e-3 * largest);
    }
}

#[test]
fn samples_of_a_batch_do_not_see_each_other() {
    let (net, engine) = moved(0, 0, 0.0);
    let pixels = image(32, 2);
    let together = engine.pack(&pixels, [2, 1, 32, 32]).unwrap();
    let together = values(&net.forward(&engine, &together, &[0, 1]).unwrap());
    let second = engine.pack(&pixels[32 * 32..], [1, 1, 32, 32]).unwrap();
    let alone = values(&net.forward(&engine, &second, &[1]).unwrap());
    for (together, alone) in together[32 * 32..].iter().zip(&alone) {
        assert!((together - alone).abs() < 1e-9);
    }
}

fn checkpoint(net: &UNet) -> Checkpoint {
    Checkpoint::of(net, about(4, net.branches().count)).unwrap()
}

#[test]
fn a_restored_network_is_the_one_that_was_kept() {
    for experts in [1, 3] {
        let kept = net(4, experts);
        let bytes = checkpoint(&kept).to_bytes();
        let read = Checkpoint::read(&bytes).unwrap();
        let restored = read.restore(&spec(4), &Device::Cpu).unwrap();
        assert_eq!(restored.branches().count, experts);
        for (a, b) in kept.parameters().iter().zip(restored.parameters()) {
            assert_eq!((&a.name, a.part), (&b.name, b.part));
            assert_eq!(values(a.var.as_tensor()), values(b.var.as_tensor()));
        }
        assert_eq!(read.to_bytes(), bytes);
    }
}

#[test]
fn a_checkpoint_from_pytorch_comes_in_and_goes_out_with_every_bit() {
    let bytes = include_bytes!("../../fixtures/from_torch.safetensors");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names.len(), 92);
    // As tests/reference/parts/checkpoint.py makes them.
    let made = |stream: usize, count: usize| -> Vec<u8> {
        let special = [-0.0, 1e-42, f32::MAX];
        let values = numbers(count, stream as u64).enumerate();
        let values = values.map(|(i, value)| *special.get(i).unwrap_or(&value));
        values.flat_map(f32::to_le_bytes).collect()
    };
    let read = Checkpoint::read(bytes).unwrap();
    assert!(read.about().is_none());
    let net = read.restore(&spec(4), &Device::Cpu).unwrap();
    assert_eq!(net.branches().count, 3);
    let out = checkpoint(&net).to_bytes();
    let out = SafeTensors::deserialize(&out).unwrap();
    assert_eq!(out.len(), file.len());
    for (stream, name) in names.into_iter().enumerate() {
        let (before, after) = (file.tensor(name).unwrap(), out.tensor(name).unwrap());
        let expected = made(stream, before.data().len() / 4);
        assert!(before.data() == expected, "{name} was made otherwise");
        assert_eq!(before.shape(), after.shape(), "{name}");
        assert!(before.data() == after.data(), "{name}");
    }
}

#[test]
fn values_that_are_not_finite_make_no_network() {
    // As a training that went wrong would have left them in the store.
    let kept = net(4, 2);
    for (last, value) in [(true, f64::NAN), (false, f64::INFINITY)] {
        let norms = |p: &&expertgrid::net::Parameter| p.part == Part::Expert(0);
        let mut norms = kept.parameters().iter().filter(norms);
        let parameter = match last {
            true => norms.next_back(),
            false => norms.next(),
        };
        let parameter = parameter.unwrap();
        let broken = (parameter.var.as_tensor() + value).unwrap();
        parameter.var.set(&broken).unwrap();
        let read = Checkpoint::read(&checkpoint(&kept).to_bytes()).unwrap();
        let device = Device::Cpu;
        let errors = [
            read.restore(&spec(4), &device).map(drop),
            read.inherit(1, &spec(4), ExpertLayers::Norms, &device)
                .map(drop),
            read.adapt(&spec(4), ExpertLayers::Norms, &Seed::new(9), &device)
                .map(drop),
            read.import(&spec(4), 2, &Seed::new(9), &device).map(drop),
        ];
        for error in errors {
            let said = error.unwrap_err().to_string();
            assert!(said.contains("values are not finite"), "{said}");
        }
        let mended = (parameter.var.as_tensor().zeros_like()).unwrap();
        parameter.var.set(&mended).unwrap();
    }
}

#[test]
fn an_inherited_branch_is_that_experts() {
    let kept = net(4, 3);
    for parameter in kept.parameters() {
        if let Part::Expert(e) = parameter.part {
            let own = (parameter.var.as_tensor() + e as f64).unwrap();
            parameter.var.set(&own).unwrap();
        }
    }
    let heir = checkpoint(&kept)
        .inherit(2, &spec(4), ExpertLayers::Norms, &Device::Cpu)
        .unwrap();
    for parameter in heir.parameters() {
        let of_third = |p: &&expertgrid::net::Parameter| {
            p.name == parameter.name && matches!(p.part, Part::Shared | Part::Expert(2))
        };
        let before = kept.parameters().iter().find(of_third).unwrap();
        assert_eq!(
            values(parameter.var.as_tensor()),
            values(before.var.as_tensor()),
            "{}",
            parameter.name
        );
    }
    assert!(
        checkpoint(&kept)
            .inherit(3, &spec(4), ExpertLayers::Norms, &Device::Cpu)
            .is_err()
    );
}

#[test]
fn adapting_keeps_the_shared_part_to_the_bit_and_starts_the_experts_part_anew() {
    let pretrained = net(4, 3);
    // As if trained: no norm is at its initial value any more.
    for parameter in pretrained.parameters() {
        let changed = (parameter.var.as_tensor() + 0.125).unwrap();
        parameter.var.set(&changed).unwrap();
    }
    let bytes = checkpoint(&pretrained).to_bytes();
    assert_eq!(
        bytes,
        checkpoint(&pretrained).to_bytes(),
        "the same bytes every time"
    );
    let adapted = Checkpoint::read(&bytes)
        .unwrap()
        .adapt(&spec(4), ExpertLayers::Norms, &Seed::new(9), &Device::Cpu)
        .unwrap();
    assert_eq!(adapted.branches().count, 1);
    for parameter in adapted.parameters() {
        let found = values(parameter.var.as_tensor());
        match parameter.part {
            Part::Shared => {
                let before = pretrained
                    .parameters()
                    .iter()
                    .find(|p| p.name == parameter.name)
                    .unwrap();
                assert_eq!(found, values(before.var.as_tensor()), "{}", parameter.name);
            }
            Part::Expert(_) => {
                let initial = if parameter.name.ends_with("weight") {
                    1.0
                } else {
                    0.0
                };
                assert!(found.iter().all(|v| *v == initial), "{}", parameter.name);
            }
        }
    }
    let other = Checkpoint::read(&bytes).unwrap().adapt(
        &spec(8),
        ExpertLayers::Norms,
        &Seed::new(9),
        &Device::Cpu,
    );
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("of another network")
    );
    assert!(Checkpoint::read(&bytes[..bytes.len() / 2]).is_err());
}

#[test]
fn initial_values_have_the_right_spread() {
    let net = net(64, 1);
    let spread = |name: &str| {
        let parameter = net.parameters().iter().find(|p| p.name == name).unwrap();
        let values = values(parameter.var.as_tensor());
        let n = values.len() as f64;
        let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        (
            (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt(),
            largest,
        )
    };
    // Kaiming normal, fan-out: sqrt(2 / (512 * 9)).
    let (sd, _) = spread("encoder.layer4.1.conv2.weight");
    assert!((sd / (2.0_f64 / 4608.0).sqrt() - 1.0).abs() < 0.01, "{sd}");
    // Kaiming uniform, fan-in: bound sqrt(6 / (768 * 9)).
    let (sd, largest) = spread("decoder.blocks.0.conv1.0.weight");
    let bound = (6.0_f64 / 6912.0).sqrt();
    assert!(largest <= bound && largest > 0.999 * bound);
    assert!((sd / (bound / 3.0_f64.sqrt()) - 1.0).abs() < 0.01);
    // Xavier uniform over 16 and 1 channels of 3x3: bound sqrt(6 / 153).
    let (_, largest) = spread("segmentation_head.0.weight");
    let bound = (6.0_f64 / 153.0).sqrt();
    assert!(largest <= bound && largest > 0.9 * bound);
    // PyTorch's default for a 7x7 kernel of one channel: 1/7.
    let (_, largest) = spread("encoder.conv1.weight");
    assert!(largest <= 1.0 / 7.0 && largest > 0.999 / 7.0);
}

/// The values that stages' keys stand for: they must never change.
#[test]
fn each_layer_draws_its_initial_values_from_the_seed_of_its_name() {
    let seed = Seed::new(3);
    for first_conv in [FirstConv::Uniform, FirstConv::Kaiming] {
        let spec = NetworkSpec {
            first_conv,
            ..spec(8)
        };
        let net = UNet::init(&spec, 2, &seed, &Device::Cpu).unwrap();
        for parameter in net.parameters() {
            let (name, dims) = (parameter.name.as_str(), parameter.var.dims());
            let found: Vec<f32> = parameter.var.flatten_all().unwrap().to_vec1().unwrap();
            let &[outputs, inputs, height, width] = dims else {
                let norm_scale = name.ends_with(".weight");
                let constant = f32::from(u8::from(norm_scale));
                assert!(found.iter().all(|value| *value == constant), "{name}");
                continue;
            };
            let area = (height * width) as f64;
            let (fan_in, fan_out) = (inputs as f64 * area, outputs as f64 * area);
            let bound = match name.split('.').next() {
                Some("segmentation_head") => Some((6.0 / (fan_in + fan_out)).sqrt()),
                Some("decoder") => Some((6.0 / fan_in).sqrt()),
                _ if name == "encoder.conv1.weight" && first_conv == FirstConv::Uniform => {
                    Some(1.0 / fan_in.sqrt())
                }
                _ => None,
            };
            let mut rng = seed.fork(name).rng();
            let expected: Vec<f32> = (0..found.len())
                .map(|_| match bound {
                    Some(bound) => rng.random_range(-bound..bound) as f32,
                    None => {
                        let draw: f64 = StandardNormal.sample(&mut rng);
                        ((2.0 / fan_out).sqrt() * draw) as f32
                    }
                })
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
