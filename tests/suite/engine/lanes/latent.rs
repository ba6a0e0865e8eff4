//! What a latent needs: means, shifts, ReLUs, draws and divergences, against plain f64; layers on
//! each pixel, against convolutions.

use super::plain::{L, all, close, let_through, random, relu_output, same_bytes};
use expertgrid::engine::{
    Activation,
    lanes::{
        Features, Kernels,
        conv::{
            self, Conv,
            pixel_layers::{self, LayerParameters, PixelLayers},
        },
        gate,
        gaussian::{self, Gaussian},
        mean::{self, Squares},
    },
};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn means_are_the_formula() {
    for kernels in all() {
        for (planes, height, width) in [(1, 2, 2), (3, 4, 6), (2, 30, 32)] {
            let pixels = height * width;
            let x = random(planes * pixels * L, 1);
            let mut sums = vec![f32::NAN; planes * L];
            mean::over_planes(&kernels, planes, &x, 0.5, &mut sums);
            let at = |p: usize, row: usize, column: usize, lane: usize| {
                f64::from(x[((p * height + row) * width + column) * L + lane])
            };
            let mut want = vec![0.0; planes * L];
            for (i, want) in want.iter_mut().enumerate() {
                let (p, lane) = (i / L, i % L);
                let rows = (0..height).flat_map(|r| (0..width).map(move |c| (r, c)));
                *want = rows.map(|(r, c)| at(p, r, c, lane)).sum::<f64>() / 2.0;
            }
            close("sums", &sums, &want, &vec![pixels as f64; planes * L], 1e-7);

            let squares = Squares {
                planes,
                height,
                width,
            };
            let mut y = vec![f32::NAN; x.len() / 4];
            mean::of_squares(&kernels, &squares, &x, &mut y);
            let mut want = vec![0.0; y.len()];
            for (i, want) in want.iter_mut().enumerate() {
                let (lane, pixel) = (i % L, i / L);
                let (column, row) = (pixel % (width / 2), pixel / (width / 2) % (height / 2));
                let p = pixel / (pixels / 4);
                let four = [(0, 0), (0, 1), (1, 0), (1, 1)];
                let four = four.map(|(r, c)| at(p, 2 * row + r, 2 * column + c, lane));
                *want = four.iter().sum::<f64>() / 4.0;
            }
            close("squares", &y, &want, &vec![1.0; y.len()], 1e-7);
            // The gradient of a mean is the transposed product.
            let dy = random(y.len(), 2);
            let mut dx = vec![f32::NAN; x.len()];
            mean::of_squares_backward(&kernels, &squares, &dy, None, &mut dx);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                wide(a).iter().zip(wide(b)).map(|(a, b)| a * b).sum()
            };
            let (ahead, back) = (dot(&y, &dy), dot(&x, &dx));
            assert!(
                (ahead - back).abs() < 1e-5 * (1.0 + ahead.abs()),
                "{ahead} {back}"
            );
            let mut gated = vec![f32::NAN; x.len()];
            let output = relu_output(x.len(), 4);
            mean::of_squares_backward(&kernels, &squares, &dy, Some(&output), &mut gated);
            let gated: Vec<u32> = gated.iter().map(|dx| dx.to_bits()).collect();
            assert_eq!(gated, let_through(&output, &dx));

            let row = random(planes * L, 3);
            let mut y = vec![f32::NAN; x.len()];
            mean::spread(&kernels, planes, &row, 0.25, &mut y);
            let want: Vec<f64> = (0..y.len())
                .map(|i| f64::from(row[i / (pixels * L) * L + i % L]) / 4.0)
                .collect();
            close("spread", &y, &want, &vec![1.0; y.len()], 1e-7);
        }
    }
}

#[test]
fn a_relu_opens_where_its_output_is_positive() {
    for kernels in all() {
        // More than one task.
        let x = random(3 * 700 * L, 1);
        let by = random(3 * L, 2);
        for activation in [Activation::Linear, Activation::Relu] {
            let mut y = vec![f32::NAN; x.len()];
            gate::shift(&kernels, 3, &x, &by, activation, &mut y);
            for (i, (x, y)) in x.iter().zip(&y).enumerate() {
                let sum = x + by[i / (700 * L) * L + i % L];
                let relu = activation == Activation::Relu;
                assert_eq!(*y, if relu { sum.max(0.0) } else { sum });
            }
        }
        let y = relu_output(x.len(), 4);
        let mut dy = random(x.len(), 3);
        let before = dy.clone();
        gate::close(&kernels, &y, &mut dy);
        let closed: Vec<u32> = dy.iter().map(|dy| dy.to_bits()).collect();
        assert_eq!(closed, let_through(&y, &before));
    }
}

