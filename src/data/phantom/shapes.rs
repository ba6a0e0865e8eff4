//! The shapes of the phantom's anatomy: outline, furrows, and what lies in the middle.
//!
//! The rule: a shape is a scalar field over the brain's own coordinates. Only the outline knows
//! pixels; none knows tissues.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::SIDE_PX;
use crate::seed::Seed;

/// A pixel in the brain's own coordinates.
pub(super) struct BrainPoint {
    /// Left (-1) to right (1), in units of the mean radius.
    pub u: f64,
    /// Back (-1) to front (1), in units of the mean radius.
    pub v: f64,
    /// Angle around the centre, 0 at the right, a quarter turn at the front.
    pub angle: f64,
    /// 0 at the outline, 1 at the centre, negative outside.
    pub depth: f64,
}

/// The skull-stripped outline: a wavy ellipse with its position in the frame.
pub(super) struct Outline {
    centre_px: [f64; 2],
    tilt: f64,
    half_axes_px: [f64; 2],
    waves: Waves,
}

impl Outline {
    pub fn draw(seed: Seed, share: f64) -> Self {
        let mut rng = seed.rng();
        let waves = Waves::draw(&mut rng, 2..=5, 0.012);
        let elongation: f64 = rng.random_range(1.18..1.3);
        // The area of r(angle) is half the integral of r squared.
        let mean_square = waves.mean_square();
        let area_px = share * (SIDE_PX * SIDE_PX) as f64;
        let radius = (area_px / (PI * mean_square)).sqrt();
        let half_axes_px = [radius / elongation.sqrt(), radius * elongation.sqrt()];
        let tilt = rng.random_range(-12.0_f64..12.0).to_radians();
        // A large brain can be shifted less.
        let middle = SIDE_PX as f64 / 2.0 - 0.5;
        let reach = 1.06 * half_axes_px[1] + 2.0;
        let room = (middle - reach).clamp(0.0, 20.0);
        let mut shift = || middle + rng.random_range(-20.0_f64..20.0).clamp(-room, room);
        Self {
            centre_px: [shift(), shift()],
            tilt,
            half_axes_px,
            waves,
        }
    }

    pub fn radius_px(&self) -> f64 {
        (self.half_axes_px[0] * self.half_axes_px[1]).sqrt()
    }

    pub fn place(&self, x: usize, y: usize) -> BrainPoint {
        let dx = x as f64 - self.centre_px[0];
        let dy = y as f64 - self.centre_px[1];
        let (sin, cos) = libm::sincos(self.tilt);
        // The front is at the top of the picture, where y is small.
        let (right, front) = (cos * dx + sin * dy, sin * dx - cos * dy);
        let [a, b] = self.half_axes_px;
        let angle = libm::atan2(front / b, right / a);
        let stretch = libm::hypot(right / a, front / b) / self.waves.at(angle);
        BrainPoint {
            u: right / self.radius_px(),
            v: front / self.radius_px(),
            angle,
            depth: 1.0 - stretch,
        }
    }
}

/// 1 plus a few Fourier modes of an angle.
struct Waves(Vec<(f64, f64, f64)>);

impl Waves {
    fn draw(rng: &mut ChaCha8Rng, modes: std::ops::RangeInclusive<u32>, size: f64) -> Self {
        let first = f64::from(*modes.start());
        Self(
            modes
                .map(|mode| {
                    let mode = f64::from(mode);
                    let size = size * first / mode;
                    let [cos, sin]: [f64; 2] =
                        [rng.sample(StandardNormal), rng.sample(StandardNormal)];
                    let bound = |v: f64| v.clamp(-2.0, 2.0) * size;
                    (mode, bound(cos), bound(sin))
                })
                .collect(),
        )
    }

    fn at(&self, angle: f64) -> f64 {
        let waves = self
            .0
            .iter()
            .map(|(mode, cos, sin)| cos * libm::cos(mode * angle) + sin * libm::sin(mode * angle));
        1.0 + waves.sum::<f64>()
    }

    fn mean_square(&self) -> f64 {
        1.0 + self
            .0
            .iter()
            .map(|(_, cos, sin)| 0.5 * (cos * cos + sin * sin))
            .sum::<f64>()
    }
}

/// A furrow of the brain's surface.
struct Sulcus {
    angle: f64,
    /// How far its angle drifts from the surface to the centre.
    bend: f64,
    width: f64,
    depth: f64,
}

/// All furrows: the sulci, the two lateral fissures, and the fissure between the hemispheres.
pub(super) struct Sulci(Vec<Sulcus>);

impl Sulci {
    /// Larger brains are older, and more folded.
    pub fn draw(seed: Seed, radius_px: f64) -> Self {
        let mut rng = seed.rng();
        let age = ((radius_px - 40.0) / 50.0).clamp(0.0, 1.0);
        let per_side = 4 + (2.0 * age).round() as u32;
        // At least as wide as pixels can show.
        let width = |px: f64| (px / radius_px).max(0.022);
        let mut all = Vec::new();
        for side in [0.0, PI] {
            let spacing = PI / f64::from(per_side + 1);
            for k in 1..=per_side {
                let jitter = rng.random_range(-0.25..0.25);
                all.push(Sulcus {
                    angle: side - PI / 2.0 + (f64::from(k) + jitter) * spacing,
                    bend: rng.random_range(-0.7..0.7),
                    width: width(rng.random_range(1.6..3.0)),
                    depth: rng.random_range(0.05..0.1) + age * rng.random_range(0.0..0.09),
                });
            }
            // The lateral fissure opens wide before the temporal lobe covers the insula.
            let forward = if side == 0.0 { 0.18 } else { -0.18 };
            all.push(Sulcus {
                angle: side + forward + rng.random_range(-0.1..0.1),
                bend: rng.random_range(-0.2..0.2),
                width: width(rng.random_range(3.0..5.5)),
                depth: rng.random_range(0.12..0.21),
            });
        }
        for (angle, low, high) in [(PI / 2.0, 0.48, 0.58), (-PI / 2.0, 0.40, 0.52)] {
            all.push(Sulcus {
                angle,
                bend: 0.0,
                width: width(rng.random_range(1.5..2.6)),
                depth: rng.random_range(low..high),
            });
        }
        Self(all)
    }

