//! Safetensors files: checkpoints and predictions, with damaged headers and damaged bytes.

use expertgrid::{
    artefact::parse_predictions,
    data::{
        nifti::{MAX_AXIS_PX, MAX_PIXELS},
        prepare::Prediction,
    },
    net::Checkpoint,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    damage::{EDGES, damage, noise, once_in, one},
    watch::Kind,
};

/// A network's parameters.
#[derive(Clone, Copy)]
pub struct Checkpoints;

/// Predictions of test images.
#[derive(Clone, Copy)]
pub struct Predictions;

/// A header as text, so that every part of it can be nonsense.
#[derive(Clone)]
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<String>,
    offsets: [String; 2],
}

const TYPES: [&str; 14] = [
    "F32", "U8", "F32", "U8", "F16", "BF16", "F64", "I64", "BOOL", "F4", "F6_E2M3", "F8_E5M2",
    "C64", "X",
];

/// What may stand where JSON wants a number.
const TOKENS: [&str; 12] = [
    "0",
    "-1",
    "1.5",
    "1e3",
    "1e999",
    "null",
    "true",
    "\"4\"",
    "[]",
    "{}",
    "18446744073709551616",
    "-9223372036854775809",
];

fn token(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..4) {
        0 => (*one(rng, &TOKENS)).to_owned(),
        1 => one(rng, &EDGES)
            .wrapping_sub(rng.random_range(0..3))
            .to_string(),
        2 => rng.random_range(0..64).to_string(),
        // A bracket for every byte of a quarter of a thousand.
        _ if once_in(rng, 8) => "[".repeat(rng.random_range(1..300)),
        _ => one(rng, &EDGES).to_string(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is plain data")
}

/// A file of these tensors, with `metadata` as JSON.
fn file(
    rng: &mut ChaCha8Rng,
    metadata: Option<&str>,
    tensors: &[Tensor],
    data: &[u8],
    sound: bool,
) -> Vec<u8> {
    let mut entries: Vec<String> = metadata
        .map(|json| format!("\"__metadata__\":{json}"))
        .into_iter()
        .collect();
    for Tensor {
        name,
        dtype,
        shape,
        offsets: [start, end],
    } in tensors
    {
        entries.push(format!(
            "{}:{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[{start},{end}]}}",
            quoted(name),
            shape.join(",")
        ));
    }
    if !sound && once_in(rng, 16) {
        entries.push(format!("\"more\":{}", token(rng)));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut length = header.len() as u64;
    if !sound && once_in(rng, 16) {
        length = one(rng, &EDGES).wrapping_add(rng.random_range(0..9));
    }
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

/// Makes nonsense of some numbers, types or names of a header.
fn disturb(rng: &mut ChaCha8Rng, tensors: &mut Vec<Tensor>) {
    for _ in 0..rng.random_range(1..4) {
        let Some(last) = tensors.len().checked_sub(1) else {
            return;
        };
        let at = rng.random_range(0..=last);
        match rng.random_range(0..9) {
            0 => tensors[at].dtype = *one(rng, &TYPES[..]),
            1 => {
                let axis = rng.random_range(0..=tensors[at].shape.len());
                let number = token(rng);
                tensors[at].shape.insert(axis, number);
            }
            2 => {
                let axis = rng.random_range(0..=tensors[at].shape.len());
                let number = token(rng);
                if let Some(old) = tensors[at].shape.get_mut(axis) {
                    *old = number;
                }
            }
            3 => tensors[at].shape.reverse(),
            4 => tensors[at].offsets[rng.random_range(0..2)] = token(rng),
            5 => {
                let copy = tensors[at].clone();
                tensors.push(copy);
            }
            6 => drop(tensors.remove(at)),
            7 => {
                // Axes of one pixel leave the size as it is; what they cost is the list of them.
                let many = if once_in(rng, 16) { 4000 } else { 10 };
                let axes = vec!["1".to_owned(); rng.random_range(0..many)];
                tensors[at].shape.extend(axes);
            }
            _ => {
                tensors[at].name =
                    (*one(rng, &["", "__metadata__", "a/b", "\u{0}", "é", "expert6/1"])).to_owned()
            }
        }
    }
}

/// Tensors that lie one behind the other, as a writer places them, and their bytes.
fn tensors(
    rng: &mut ChaCha8Rng,
    shapes: &[(String, &'static str, Vec<usize>)],
) -> (Vec<Tensor>, Vec<u8>) {
    let mut at = 0;
    let tensors = shapes
        .iter()
        .map(|(name, dtype, shape)| {
            let size = shape.iter().product::<usize>() * if *dtype == "F32" { 4 } else { 1 };
            at += size;
            Tensor {
                name: name.clone(),
                dtype,
                shape: shape.iter().map(usize::to_string).collect(),
                offsets: [(at - size).to_string(), at.to_string()],
            }
        })
        .collect();
    let mut data = vec![0; at];
    data.fill_with(|| rng.random());
    (tensors, data)
}

/// Tensors of 2^61 bytes whose ends come near the end of all numbers.
fn beyond(rng: &mut ChaCha8Rng) -> Vec<Tensor> {
    let count = rng.random_range(1..=8_u64);
    (0..count)
        .map(|i| {
            let size = (1 << 61) - u64::from(i + 1 == count);
            Tensor {
                name: format!("t{i}"),
                dtype: "U8",
                shape: vec![size.to_string()],
                offsets: [(i << 61).to_string(), ((i << 61) + size).to_string()],
            }
        })
        .collect()
}

/// Names of the network's parameters, and shapes as small as they come.
fn checkpoint_shapes(rng: &mut ChaCha8Rng) -> Vec<(String, &'static str, Vec<usize>)> {
    let names = [
        "encoder.conv1.weight",
        "encoder.bn1.weight",
        "encoder.bn1.bias",
        "segmentation_head.0.weight",
    ];
    names[..rng.random_range(0..=names.len())]
        .iter()
        .map(|name| {
            let axes = rng.random_range(0..=4);
            let shape = (0..axes).map(|_| rng.random_range(1..=4)).collect();
            ((*name).to_owned(), "F32", shape)
        })
        .collect()
}

/// Bytes per byte of the file: the header is read as values before it is read as tensors, and two
/// characters of a list make a value of 32 bytes; a list that doubles is held with its successor.
const PER_BYTE: usize = 64;
/// What the smallest file needs.
const FIXED: usize = 4 << 10;

fn finish(rng: &mut ChaCha8Rng, mut bytes: Vec<u8>, sound: bool) -> Vec<u8> {
    if !sound && once_in(rng, 3) {
        let other = bytes.clone();
        damage(rng, &mut bytes, &other);
    }
    bytes
}

impl Kind for Checkpoints {
    type Input = Vec<u8>;
    type Output = Checkpoint;

    const NAME: &'static str = "checkpoint";

    fn input(self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        if once_in(rng, 16) {
            return noise(rng, 1024);
        }
        let sound = once_in(rng, 4);
        let shapes = checkpoint_shapes(rng);
        let (mut tensors, data) = tensors(rng, &shapes);
        if !sound && rng.random() {
            disturb(rng, &mut tensors);
        }
        // The crate adds these offsets up, which overflows; a build that checks for it would stop.
        if !sound && once_in(rng, 32) && !cfg!(debug_assertions) {
            tensors = beyond(rng);
        }
        let metadata = rng.random::<bool>().then_some("{\"expertgrid\":\"x\"}");
        let bytes = file(rng, metadata, &tensors, &data, sound);
        finish(rng, bytes, sound)
    }

    fn shown(input: &Vec<u8>) -> Vec<u8> {
        input.clone()
    }

    fn parse(input: &Vec<u8>) -> Option<Checkpoint> {
        Checkpoint::read(input)
            .map_err(|error| error.to_string())
            .ok()
    }

    fn check(_: &Vec<u8>, _: Checkpoint) {
        // Its tensors are compared with a network's names and shapes before they are used.
    }

    fn bound(input: &Vec<u8>) -> usize {
        FIXED + PER_BYTE * input.len()
    }
}

/// Where a prediction lies, as text.
struct Placement {
    branch: String,
    case: String,
    numbers: [String; 5],
}

impl Kind for Predictions {
    type Input = Vec<u8>;
    type Output = Vec<(String, Vec<Prediction>)>;

    const NAME: &'static str = "predictions";

    fn input(self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        if once_in(rng, 16) {
            return noise(rng, 1024);
        }
        let sound = once_in(rng, 4);
        let mut shapes = Vec::new();
        let mut placements = Vec::new();
        for i in 0..rng.random_range(1..=4) {
            let (branch, case) = (format!("expert{}", 6 + i % 2), format!("case {}", i / 2));
            let reduce = rng.random_range(1..=3);
            let size = [(); 2].map(|()| rng.random_range(1..=9_usize));
            let origin = [(); 2].map(|()| rng.random_range(0..=5_usize));
            let image: [usize; 2] = std::array::from_fn(|axis| {
                (origin[axis] + size[axis]) * reduce + rng.random_range(0..reduce)
            });
            shapes.push((format!("{branch}/{case}"), "U8", size.to_vec()));
            let numbers = [image[0], image[1], reduce, origin[0], origin[1]].map(|n| n.to_string());
            placements.push(Placement {
                branch,
                case,
                numbers,
            });
        }
        let (mut tensors, data) = tensors(rng, &shapes);
        if !sound {
            match rng.random_range(0..4) {
                0 => disturb(rng, &mut tensors),
                1 => {
                    let at = rng.random_range(0..placements.len());
                    let copies = rng.random_range(1..40);
                    for _ in 0..copies {
                        let Placement {
                            branch,
                            case,
                            numbers,
                        } = &placements[at];
                        let copy = Placement {
                            branch: branch.clone(),
                            case: case.clone(),
                            numbers: numbers.clone(),
                        };
                        placements.push(copy);
                    }
                }
                2 => {
                    for _ in 0..rng.random_range(1..4) {
                        let at = rng.random_range(0..placements.len());
                        placements[at].numbers[rng.random_range(0..5)] = token(rng);
                    }
                }
                _ => {}
            }
        }
        let placements: Vec<String> = placements
            .iter()
            .map(|Placement { branch, case, numbers: [height, width, reduce, y, x] }| {
                format!(
                    "{{\"branch\":{},\"case\":{},\"image\":[{height},{width}],\"reduce\":{reduce},\
                     \"origin\":[{y},{x}]}}",
                    quoted(branch),
                    quoted(case)
                )
            })
            .collect();
        let metadata = format!(
            "{{\"placements\":{}}}",
            quoted(&format!("[{}]", placements.join(",")))
        );
        let bytes = file(rng, Some(&metadata), &tensors, &data, sound);
        finish(rng, bytes, sound)
    }

    fn shown(input: &Vec<u8>) -> Vec<u8> {
        input.clone()
    }

    fn parse(input: &Vec<u8>) -> Option<Self::Output> {
        parse_predictions(input).ok()
    }

    fn check(input: &Vec<u8>, branches: Self::Output) {
        let predictions = branches.iter().flat_map(|(_, predictions)| predictions);
        let bytes: usize = predictions.clone().map(|p| p.probability.len()).sum();
        assert!(bytes <= input.len(), "more pixels than bytes");
        for prediction in predictions {
            let [height, width] = prediction.frame.original;
            for axis in [height, width] {
                assert!(
                    (1..=MAX_AXIS_PX).contains(&axis),
                    "an image of {height} x {width}"
                );
            }
            assert!(height * width <= MAX_PIXELS);
            let [rows, columns] = prediction.region.size;
            assert_eq!(prediction.probability.len(), rows * columns);
            // A larger one takes its time, and no other way through the code.
            if height * width <= 1 << 16 {
                let mask = prediction.mask();
                assert_eq!(mask.pixels.len(), height * width);
            }
        }
    }

    fn bound(input: &Vec<u8>) -> usize {
        FIXED + PER_BYTE * input.len()
    }
}