/// Layers of 1x1 convolutions over two groups, with more pixels than are computed together.
struct Layers {
    shape: PixelLayers,
    x: Vec<f32>,
    dy: Vec<f32>,
    shift: Vec<f32>,
    parameters: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Layers {
    fn new() -> Self {
        let channels = vec![3, 9, 8, 2];
        let shape = PixelLayers {
            groups: 2,
            pixels: 37 * 41,
            channels: channels.clone(),
        };
        let layer = |pair: &[usize]| {
            let bias = if pair[0] == 3 { 0 } else { pair[1] };
            (random(pair[0] * pair[1], 7), random(bias, 8))
        };
        Self {
            x: random(shape.input_len(), 4),
            dy: random(shape.output_len(), 5),
            shift: random(2 * 9 * L, 6),
            parameters: channels.windows(2).map(layer).collect(),
            shape,
        }
    }

    /// The output, the gradient of the input, of the shift, and of each weight and bias.
    fn run(&self, kernels: &Kernels) -> Vec<Vec<f32>> {
        let held: Vec<_> = self
            .parameters
            .iter()
            .map(|(w, b)| (&w[..], &b[..]))
            .collect();
        let parameters = LayerParameters {
            shift: Some(&self.shift),
            layers: &held,
        };
        let (shape, x) = (&self.shape, Features::Stored(&self.x));
        let [mut y, mut dx] =
            [shape.output_len(), shape.input_len()].map(|len| vec![f32::NAN; len]);
        pixel_layers::forward(kernels, shape, x, &parameters, &mut y);
        let dy = &self.dy;
        let gradients = pixel_layers::backward(kernels, shape, x, &parameters, dy, Some(&mut dx));
        let layers = gradients.layers.into_iter();
        let layers = layers.flat_map(|(dw, db)| [dw, db]);
        [y, dx, gradients.shift].into_iter().chain(layers).collect()
    }

    /// The same, one convolution after the other, every value in memory.
    fn one_by_one(&self, kernels: &Kernels) -> Vec<Vec<f32>> {
        let conv = |pair: &[usize]| Conv {
            groups: 2,
            cin: pair[0],
            cout: pair[1],
            height: 37,
            width: 41,
            kernel: 1,
            stride: 1,
            padding: 0,
        };
        let convs: Vec<Conv> = self.shape.channels.windows(2).map(conv).collect();
        let mut values = vec![self.x.clone()];
        for (place, (c, (w, b))) in convs.iter().zip(&self.parameters).enumerate() {
            let mut y = vec![f32::NAN; c.output_len()];
            let x = Features::Stored(&values[place]);
            let bias = (place > 0).then_some(&b[..]);
            conv::forward(kernels, c, x, w, bias, Activation::Linear, &mut y);
            let plane = y.len() / (2 * c.cout);
            for (i, y) in y.iter_mut().enumerate() {
                if place == 0 {
                    *y += self.shift[i / plane * L + i % L];
                }
                if place < 2 {
                    *y = y.max(0.0);
                }
            }
            values.push(y);
        }
        let (mut gradient, mut of_parameters, mut of_shift) = (self.dy.clone(), vec![], vec![]);
        for (place, (c, (w, _))) in convs.iter().zip(&self.parameters).enumerate().rev() {
            let mut db = vec![f32::NAN; c.cout];
            let output = (place < 2).then(|| &values[place + 1][..]);
            conv::grad_bias(kernels, c, output, &mut gradient, &mut db);
            if place == 0 {
                of_shift = vec![0.0; 2 * c.cout * L];
                mean::over_planes(kernels, 2 * c.cout, &gradient, 1.0, &mut of_shift);
                db.clear();
            }
            let (mut dw, mut dx) = (
                vec![f32::NAN; c.weight_len()],
                vec![f32::NAN; c.input_len()],
            );
            conv::grad_weight(
                kernels,
                c,
                Features::Stored(&values[place]),
                &gradient,
                &mut dw,
            );
            conv::grad_input(kernels, c, &gradient, w, None, &mut dx);
            gradient = dx;
            of_parameters.splice(0..0, [dw, db]);
        }
        let y = values.pop().expect("there are layers");
        [y, gradient, of_shift]
            .into_iter()
            .chain(of_parameters)
            .collect()
    }
}

#[test]
fn layers_together_are_the_convolutions_one_by_one() {
    for kernels in all() {
        let layers = Layers::new();
        let (together, one_by_one) = (layers.run(&kernels), layers.one_by_one(&kernels));
        assert_eq!(together.len(), one_by_one.len());
        for (place, (got, want)) in together.iter().zip(&one_by_one).enumerate() {
            let most = want
                .iter()
                .fold(0.0f32, |most, value| most.max(value.abs()));
            assert_eq!(got.len(), want.len(), "{place}");
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() <= 1e-5 * most, "{place}: {got} {want}");
            }
        }
    }
}

