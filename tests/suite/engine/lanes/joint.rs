//! The decoder's joint, upsampling, concatenation and convolution in one, against the three one
//! after the other.

use super::conv::{METHODS, every_method, right};
use super::plain::{
    L, Summed, conv_forward, conv_grad_input, conv_grad_weight, random, same_bytes, triples,
};
use expertgrid::engine::lanes::Features;
use expertgrid::engine::lanes::conv::Conv;
use expertgrid::engine::lanes::joint::{self, Joint};

/// Over sizes from one pixel on, tiles that are whole and that are cut off, with and without a
/// skip, channels in every kind of block.
pub fn joints() -> Vec<Joint> {
    let sizes = [
        (1, 1),
        (1, 2),
        (2, 2),
        (3, 3),
        (2, 5),
        (4, 4),
        (5, 3),
        (6, 7),
    ];
    let channels = [
        (1, 0, 1),
        (3, 2, 5),
        (2, 0, 3),
        (8, 8, 4),
        (16, 8, 8),
        (5, 1, 17),
        (17, 9, 12),
        (4, 0, 2),
    ];
    let mut joints = Vec::new();
    for (i, (height, width)) in sizes.into_iter().enumerate() {
        for shift in [0, 3] {
            let (up, skip, cout) = channels[(i + shift) % channels.len()];
            let groups = 1 + (i + shift) % 2;
            joints.push(Joint {
                groups,
                up,
                skip,
                cout,
                height,
                width,
            });
        }
    }
    // Its many channels are taken in shares.
    joints.push(Joint {
        groups: 1,
        up: 35,
        skip: 30,
        cout: 40,
        height: 4,
        width: 5,
    });
    joints
}

/// The convolution of what is joined.
fn joined_conv(joint: &Joint) -> Conv {
    Conv {
        groups: joint.groups,
        cin: joint.up + joint.skip,
        cout: joint.cout,
        height: 2 * joint.height,
        width: 2 * joint.width,
        kernel: 3,
        stride: 1,
        padding: 1,
    }
}

/// For each float of what is joined, where it comes from: a place in the upsampled input, or in the
/// skip.
fn origins(joint: &Joint) -> Vec<Result<usize, usize>> {
    let (height, width) = (joint.height, joint.width);
    triples(joint.groups, joint.up + joint.skip, 4 * height * width * L)
        .map(|(group, channel, at)| {
            let (row, column, lane) = (at / L / (2 * width), at / L % (2 * width), at % L);
            if channel < joint.up {
                let plane = group * joint.up + channel;
                Ok(((plane * height + row / 2) * width + column / 2) * L + lane)
            } else {
                Err((group * joint.skip + channel - joint.up) * 4 * height * width * L + at)
            }
        })
        .collect()
}

fn joined(joint: &Joint, up: &[f32], skip: &[f32]) -> Vec<f32> {
    let value = |origin: &Result<usize, usize>| match *origin {
        Ok(at) => up[at],
        Err(at) => skip[at],
    };
    origins(joint).iter().map(value).collect()
}

#[test]
fn forward_is_the_convolution_of_what_is_joined() {
    for joint in joints() {
        let (up, skip) = (random(joint.up_len(), 1), random(joint.skip_len(), 2));
        let w = random(joint.weight_len(), 3);
        let want = conv_forward(&joined_conv(&joint), &joined(&joint, &up, &skip), &w, None);
        for kernels in every_method() {
            let mut y = vec![f32::NAN; joint.output_len()];
            joint::forward(
                &kernels,
                &joint,
                Features::Stored(&up),
                Features::Stored(&skip),
                &w,
                &mut y,
            );
            right(&kernels, &joint, &y, &want);
        }
    }
}

#[test]
fn grad_input_adds_up_over_the_pixels_that_were_one() {
    for joint in joints() {
        let (dy, w) = (random(joint.output_len(), 1), random(joint.weight_len(), 2));
        let whole = conv_grad_input(&joined_conv(&joint), &dy, &w);
        let zeros = |len: usize| Summed {
            value: vec![0.0; len],
            scale: vec![0.0; len],
        };
        let (mut want_up, mut want_skip) = (zeros(joint.up_len()), zeros(joint.skip_len()));
        for (i, origin) in origins(&joint).into_iter().enumerate() {
            let (want, at) = match origin {
                Ok(at) => (&mut want_up, at),
                Err(at) => (&mut want_skip, at),
            };
            want.value[at] += whole.value[i];
            want.scale[at] += whole.scale[i];
        }
        for kernels in every_method() {
            let (mut dup, mut dskip) = (
                vec![f32::NAN; joint.up_len()],
                vec![f32::NAN; joint.skip_len()],
            );
            joint::grad_input(&kernels, &joint, &dy, &w, &mut dup, &mut dskip);
            right(&kernels, &joint, &dup, &want_up);
            right(&kernels, &joint, &dskip, &want_skip);
        }
    }
}

#[test]
fn grad_weight_is_that_of_what_is_joined() {
    for joint in joints() {
        let (up, skip) = (random(joint.up_len(), 1), random(joint.skip_len(), 2));
        let dy = random(joint.output_len(), 3);
        let want = conv_grad_weight(&joined_conv(&joint), &joined(&joint, &up, &skip), &dy);
        for kernels in every_method() {
            let mut dw = vec![f32::NAN; joint.weight_len()];
            joint::grad_weight(
                &kernels,
                &joint,
                Features::Stored(&up),
                Features::Stored(&skip),
                &dy,
                &mut dw,
            );
            right(&kernels, &joint, &dw, &want);
        }
    }
}

#[test]
fn neither_threads_nor_instruction_sets_change_a_byte() {
    let joint = Joint {
        groups: 2,
        up: 17,
        skip: 9,
        cout: 12,
        height: 7,
        width: 5,
    };
    // The second is taken in shares of channels, and how it is cut depends on the threads.
    let shared = Joint {
        groups: 1,
        up: 35,
        skip: 30,
        cout: 40,
        height: 4,
        width: 5,
    };
    for joint in joints().into_iter().chain([joint, shared]) {
        same_either_way(&joint);
    }
}

fn same_either_way(joint: &Joint) {
    let (up, skip) = (random(joint.up_len(), 1), random(joint.skip_len(), 2));
    let (w, dy) = (random(joint.weight_len(), 3), random(joint.output_len(), 4));
    for method in METHODS {
        same_bytes(&format!("{method:?} {joint:?}"), |kernels| {
            let kernels = &kernels.clone().with_method(method);
            let (up, skip) = (Features::Stored(&up), Features::Stored(&skip));
            let mut y = vec![0.0; joint.output_len()];
            let mut dw = vec![0.0; joint.weight_len()];
            let mut dup = vec![0.0; joint.up_len()];
            let mut dskip = vec![0.0; joint.skip_len()];
            joint::forward(kernels, joint, up, skip, &w, &mut y);
            joint::grad_input(kernels, joint, &dy, &w, &mut dup, &mut dskip);
            joint::grad_weight(kernels, joint, up, skip, &dy, &mut dw);
            [y, dw, dup, dskip].concat()
        });
    }
}
