//! Gaussian blur.

use crate::data::prepare::Plane;

/// Gaussian blur, truncated at 4 sigma, with the border mirrored (edge pixel repeated), as
/// SciPy's `gaussian_filter`. Rounded to single precision after each axis.
pub(super) fn blur(plane: &Plane, sigma: f64) -> Plane {
    let mut blurred = Plane::zeros(plane.height, plane.width);
    let kernel = kernel(sigma);
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || rows(plane, &kernel, &mut blurred),
    );
    blurred
}

#[inline(always)]
fn rows(plane: &Plane, kernel: &[f64], blurred: &mut Plane) {
    let Plane { height, width, .. } = *plane;
    let radius = kernel.len() / 2;
    let mut sums = vec![0.0f64; width];
    let mut mirrored_row = vec![0.0f64; width + 2 * radius];
    for (y, to) in blurred.values.chunks_exact_mut(width).enumerate() {
        sums.fill(0.0);
        for (k, weight) in kernel.iter().enumerate() {
            let from = mirrored(y + k, radius, height) * width;
            for (sum, value) in sums.iter_mut().zip(&plane.values[from..from + width]) {
                *sum += weight * f64::from(*value);
            }
        }
        for (x, value) in mirrored_row.iter_mut().enumerate() {
            *value = f64::from(sums[mirrored(x, radius, width)] as f32);
        }
        sums.fill(0.0);
        for (k, weight) in kernel.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(&mirrored_row[k..k + width]) {
                *sum += weight * value;
            }
        }
        for (to, sum) in to.iter_mut().zip(&sums) {
            *to = *sum as f32;
        }
    }
}

fn kernel(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as i32;
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let weights: Vec<f64> = (-radius..=radius)
        .map(|i| libm::exp(-0.5 * (f64::from(i) / sigma).powi(2)))
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// The place `at - radius` of `n`, mirrored at both ends as often as it takes.
fn mirrored(at: usize, radius: usize, n: usize) -> usize {
    let period = 2 * n as isize;
    let at = (at as isize - radius as isize).rem_euclid(period) as usize;
    if at < n { at } else { 2 * n - 1 - at }
}

#[cfg(test)]
mod tests {
    use super::{
        super::vectors::{ROUNDING, close, generated, numbers, plane, training},
        *,
    };

    #[test]
    fn blurring_agrees_with_scipy() {
        let expected = &training()["blur"];
        for (sigma, name) in [
            (0.5, "kernel_sigma_0_5"),
            (0.75, "kernel_sigma_0_75"),
            (1.0, "kernel_sigma_1_0"),
        ] {
            let (found, wanted) = (kernel(sigma), numbers(&expected[name]));
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
            }
        }
        let line: Vec<f32> = numbers(&expected["line"])
            .iter()
            .map(|v| *v as f32)
            .collect();
        let plane = Plane {
            height: 1,
            width: line.len(),
            values: line,
        };
        close(
            &blur(&plane, 1.0).values,
            &numbers(&expected["gaussian_filter1d_sigma1_mode_reflect"]),
            2e-7,
        );
    }

    #[test]
    fn blurring_a_plane_agrees_with_scipy() {
        let cases = generated("blurred");
        for case in &cases {
            let found = blur(&plane(case, "image"), case["sigma"].as_f64().unwrap());
            // Rounded after each axis.
            close(&found.values, &numbers(&case["blurred"]), 2.0 * ROUNDING);
        }
        assert!(cases.len() >= 10);
    }
}