#[test]
fn neither_threads_nor_instruction_sets_change_a_byte() {
    let layers = Layers::new();
    same_bytes("layers", |kernels| layers.run(kernels).concat());
    let x = random(3 * 24 * 32 * L, 4);
    let by = random(3 * L, 5);
    let squares = Squares {
        planes: 3,
        height: 24,
        width: 32,
    };
    same_bytes("means and shifts", |kernels| {
        let [mut sums, mut y, mut quarter] =
            [3 * L, x.len(), x.len() / 4].map(|len| vec![0.0; len]);
        mean::over_planes(kernels, 3, &x, 0.3, &mut sums);
        mean::of_squares(kernels, &squares, &x, &mut quarter);
        gate::shift(kernels, 3, &x, &by, Activation::Relu, &mut y);
        let mut dx = x.clone();
        gate::close(kernels, &y, &mut dx);
        let [mut spread, mut gated] = [(); 2].map(|()| vec![0.0; x.len()]);
        mean::of_squares_backward(kernels, &squares, &quarter, None, &mut spread);
        mean::of_squares_backward(kernels, &squares, &quarter, Some(&y), &mut gated);
        [sums, quarter, y, dx, spread, gated].concat()
    });
}

/// Distributions of sixteen samples with the same numbers: means, then logarithms of deviations.
fn in_lanes(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().flat_map(|number| [*number; L]).collect()
}

#[test]
fn a_deviation_beyond_its_bounds_is_the_bound_and_has_its_gradient() {
    let shape = Gaussian {
        groups: 1,
        latent: 2,
    };
    let far = in_lanes(&[0.5, -0.5, 30.0, -1e9]);
    let bound = in_lanes(&[0.5, -0.5, 10.0, -10.0]);
    let noise = in_lanes(&[0.7, -1.3]);
    let drawn = |distribution: &[f32]| {
        let mut z = vec![f32::NAN; 2 * L];
        gaussian::draw(&shape, distribution, &noise, &mut z);
        z
    };
    assert_eq!(drawn(&far), drawn(&bound));
    let gradient_of_draw = |distribution: &[f32]| {
        let mut gradient = vec![f32::NAN; 4 * L];
        gaussian::draw_backward(&shape, distribution, &noise, &[1.0; 2 * L], &mut gradient);
        gradient
    };
    // Without a gradient it would never come back.
    assert_eq!(gradient_of_draw(&far), gradient_of_draw(&bound));
    assert!(
        gradient_of_draw(&far)[2 * L..]
            .iter()
            .all(|slope| *slope != 0.0)
    );
    let prior = in_lanes(&[0.0, 0.0, 0.1, 0.2]);
    let divergence = |posterior: &[f32]| {
        let mut divergences = vec![f32::NAN; L];
        gaussian::divergence(&shape, posterior, &prior, &mut divergences);
        divergences
    };
    assert_eq!(divergence(&far), divergence(&bound));
    assert!(divergence(&far)[0].is_finite());
    assert!(
        divergence(&prior)
            .iter()
            .all(|divergence| *divergence == 0.0)
    );
    let gradients = |posterior: &[f32], prior: &[f32]| {
        let [mut dq, mut dp] = [(); 2].map(|()| vec![f32::NAN; 4 * L]);
        gaussian::divergence_backward(&shape, posterior, prior, &[1.0; L], [&mut dq, &mut dp]);
        [dq, dp]
    };
    assert_eq!(gradients(&far, &prior), gradients(&bound, &prior));
    let [_, of_wide_prior] = gradients(&prior, &far);
    // A prior that is too wide becomes narrower, one that is too narrow wider.
    assert!(of_wide_prior[2 * L..3 * L].iter().all(|slope| *slope > 0.0));
    assert!(of_wide_prior[3 * L..].iter().all(|slope| *slope < 0.0));
}
