//! Layers of 1x1 convolutions with ReLU between them. What lies between the layers stays in the
//! cache, a few pixels at a time, where one convolution after the other would write it to memory
//! and read it again. The gradient computes it once more.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

mod layer_run;
mod layer_shape;

use std::ops::Range;

use crate::engine::lanes::{
    kernels::{features::Features, gate, operand::check},
    machine::{Kernels, LANES, Shared, lane_sum, scratch},
};
use layer_run::{LayerOutput, LayerRun};
use layer_shape::PARTS;
pub use layer_shape::{LayerParameters, PixelLayers};

/// The gradients of parameters, in the same shapes.
#[derive(Debug)]
pub struct LayerGradients {
    /// Of the shift; empty without one.
    pub shift: Vec<f32>,
    /// Of weights and biases.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

/// Overwrites `y` `[G, C_out, P, 16]` with the output of the last layer, which has no ReLU. `x` is
/// `[G, C_in, P, 16]`.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn forward(
    kernels: &Kernels,
    shape: &PixelLayers,
    x: Features,
    parameters: &LayerParameters,
    y: &mut [f32],
) {
    shape.check(x, parameters);
    check("y", y.len(), shape.output_len());
    let runs = LayerRun::all(kernels, shape, parameters);
    let y = Shared::new(y);
    let last = runs.len() - 1;
    let each = shape.pixels / PARTS * shape.layers().map(|(a, b)| a * b).sum::<usize>();
    kernels.threads().run(shape.groups * PARTS, each, |task| {
        let (group, part) = (task / PARTS, task % PARTS);
        with_layers(shape, |layers| {
            for pixels in pieces(shape.part(part), shape.together()) {
                read(kernels, shape, x, group, &pixels, layers[0]);
                for (place, run) in runs[..last].iter().enumerate() {
                    let [from, to] = neighbours(layers, place);
                    run.forward(
                        kernels,
                        group,
                        pixels.len(),
                        from,
                        LayerOutput::of(to, pixels.len()),
                    );
                }
                let to = LayerOutput::in_planes(shape, y, group, &pixels, runs[last].outputs);
                runs[last].forward(kernels, group, pixels.len(), layers[last], to);
            }
        });
    });
}

/// The gradients of a loss, from that of the output, `dy` `[G, C_out, P, 16]`: overwrites `dx`
/// `[G, C_in, P, 16]`, if it is wanted, and returns those of the parameters, summed over groups,
/// lanes and pixels; that of the shift over pixels.
///
/// # Panics
/// When a slice's length is not the shape's.
pub fn backward(
    kernels: &Kernels,
    shape: &PixelLayers,
    x: Features,
    parameters: &LayerParameters,
    dy: &[f32],
    dx: Option<&mut [f32]>,
) -> LayerGradients {
    shape.check(x, parameters);
    check("dy", dy.len(), shape.output_len());
    if let Some(dx) = &dx {
        check("dx", dx.len(), shape.input_len());
    }
    let runs = LayerRun::all(kernels, shape, parameters);
    let (weights, channels) = shape.layers().fold((0, 0), |(weights, channels), (a, b)| {
        (weights + a * b, channels + b)
    });
    let tasks = shape.groups * PARTS;
    // Of each part: the sums of weights over its pixels and lanes, of channels lane by lane.
    let mut of_weights = vec![0.0; tasks * weights];
    let mut of_channels = vec![0.0; tasks * channels * LANES];
    let dx = dx.map(Shared::new);
    let (shared_weights, shared_channels) =
        (Shared::new(&mut of_weights), Shared::new(&mut of_channels));
    kernels
        .threads()
        .run(tasks, shape.pixels / PARTS * 3 * weights, |task| {
            let (group, part) = (task / PARTS, task % PARTS);
            let mut lanes = vec![[0.0f64; LANES]; channels];
            scratch(weights * LANES, |sums| {
                sums.fill(0.0);
                let piece = PieceGradient {
                    kernels,
                    shape,
                    runs: &runs,
                    group,
                };
                with_layers(shape, |layers| {
                    with_layers(shape, |gradients| {
                        for pixels in pieces(shape.part(part), shape.together()) {
                            read(kernels, shape, x, group, &pixels, layers[0]);
                            piece.add(&pixels, layers, gradients, dy, dx, sums, &mut lanes);
                        }
                    });
                });
                // SAFETY: tasks are disjoint.
                let to = unsafe { shared_weights.part(task * weights, weights) };
                let sums = sums.as_chunks::<LANES>().0.iter();
                to.iter_mut()
                    .zip(sums)
                    .for_each(|(to, sum)| *to = lane_sum(sum));
            });
            // SAFETY: tasks are disjoint.
            let to = unsafe { shared_channels.part(task * channels * LANES, channels * LANES) };
            let lanes = lanes.as_flattened();
            to.iter_mut()
                .zip(lanes)
                .for_each(|(to, sum)| *to = *sum as f32);
        });
    gathered(
        shape,
        parameters.shift.is_some(),
        &runs,
        &of_weights,
        &of_channels,
    )
}

