//! A linear scale and its round ticks.

/// A scale with fewer ticks says too little of its values.
const FEWEST: usize = 3;

/// A linear map from values to coordinates of a plot.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    values: [f64; 2],
    places: [f64; 2],
}

impl Scale {
    /// Maps the first value to the first coordinate and the last to the last. An empty range of
    /// values is widened.
    pub fn new(values: [f64; 2], places: [f64; 2]) -> Self {
        let [low, high] = values;
        let values = match high > low {
            true => values,
            false => [low - 0.5, low + 0.5],
        };
        Self { values, places }
    }

    /// The coordinate of a value.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let [from, to] = self.places;
        from + (value - low) / (high - low) * (to - from)
    }

    /// About `wanted` round values within the scale, at least three of them, with their labels.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let rough = (high - low) / wanted.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        // Round steps: 1, 2 or 5 times a power of ten.
        let steps = [10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1];
        let steps = steps.map(|factor| factor * power);
        let largest = steps.iter().rposition(|step| *step >= rough * 0.999);
        let ends = |step: f64| {
            let first = (low / step - 1e-9).ceil() as i64;
            let last = (high / step + 1e-9).floor() as i64;
            first..=last
        };
        let enough = |step: &&f64| ends(**step).count() >= FEWEST;
        let step = steps[largest.unwrap_or(0)..].iter().find(enough);
        let step = *step.unwrap_or(&steps[0]);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        ends(step)
            .map(|i| {
                let value = i as f64 * step;
                (value, format!("{value:.decimals$}"))
            })
            .collect()
    }
}

/// The range of values, a little wider on both sides; nothing where there are none.
pub(in super::super) fn range(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    (low <= high).then(|| {
        let margin = 0.04 * (high - low);
        [low - margin, high + margin]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within() {
        let names = |low, high| -> Vec<String> {
            let scale = Scale::new([low, high], [0.0, 100.0]);
            scale.ticks(5).into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(81.3, 85.2), ["82", "83", "84", "85"]);
        assert_eq!(names(2.41, 2.62), ["2.45", "2.50", "2.55", "2.60"]);
        assert_eq!(names(0.0, 600.0), ["0", "200", "400", "600"]);
        let four = |low, high| -> Vec<String> {
            let scale = Scale::new([low, high], [0.0, 100.0]);
            scale.ticks(4).into_iter().map(|(_, name)| name).collect()
        };
        // Half a unit apart, there would be two.
        assert_eq!(
            four(2.11, 3.49),
            ["2.2", "2.4", "2.6", "2.8", "3.0", "3.2", "3.4"]
        );
    }

    #[test]
    fn a_scale_turns_values_into_places() {
        let scale = Scale::new([10.0, 20.0], [200.0, 0.0]);
        assert_eq!(scale.at(10.0), 200.0);
        assert_eq!(scale.at(15.0), 100.0);
        assert!(Scale::new([3.0, 3.0], [0.0, 1.0]).at(3.0).is_finite());
    }
}
