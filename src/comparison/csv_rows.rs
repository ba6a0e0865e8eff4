//! A comparison as CSV.

use itertools::Itertools;

use super::cells::SideBySide;

impl SideBySide {
    /// As CSV: a row for each cell and measure, numbers in full.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let numbers = [
            "mean_a",
            "mean_b",
            "difference",
            "ci95_low",
            "ci95_high",
            "t",
            "df",
            "p",
            "p_holm",
            "pairs",
            "undefined",
        ];
        let header = std::iter::once("measure").chain(self.axes.iter().map(String::as_str));
        let mut rows = vec![header.chain(numbers).map(str::to_owned).collect_vec()];
        for cell in &self.cells {
            let test = |of: fn(&crate::stats::TTest) -> f64| match &cell.test {
                Ok(test) => of(test).to_string(),
                Err(_) => String::new(),
            };
            let [a, b] = cell.means.map(|mean| mean.to_string());
            let first = std::iter::once(cell.measure.column().to_owned());
            let numbers = [
                a,
                b,
                (cell.means[1] - cell.means[0]).to_string(),
                test(|test| test.ci95.0),
                test(|test| test.ci95.1),
                test(|test| test.t),
                test(|test| test.df),
                test(|test| test.p),
                cell.p_holm.map_or_else(String::new, |p| p.to_string()),
                cell.pairs.to_string(),
                cell.test
                    .as_ref()
                    .err()
                    .map_or_else(String::new, ToString::to_string),
            ];
            rows.push(
                first
                    .chain(cell.at.iter().cloned())
                    .chain(numbers)
                    .collect(),
            );
        }
        for row in rows {
            writer.write_record(row).expect("memory takes it");
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8(bytes).expect("all of it is text")
    }
}
