//! The parts of a probabilistic U-Net (Kohl et al., arXiv 1806.05034): two networks that give the
//! distribution of a latent, of an image or of an image with a mask, and the layers that turn
//! features and a latent into logits.
//!
//! A distribution network has four blocks of three 3x3 convolutions with bias and ReLU, of w/2, w,
//! 2w and 3w channels, with means of 2x2 between blocks; then a mean over all pixels and a linear
//! map to means and logarithms of deviations. The last layers are four convolutions 1x1 with bias,
//! ReLU after three of them, of max(w/4, 8) channels. The first takes features and latent; as the
//! latent is the same at every pixel, its share is a number for each channel. None of these layers
//! has a norm, which would subtract just that number.

use candle_core::{Result, Tensor};

use super::{
    branches::{Branches, ExpertLayers},
    init::Initialiser,
    parameters::{Declaration, Make, Part},
};
use crate::{
    engine::{Activation, Added, Engine},
    manifest::LatentSpec,
};

/// A convolution's weight and bias.
type WeightAndBias<T> = (T, T);

/// The distribution of a latent.
#[derive(Debug)]
pub(super) struct GaussianNet<T> {
    blocks: Vec<[WeightAndBias<T>; 3]>,
    out: WeightAndBias<T>,
}

/// From features, and a latent or none, to logits.
#[derive(Debug)]
pub(super) struct Comb<T> {
    first: WeightAndBias<T>,
    /// The share of the latent; none where a latent was chosen for good, whose share is then in the
    /// bias.
    from_latent: Option<T>,
    rest: [WeightAndBias<T>; 3],
}

/// Declares a convolution's weight and bias.
fn conv<T, E>(
    make: &mut Make<'_, T, E>,
    name: &str,
    part: Part,
    shape: [usize; 3],
    weight: Initialiser,
) -> std::result::Result<WeightAndBias<T>, E> {
    let [outputs, inputs, kernel] = shape;
    let mut declare = |tensor: &str, shape: &[usize], initialiser| {
        make(&Declaration {
            name: &format!("{name}.{tensor}"),
            part,
            shape,
            initialiser,
            owner: None,
        })
    };
    Ok((
        declare("weight", &[outputs, inputs, kernel, kernel], weight)?,
        declare("bias", &[outputs], Initialiser::Constant(0.0))?,
    ))
}

impl<T> GaussianNet<T> {
    /// Declares the network of a name for so many channels of input and dimensions of the latent;
    /// `width` is the U-Net's.
    pub fn declare<E>(
        make: &mut Make<'_, T, E>,
        name: &str,
        [mut inputs, latent]: [usize; 2],
        width: usize,
    ) -> std::result::Result<Self, E> {
        let mut blocks = Vec::new();
        for (block, outputs) in [width / 2, width, 2 * width, 3 * width]
            .into_iter()
            .enumerate()
        {
            let mut of = |layer: usize, inputs: usize| {
                let name = format!("{name}.{block}.{layer}");
                let weight = Initialiser::NormalByInputs(inputs * 9);
                conv(make, &name, Part::Shared, [outputs, inputs, 3], weight)
            };
            blocks.push([of(0, inputs)?, of(1, outputs)?, of(2, outputs)?]);
            inputs = outputs;
        }
        let name = format!("{name}.out");
        let weight = Initialiser::NormalByInputs(inputs);
        let out = conv(make, &name, Part::Shared, [2 * latent, inputs, 1], weight)?;
        Ok(Self { blocks, out })
    }
}

impl GaussianNet<Tensor> {
    /// The distribution of each sample, `[B, 2 d, 1, 1]`.
    pub fn forward<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let mut y = x.clone();
        for (place, block) in self.blocks.iter().enumerate() {
            if place > 0 {
                y = engine.mean_pool(&y)?;
            }
            for (weight, bias) in block {
                y = engine.conv_bias(&y, weight, bias, Activation::Relu)?;
            }
        }
        let (weight, bias) = &self.out;
        engine.conv_bias(&engine.mean(&y)?, weight, bias, Activation::Linear)
    }
}

