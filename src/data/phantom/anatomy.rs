//! The phantom's anatomy: which tissue each pixel is, in an axial slice of a newborn's brain.
//!
//! The rule: a scalar field orders the pixels by how well they fit a tissue, and the tissue's share
//! of the brain sets how many become it, so that no seed gives a brain without white matter.

use rand::RngExt;

use super::{
    SIDE_PX,
    field::{ScalarField, distance_to, smooth},
    shapes::{BrainPoint, Centre, Outline, Sulci},
};
use crate::seed::Seed;

/// The tissue of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tissue {
    /// Outside the brain: exactly 0.
    Background,
    /// Cerebrospinal fluid around the brain, in its fissures and sulci.
    OuterCsf,
    /// The folded cortical ribbon.
    Cortex,
    /// The band between cortex and ventricles or deep grey: the target.
    WhiteMatter,
    /// The lateral and third ventricles.
    Ventricles,
    /// Thalamus and basal ganglia.
    DeepGrey,
    /// The corpus callosum, and other structures on the midline.
    Callosum,
}

/// Pixels on either side of the midline that are never white matter.
const MIDLINE_PX: f64 = 1.6;
/// Standard deviation of the smoothing of white matter against the folds of the cortex.
const WHITE_SMOOTH_PX: f64 = 4.0;
/// White matter that is kept between cortex and ventricles, in pixels.
const MANTLE_PX: f64 = 3.0;

/// Draws the tissue of every pixel of a frame of [`SIDE_PX`] squared; `share` of it is brain.
pub(super) fn draw(seed: Seed, share: f64) -> Vec<Tissue> {
    let outline = Outline::draw(seed.fork("outline"), share);
    let shares = Shares::draw(seed.fork("shares"));
    let sulci = Sulci::draw(seed.fork("sulci"), outline.radius_px());
    let centre = Centre::draw(seed.fork("ventricles"), seed.fork("deep grey"));

    let places: Vec<BrainPoint> = (0..SIDE_PX * SIDE_PX)
        .map(|i| outline.place(i % SIDE_PX, i / SIDE_PX))
        .collect();
    let mut tissues: Vec<Tissue> = places
        .iter()
        .map(|p| {
            if p.depth > 0.0 {
                Tissue::WhiteMatter
            } else {
                Tissue::Background
            }
        })
        .collect();
    let brain = tissues
        .iter()
        .filter(|t| **t == Tissue::WhiteMatter)
        .count() as f64;
    let pixels = |share: f64| (share * brain).round() as usize;
    let radius = outline.radius_px();

    assign(&mut tissues, Tissue::OuterCsf, pixels(shares.csf), |i| {
        places[i].depth - sulci.depth_at(&places[i])
    });
    let fluid: Vec<bool> = tissues.iter().map(|t| *t <= Tissue::OuterCsf).collect();
    // Smoothed, because white matter follows the folds less closely than the cortex does.
    let from_fluid = smooth_distance(&fluid);
    let ribbon = assign(&mut tissues, Tissue::Cortex, pixels(shares.cortex()), |i| {
        from_fluid[i]
    });
    let in_mantle = |i: usize| from_fluid[i] < ribbon + MANTLE_PX;
    assign(
        &mut tissues,
        Tissue::Ventricles,
        pixels(shares.ventricles),
        |i| {
            let within = centre.ventricles(&places[i]);
            if in_mantle(i) { within + 10.0 } else { within }
        },
    );
    assign(
        &mut tissues,
        Tissue::Callosum,
        pixels(shares.callosum),
        |i| {
            let from_midline = (places[i].u * radius).abs();
            if from_midline < MIDLINE_PX {
                f64::NEG_INFINITY
            } else {
                centre.callosum(&places[i])
            }
        },
    );
    assign(
        &mut tissues,
        Tissue::DeepGrey,
        pixels(shares.deep_grey),
        |i| {
            let within = centre.deep_grey(&places[i]);
            if in_mantle(i) { within + 10.0 } else { within }
        },
    );
    tissues
}

fn smooth_distance(set: &[bool]) -> Vec<f64> {
    let distance = ScalarField {
        width: SIDE_PX,
        height: SIDE_PX,
        values: distance_to(set, SIDE_PX)
            .iter()
            .map(|d| *d as f32)
            .collect(),
    };
    let smoothed = smooth(&distance, WHITE_SMOOTH_PX).values;
    smoothed.into_iter().map(f64::from).collect()
}

/// Assigns `tissue` to the `count` pixels with the lowest `order` among those still white matter;
/// returns the highest order among them.
fn assign(
    tissues: &mut [Tissue],
    tissue: Tissue,
    count: usize,
    order: impl Fn(usize) -> f64,
) -> f64 {
    let mut open: Vec<(f64, usize)> = (0..tissues.len())
        .filter(|i| tissues[*i] == Tissue::WhiteMatter)
        .map(|i| (order(i), i))
        .collect();
    open.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    open.truncate(count);
    for (_, i) in &open {
        tissues[*i] = tissue;
    }
    open.last().map_or(f64::NEG_INFINITY, |(order, _)| *order)
}

/// Shares of the brain; white matter is a quarter to a third of it, cortex what is left.
struct Shares {
    white: f64,
    csf: f64,
    ventricles: f64,
    deep_grey: f64,
    callosum: f64,
}

impl Shares {
    fn draw(seed: Seed) -> Self {
        let share = |name: &str, low: f64, high: f64| seed.fork(name).rng().random_range(low..high);
        Self {
            white: share("white", 0.315, 0.333),
            csf: share("csf", 0.245, 0.28),
            ventricles: share("ventricles", 0.07, 0.1),
            deep_grey: share("deep grey", 0.08, 0.105),
            callosum: share("callosum", 0.044, 0.05),
        }
    }

    fn cortex(&self) -> f64 {
        let Self {
            white,
            csf,
            ventricles,
            deep_grey,
            callosum,
        } = self;
        1.0 - white - csf - ventricles - deep_grey - callosum
    }
}
