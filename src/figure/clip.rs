//! The parts of lines that lie within a rectangle.

use super::{outline::Polyline, sheet::Area};

/// How far outside a line may lie: what rounding of its points can do.
const ROUNDING: f64 = 1e-6;

/// The parts of a line within a rectangle, in the line's direction; a closed line that lies within
/// stays closed.
pub fn within(area: &Area, line: &[[f64; 2]]) -> Vec<Polyline> {
    let mut parts: Vec<Polyline> = Vec::new();
    for pair in line.windows(2) {
        let Some([from, to]) = segment(area, [pair[0], pair[1]]) else {
            continue;
        };
        match parts.last_mut().filter(|part| part.last() == Some(&from)) {
            Some(part) => part.push(to),
            None => parts.push(vec![from, to]),
        }
    }
    parts
}

/// The part of a segment within a rectangle, after Liang and Barsky (1984).
fn segment(area: &Area, [from, to]: [[f64; 2]; 2]) -> Option<[[f64; 2]; 2]> {
    let sides = [[area.x, area.width], [area.y, area.height]];
    let sides = sides.map(|[start, length]| [start - ROUNDING, start + length + ROUNDING]);
    let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
    for (axis, [low, high]) in sides.into_iter().enumerate() {
        let step = to[axis] - from[axis];
        if step == 0.0 {
            if !(low..=high).contains(&from[axis]) {
                return None;
            }
            continue;
        }
        let [first, last] = match step > 0.0 {
            true => [low, high],
            false => [high, low],
        };
        enters = enters.max((first - from[axis]) / step);
        leaves = leaves.min((last - from[axis]) / step);
    }
    let at = |share: f64| [0, 1].map(|axis| from[axis] + share * (to[axis] - from[axis]));
    // The ends themselves stay what they are, so that parts can be joined.
    let start = if enters == 0.0 { from } else { at(enters) };
    let end = if leaves == 1.0 { to } else { at(leaves) };
    (enters < leaves).then_some([start, end])
}

#[cfg(test)]
mod tests {
    use super::{super::outline, *};

    const AREA: Area = Area {
        x: 0.0,
        y: 0.0,
        width: 10.0,
        height: 10.0,
    };

    #[test]
    fn what_lies_outside_is_cut_off() {
        let line = [
            [-5.0, 5.0],
            [5.0, 5.0],
            [5.0, 20.0],
            [8.0, 20.0],
            [8.0, 2.0],
        ];
        assert_eq!(
            outline::path(&within(&AREA, &line)),
            "M0 5L5 5L5 10M8 10L8 2"
        );
        assert_eq!(
            within(&AREA, &[[-1.0, 0.5], [0.5, -1.5]]),
            Vec::<Polyline>::new()
        );
        assert_eq!(
            within(&AREA, &[[20.0, 3.0], [20.0, 4.0]]),
            Vec::<Polyline>::new()
        );
    }

    #[test]
    fn what_lies_within_stays_as_it_is() {
        let square = [[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 1.0]];
        assert_eq!(within(&AREA, &square), [square]);
    }
}