/// The gradient of some pixels at a time.
struct PieceGradient<'a> {
    kernels: &'a Kernels,
    shape: &'a PixelLayers,
    runs: &'a [LayerRun<'a>],
    group: usize,
}

impl PieceGradient<'_> {
    /// Adds the share of some pixels, whose input is in `layers`: to `sums`, lane by lane, for each
    /// weight, and to `lanes` for each channel.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is read and all that is written"
    )]
    fn add(
        &self,
        pixels: &Range<usize>,
        layers: &mut [&mut [f32]],
        gradients: &mut [&mut [f32]],
        dy: &[f32],
        dx: Option<Shared>,
        mut sums: &mut [f32],
        mut lanes: &mut [[f64; LANES]],
    ) {
        let (kernels, shape, runs) = (self.kernels, self.shape, self.runs);
        let (count, last) = (pixels.len(), runs.len() - 1);
        let piece = count * LANES;
        for (place, run) in runs[..last].iter().enumerate() {
            let [from, to] = neighbours(layers, place);
            run.forward(kernels, self.group, count, from, LayerOutput::of(to, count));
        }
        let plane = shape.plane();
        let outputs = runs[last].outputs;
        for (channel, to) in gradients[last + 1]
            .chunks_exact_mut(piece)
            .take(outputs)
            .enumerate()
        {
            let from = (self.group * outputs + channel) * plane + pixels.start * LANES;
            to.copy_from_slice(&dy[from..from + piece]);
        }
        // From the last layer to the first; sums are held in that order.
        for (place, run) in runs.iter().enumerate().rev() {
            let [to, from] = neighbours(gradients, place);
            let of_channels = lanes.split_off_mut(..run.outputs);
            let of_channels = of_channels.expect("there are sums for every channel");
            for (channel, lanes) in of_channels.iter_mut().enumerate() {
                let at = channel * piece..(channel + 1) * piece;
                // SAFETY: the instruction set is the kernels'.
                unsafe { gate::sum_plane(kernels.isa(), None, &mut from[at], lanes) };
            }
            let of_weight = sums.split_off_mut(..run.inputs * run.outputs * LANES);
            let of_weight = of_weight.expect("there are sums for every weight");
            let from = &from[..run.outputs * piece];
            run.add_weight(kernels, count, layers[place], from, of_weight);
            match (place, dx) {
                (0, None) => {}
                (0, Some(dx)) => {
                    let to = LayerOutput::in_planes(shape, dx, self.group, pixels, run.inputs);
                    run.backward(kernels, count, from, None, to);
                }
                _ => {
                    let to = LayerOutput::of(to, count);
                    run.backward(kernels, count, from, Some(&*layers[place]), to);
                }
            }
        }
    }
}