impl<T> Comb<T> {
    /// Declares the layers behind so many channels of features.
    pub fn declare<E>(
        make: &mut Make<'_, T, E>,
        features: usize,
        branches: &Branches,
    ) -> std::result::Result<Self, E> {
        let part = branches.parts(ExpertLayers::Comb)[0];
        let channels = features.max(8);
        // Where the latent's share is in the bias, all of these values come from elsewhere.
        let latent = match branches.latent() {
            0 => LatentSpec::USUAL.dimensions,
            latent => latent,
        };
        let weight = Initialiser::NormalByInputs(features + latent);
        let name = |layer: usize| format!("latent.comb.{layer}");
        let first = conv(make, &name(0), part, [channels, features, 1], weight)?;
        let from_latent = branches.has_latent().then(|| {
            make(&Declaration {
                name: "latent.comb.0.latent",
                part,
                shape: &[channels, latent, 1, 1],
                initialiser: weight,
                owner: None,
            })
        });
        let from_latent = from_latent.transpose()?;
        let weight = Initialiser::NormalByInputs(channels);
        let rest = [
            conv(make, &name(1), part, [channels, channels, 1], weight)?,
            conv(make, &name(2), part, [channels, channels, 1], weight)?,
            conv(
                make,
                &name(3),
                part,
                [1, channels, 1],
                Initialiser::XavierUniform,
            )?,
        ];
        Ok(Self {
            first,
            from_latent,
            rest,
        })
    }
}

impl Comb<Tensor> {
    /// The logits of features, with the latent of each sample `[B, d, 1, 1]` where the layers take
    /// one.
    ///
    /// # Errors
    /// A tensor operation fails, or there is a latent where none is taken or none where one is.
    pub fn forward<E: Engine>(
        &self,
        engine: &E,
        features: &E::Tensor,
        latent: Option<&E::Tensor>,
    ) -> Result<E::Tensor> {
        let (weight, bias) = &self.first;
        let by;
        let added = match (&self.from_latent, latent) {
            (None, None) => Added::Bias(bias),
            (Some(from_latent), Some(latent)) => {
                by = engine.conv_bias(latent, from_latent, bias, Activation::Linear)?;
                Added::Shift(&by)
            }
            (Some(_), None) => candle_core::bail!("the network needs a latent"),
            (None, Some(_)) => candle_core::bail!("the network takes no latent"),
        };
        engine.pixel_layers(features, (weight, added), &self.rest)
    }
}

#[cfg(test)]
mod tests {
    //! Against PyTorch in double precision, as tests/reference/methods.py computed it.

    use candle_core::{DType, Device, Var};
    use serde_json::Value;

