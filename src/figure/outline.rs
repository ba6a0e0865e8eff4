//! The outline of a mask.

use contour::ContourBuilder;

use super::coordinate::px;
use crate::data::Mask;

/// A line through points (x, y); a closed one ends where it began.
pub type Polyline = Vec<[f64; 2]>;

/// Closed lines through the middles of the edges of a mask's pixels: points (x, y) in pixels, where
/// pixel (0, 0) reaches from 0 to 1; the last point of each is its first one. Holes have lines of
/// their own. None for an empty mask.
pub fn rings(mask: &Mask) -> Vec<Polyline> {
    let values: Vec<f64> = mask
        .pixels
        .iter()
        .map(|inside| f64::from(u8::from(*inside)))
        .collect();
    let contours = ContourBuilder::new(mask.width, mask.height, true)
        .contours(&values, &[0.5])
        .expect("there is a value for every pixel");
    let polygons = contours.iter().flat_map(|contour| &contour.geometry().0);
    let lines =
        polygons.flat_map(|polygon| std::iter::once(polygon.exterior()).chain(polygon.interiors()));
    let points = lines.map(|line| line.coords().map(|point| [point.x, point.y]).collect());
    points.collect()
}

/// A line without the points that lie on straight parts of it.
pub fn corners(line: &[[f64; 2]]) -> Polyline {
    let mut kept: Polyline = Vec::new();
    for (i, point) in line.iter().enumerate() {
        let is_corner = match (kept.last(), line.get(i + 1)) {
            (Some(before), Some(after)) => {
                let [to, on] = [(before, point), (point, after)]
                    .map(|(from, to)| [to[0] - from[0], to[1] - from[1]]);
                to[0] * on[1] != to[1] * on[0] || to[0] * on[0] + to[1] * on[1] < 0.0
            }
            _ => true,
        };
        if is_corner {
            kept.push(*point);
        }
    }
    kept
}

/// Whether a line ends where it began.
pub fn is_closed(line: &[[f64; 2]]) -> bool {
    line.len() > 2 && line.first() == line.last()
}

/// Lines as an SVG path.
pub fn path(lines: &[Polyline]) -> String {
    let mut path = String::new();
    for line in lines {
        for (i, [x, y]) in line.iter().enumerate() {
            path.push(if i == 0 { 'M' } else { 'L' });
            path.push_str(&px(*x));
            path.push(' ');
            path.push_str(&px(*y));
        }
        if is_closed(line) {
            path.push('Z');
        }
    }
    path
}