    /// How deep the surface lies at a place, as a share of the radius.
    pub fn depth_at(&self, place: &BrainPoint) -> f64 {
        let one = |sulcus: &Sulcus| {
            let bent = place.angle - sulcus.angle - sulcus.bend * place.depth.max(0.0);
            let turn = (bent + PI).rem_euclid(TAU) - PI;
            // An angle spans less and less towards the centre: widths are kept in pixels.
            let across = turn * (1.0 - place.depth).max(0.0);
            sulcus.depth * libm::exp(-0.5 * (across / sulcus.width).powi(2))
        };
        self.0.iter().map(one).fold(0.0, f64::max)
    }
}

/// What lies in the middle: shapes as signed distances in units of the radius, negative inside.
pub(super) struct Centre {
    horns: Vec<[Disc; 2]>,
    nuclei: Vec<Ellipse>,
    commissures: [Ellipse; 3],
}

#[derive(Clone, Copy)]
struct Disc {
    at: [f64; 2],
    radius: f64,
}

struct Ellipse {
    at: [f64; 2],
    half_axes: [f64; 2],
    tilt: f64,
}

impl Centre {
    pub fn draw(ventricles: Seed, deep_grey: Seed) -> Self {
        let mut rng = ventricles.rng();
        let mut near = |value: f64, by: f64| value + rng.random_range(-by..by);
        let third = Disc {
            at: [0.0, near(-0.08, 0.02)],
            radius: 0.025,
        };
        let mut horns = vec![[
            third,
            Disc {
                at: [0.0, near(-0.2, 0.02)],
                ..third
            },
        ]];
        let (front, back) = (near(0.1, 0.025), near(0.065, 0.02));
        let commissures = [
            Ellipse {
                at: [0.0, near(0.4, 0.03)],
                half_axes: [0.13, 0.04],
                tilt: 0.0,
            },
            Ellipse {
                at: [0.0, near(-0.38, 0.02)],
                half_axes: [0.15, 0.14],
                tilt: 0.0,
            },
            // The septum, between the frontal horns.
            Ellipse {
                at: [0.0, near(0.3, 0.02)],
                half_axes: [0.08, 0.2],
                tilt: 0.0,
            },
        ];
        for side in [-1.0, 1.0] {
            let mut disc = |u: f64, v: f64, radius: f64| Disc {
                at: [side * near(u, 0.02), near(v, 0.03)],
                radius: near(radius, 0.012),
            };
            horns.push([disc(0.17, 0.42, front), disc(0.1, 0.12, 0.6 * front)]);
            horns.push([disc(0.1, -0.26, 0.6 * back), disc(0.21, -0.5, back)]);
        }
        let mut rng = deep_grey.rng();
        let mut near = |value: f64, by: f64| value + rng.random_range(-by..by);
        let mut nuclei = Vec::new();
        for side in [-1.0, 1.0] {
            for (u, v, a, b, tilt) in [
                (0.14, -0.09, 0.12, 0.16, 0.35),
                (0.3, 0.05, 0.1, 0.2, -0.25),
            ] {
                nuclei.push(Ellipse {
                    at: [side * near(u, 0.02), near(v, 0.025)],
                    half_axes: [near(a, 0.015), near(b, 0.02)],
                    tilt: side * near(tilt, 0.1),
                });
            }
        }
        Self {
            horns,
            nuclei,
            commissures,
        }
    }

    pub fn ventricles(&self, place: &BrainPoint) -> f64 {
        let from = |[a, b]: &[Disc; 2]| {
            let along = [b.at[0] - a.at[0], b.at[1] - a.at[1]];
            let from_a = [place.u - a.at[0], place.v - a.at[1]];
            let squared = along[0] * along[0] + along[1] * along[1];
            let t = ((from_a[0] * along[0] + from_a[1] * along[1]) / squared).clamp(0.0, 1.0);
            let distance = libm::hypot(from_a[0] - t * along[0], from_a[1] - t * along[1]);
            distance - (a.radius + t * (b.radius - a.radius))
        };
        self.horns.iter().map(from).fold(f64::INFINITY, f64::min)
    }

    pub fn deep_grey(&self, place: &BrainPoint) -> f64 {
        let nuclei = self.nuclei.iter().map(|e| e.level(place));
        nuclei.fold(f64::INFINITY, f64::min)
    }

    pub fn callosum(&self, place: &BrainPoint) -> f64 {
        let shapes = self.commissures.iter().map(|e| e.level(place));
        shapes.fold(f64::INFINITY, f64::min)
    }
}

impl Ellipse {
    /// 0 on the border, negative inside.
    fn level(&self, place: &BrainPoint) -> f64 {
        let (dx, dy) = (place.u - self.at[0], place.v - self.at[1]);
        let (sin, cos) = libm::sincos(self.tilt);
        let (x, y) = (cos * dx + sin * dy, cos * dy - sin * dx);
        libm::hypot(x / self.half_axes[0], y / self.half_axes[1]) - 1.0
    }
}