    use super::*;
    use crate::engine::Stock;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/methods.json")).unwrap()
    }

    /// The numbers of a nested list, row-major.
    fn numbers(value: &Value) -> Vec<f64> {
        match value {
            Value::Array(values) => values.iter().flat_map(numbers).collect(),
            number => vec![number.as_f64().unwrap()],
        }
    }

    /// The lengths of a nested list.
    fn shape(value: &Value) -> Vec<usize> {
        let Value::Array(values) = value else {
            return Vec::new();
        };
        [vec![values.len()], shape(&values[0])].concat()
    }

    /// A leaf of the values of a nested list, with as many dimensions of one behind as it takes.
    fn leaf(value: &Value, dimensions: usize) -> Var {
        let mut shape = shape(value);
        shape.resize(dimensions.max(shape.len()), 1);
        let tensor = Tensor::from_vec(numbers(value), shape, &Device::Cpu).unwrap();
        Var::from_tensor(&tensor).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(found: &[f64], expected: &[f64], bound: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in std::iter::zip(found, expected) {
            let error = (found - expected).abs();
            assert!(error <= bound, "{found} {expected}");
        }
    }

    /// Four layers whose first weight has the latent's columns behind the features'.
    fn comb(weights: &[Var], features: usize) -> Comb<Tensor> {
        let of = |place: usize| weights[place].as_tensor().clone();
        let whole = of(0);
        let latent = whole.dim(1).unwrap() - features;
        let columns = |from, count| whole.narrow(1, from, count).unwrap();
        Comb {
            first: (columns(0, features), of(1)),
            from_latent: Some(columns(features, latent)),
            rest: [(of(2), of(3)), (of(4), of(5)), (of(6), of(7))],
        }
    }

    fn weights_of_comb(vectors: &Value) -> Vec<Var> {
        let weights = vectors["comb"]["weights"].as_array().unwrap().iter();
        weights.map(|weight| leaf(weight, 1)).collect()
    }

    #[test]
    fn features_and_a_latent_become_pytorchs_logits() {
        let vectors = vectors();
        let vector = &vectors["comb"];
        let features = leaf(&vector["features"], 4);
        let comb = comb(&weights_of_comb(&vectors), features.dim(1).unwrap());
        let latent = leaf(&vector["z"], 4);
        let latent = Some(latent.as_tensor());
        let logits = comb.forward(&Stock::double(), features.as_tensor(), latent);
        close(&flat(&logits.unwrap()), &numbers(&vector["logits"]), 1e-10);
    }

    #[test]
    fn the_evidence_lower_bound_and_its_gradients_are_pytorchs() {
        let vectors = vectors();
        let (engine, vector) = (Stock::double(), &vectors["elbo"]);
        let features = leaf(&vectors["comb"]["features"], 4);
        let weights = weights_of_comb(&vectors);
        let [posterior, prior] = ["posterior", "prior"].map(|of| leaf(&vector[of], 4));
        let masks = leaf(&vector["masks"], 4);
        let noise: Vec<f32> = numbers(&vector["noise"])
            .iter()
            .map(|n| *n as f32)
            .collect();
        let batch = 2;
        let latent = engine.draw(posterior.as_tensor(), &noise).unwrap();
        // Noise is in single precision.
        close(&flat(&latent), &numbers(&vector["z"]), 1e-7);
        let latent = {
            // In double precision, as the reference has it.
            let noise = leaf(&vector["noise"], 4);
            let [mean, log] = [0, 2].map(|from| posterior.narrow(1, from, 2).unwrap());
            (mean + (log.exp().unwrap() * noise.as_tensor()).unwrap()).unwrap()
        };
        let comb = comb(&weights, features.dim(1).unwrap());
        let logits = comb.forward(&engine, features.as_tensor(), Some(&latent));
        let logits = logits.unwrap();
        let cross_entropy = engine
            .cross_entropy(&logits, masks.as_tensor(), batch)
            .unwrap();
        let found = engine.loss(&cross_entropy).unwrap();
        close(&[found], &numbers(&vector["cross_entropy"]), 1e-10);
        let divergence = engine.divergence(posterior.as_tensor(), prior.as_tensor(), batch);
        let divergence = divergence.unwrap();
        let each = numbers(&vector["kl"]);
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        close(&[engine.loss(&divergence).unwrap()], &[mean], 1e-10);
        let weight = vector["beta"].as_f64().unwrap() / vector["pixels"].as_f64().unwrap();
        let loss = engine.sum(&[(cross_entropy, 1.0), (divergence, weight)]);
        let loss = loss.unwrap();
        let found = engine.loss(&loss).unwrap();
        close(&[found], &numbers(&vector["loss"]), 1e-10);

        let leaves: Vec<&Var> = [&features, &posterior, &prior]
            .into_iter()
            .chain(&weights)
            .collect();
        let tensors: Vec<&Tensor> = leaves.iter().map(|leaf| leaf.as_tensor()).collect();
        let gradients = engine.gradients(loss, 1.0, &tensors).unwrap();
        let of_weights = (0..weights.len()).map(|place| format!("weights[{place}]"));
        let inputs = ["features", "posterior", "prior"].map(str::to_owned);
        let names: Vec<String> = inputs.into_iter().chain(of_weights).collect();
        assert_eq!(vector["gradients"].as_object().unwrap().len(), names.len());
        for (name, gradient) in std::iter::zip(&names, gradients) {
            let expected = numbers(&vector["gradients"][name]);
            close(&flat(&gradient.unwrap()), &expected, 1e-10);
        }
    }

    /// `scale sin(a i + b)` over the place i.
    fn wave(shape: &[usize], a: f64, b: f64, scale: f64) -> Tensor {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| scale * (a * i as f64 + b).sin());
        Tensor::from_vec(values.collect(), shape, &Device::Cpu).unwrap()
    }

    /// The network whose parameter k is a wave of k's own.
    fn network_of_waves(inputs: usize) -> (GaussianNet<Tensor>, Vec<Var>) {
        let mut leaves = Vec::new();
        let mut make = |declared: &Declaration<'_>| {
            let fan_in: usize = declared.shape[1..].iter().product();
            let scale = match declared.shape.len() {
                4 => 1.8 / (fan_in as f64).sqrt(),
                _ => 0.05,
            };
            let k = leaves.len() as f64;
            let wave = wave(declared.shape, 0.71 + 0.013 * k, 0.3 * k, scale);
            let leaf = Var::from_tensor(&wave)?;
            leaves.push(leaf.clone());
            Ok::<_, candle_core::Error>(leaf.as_tensor().clone())
        };
        let net = GaussianNet::declare(&mut make, "net", [inputs, 6], 4).unwrap();
        (net, leaves)
    }

    #[test]
    fn distributions_and_their_gradients_are_pytorchs() {
        let vectors = vectors();
        let nets = vectors["gaussian_net"]["nets"].as_array().unwrap();
        assert_eq!(nets.len(), 2);
        for vector in nets {
            let inputs = vector["inputs"].as_u64().unwrap() as usize;
            let (net, leaves) = network_of_waves(inputs);
            let mut x = wave(&[2, inputs, 16, 16], 0.37, 0.1, 1.0);
            if inputs == 2 {
                let mask = x.narrow(1, 1, 1).unwrap().gt(0.0).unwrap();
                let mask = (mask.to_dtype(DType::F64).unwrap() - 0.5).unwrap();
                x = Tensor::cat(&[&x.narrow(1, 0, 1).unwrap(), &mask], 1).unwrap();
            }
            let engine = Stock::double();
            let output = net.forward(&engine, &x).unwrap();
            close(&flat(&output), &numbers(&vector["output"]), 1e-9);
            let upstream = wave(&[2, 12, 1, 1], 1.1, 0.6, 1.0);
            let sum = (output * upstream).unwrap().sum_all().unwrap();
            let tensors: Vec<&Tensor> = leaves.iter().map(|leaf| leaf.as_tensor()).collect();
            let gradients = engine.gradients(sum, 1.0, &tensors).unwrap();
            let expected = vector["gradients"].as_array().unwrap();
            assert_eq!(gradients.len(), expected.len());
            for (gradient, expected) in std::iter::zip(gradients, expected) {
                let gradient = gradient.unwrap();
                let dims = gradient.dims().iter().map(|side| *side as f64);
                assert_eq!(dims.collect::<Vec<f64>>(), numbers(&expected["shape"]));
                let values = flat(&gradient);
                let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                let found = [values.iter().sum(), norm];
                let sums = [&expected["sum"], &expected["norm"]].map(|of| of.as_f64().unwrap());
                close(&found, &sums, 1e-9);
                let first = numbers(&expected["first"]);
                close(&values[..first.len()], &first, 1e-9);
            }
        }
    }

    #[test]
    fn initial_values_have_the_laws_of_their_layers() {
        let vectors = vectors();
        for row in vectors["initial"]["rows"].as_array().unwrap() {
            let width = row["width"].as_u64().unwrap() as usize;
            let mut declared: Vec<(String, Vec<usize>, Initialiser)> = Vec::new();
            let mut make = |of: &Declaration<'_>| {
                declared.push((of.name.to_owned(), of.shape.to_vec(), of.initialiser));
                Ok::<(), candle_core::Error>(())
            };
            GaussianNet::declare(&mut make, "prior", [1, 6], width).unwrap();
            GaussianNet::declare(&mut make, "posterior", [2, 6], width).unwrap();
            let branches = Branches::probabilistic(6);
            Comb::declare(&mut make, width / 4, &branches).unwrap();
            for (name, _, initialiser) in &declared {
                let is_bias = name.ends_with(".bias");
                assert_eq!(
                    *initialiser == Initialiser::Constant(0.0),
                    is_bias,
                    "{name}"
                );
            }
            let of = |name: &str| {
                let found = declared.iter().find(|(declared, ..)| declared == name);
                found.unwrap_or_else(|| panic!("no {name}"))
            };
            let mut checked = 0;
            for layer in row["layers"].as_array().unwrap() {
                let said = layer["layer"].as_str().unwrap();
                let names: &[&str] = match said {
                    "comb 0" => &["latent.comb.0.weight", "latent.comb.0.latent"],
                    "comb 1" => &["latent.comb.1.weight"],
                    "comb 2" => &["latent.comb.2.weight"],
                    "comb 3" => &["latent.comb.3.weight"],
                    "prior block 0, first convolution" => &["prior.0.0.weight"],
                    "prior block 1, first convolution" => &["prior.1.0.weight"],
                    "prior block 2, first convolution" => &["prior.2.0.weight"],
                    "prior block 3, first convolution" => &["prior.3.0.weight"],
                    "posterior block 0, first convolution" => &["posterior.0.0.weight"],
                    "prior or posterior, last" => &["prior.out.weight", "posterior.out.weight"],
                    // Heads are the U-Net's.
                    _ => continue,
                };
                for name in names {
                    let (_, _, initialiser) = of(name);
                    let deviation = layer["sd"].as_f64();
                    match *initialiser {
                        Initialiser::NormalByInputs(inputs) => {
                            close(
                                &[(2.0 / inputs as f64).sqrt()],
                                &[deviation.unwrap()],
                                1e-12,
                            );
                        }
                        other => {
                            assert_eq!(other, Initialiser::XavierUniform, "{name}");
                            assert_eq!(layer["law"], "uniform");
                        }
                    }
                    checked += 1;
                }
                // The columns of the latent lie in a tensor of their own.
                let columns = names.iter().filter(|name| name.contains("comb"));
                let inputs: usize = columns.map(|name| of(name).1[1]).sum();
                if said.starts_with("comb") {
                    assert_eq!(inputs, numbers(&layer["shape"])[1] as usize, "{said}");
                }
            }
            assert_eq!(checked, 12);
        }
    }
}