/// The gradients of parameters from the sums of all parts. These begin with the last layer: of
/// weights `[blocks of outputs, inputs, outputs of a block]`, of channels `[outputs, 16]`.
fn gathered(
    shape: &PixelLayers,
    has_shift: bool,
    runs: &[LayerRun],
    of_weights: &[f32],
    of_channels: &[f32],
) -> LayerGradients {
    let tasks = shape.groups * PARTS;
    let (weights, channels) = (of_weights.len() / tasks, of_channels.len() / tasks / LANES);
    let mut gradients = LayerGradients {
        shift: Vec::new(),
        layers: Vec::new(),
    };
    let (mut weight_at, mut channel_at) = (0, 0);
    for (place, run) in runs.iter().enumerate().rev() {
        let mut weight = vec![0.0; run.inputs * run.outputs];
        for block in &run.weight_blocks {
            for ci in 0..run.inputs {
                for co in block.first..block.first + block.channels {
                    let parts = of_weights.iter().skip(weight_at).step_by(weights);
                    weight[co * run.inputs + ci] =
                        parts.map(|sum| f64::from(*sum)).sum::<f64>() as f32;
                    weight_at += 1;
                }
            }
        }
        let lanes = |task: usize, channel: usize| {
            let at = (task * channels + channel_at + channel) * LANES;
            of_channels[at..at + LANES]
                .iter()
                .map(|sum| f64::from(*sum))
        };
        let mut bias = Vec::new();
        if place == 0 && has_shift {
            for group in 0..shape.groups {
                for channel in 0..run.outputs {
                    let mut sums = [0.0f64; LANES];
                    for part in 0..PARTS {
                        let lanes = lanes(group * PARTS + part, channel);
                        sums.iter_mut()
                            .zip(lanes)
                            .for_each(|(sum, lane)| *sum += lane);
                    }
                    gradients.shift.extend(sums.map(|sum| sum as f32));
                }
            }
        } else {
            let of_channel = |channel| {
                (0..tasks)
                    .flat_map(|task| lanes(task, channel))
                    .sum::<f64>()
            };
            bias.extend((0..run.outputs).map(|channel| of_channel(channel) as f32));
        }
        channel_at += run.outputs;
        gradients.layers.insert(0, (weight, bias));
    }
    gradients
}

/// Calls a function with room for the input and the output of every layer, for the pixels that are
/// computed together.
fn with_layers<R>(shape: &PixelLayers, work: impl FnOnce(&mut [&mut [f32]]) -> R) -> R {
    let floats = shape.together() * LANES;
    let all = shape.channels.iter().sum::<usize>() * floats;
    scratch(all, |mut room| {
        let layer = |channels: &usize| {
            let layer = room.split_off_mut(..channels * floats);
            layer.expect("there is room for every layer")
        };
        let mut layers: Vec<&mut [f32]> = shape.channels.iter().map(layer).collect();
        work(&mut layers)
    })
}

/// A layer's input and output.
fn neighbours<'a>(layers: &'a mut [&mut [f32]], place: usize) -> [&'a mut [f32]; 2] {
    let (before, after) = layers.split_at_mut(place + 1);
    [&mut *before[place], &mut *after[0]]
}

/// Consecutive ranges of so many, the last one shorter.
fn pieces(range: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(len)
        .map(move |from| from..end.min(from + len))
}

/// Copies some pixels of all channels of a group, `[C_in, pixels, 16]`.
fn read(
    kernels: &Kernels,
    shape: &PixelLayers,
    x: Features,
    group: usize,
    pixels: &Range<usize>,
    to: &mut [f32],
) {
    let (plane, len) = (shape.plane(), pixels.len() * LANES);
    scratch(x.room(len), |room| {
        for (channel, to) in to.chunks_exact_mut(len).take(shape.channels[0]).enumerate() {
            let from = (group * shape.channels[0] + channel) * plane;
            let values = x.plane(from..from + plane);
            let at = pixels.start * LANES..pixels.end * LANES;
            to.copy_from_slice(values.read(kernels, at, room));
        }
    });
}
