//! A comparison as Markdown and as CSV.

use std::fmt::Write as _;

use itertools::Itertools;

use super::{
    cells::{ComparedCell, SideBySide},
    keys::KeyDifference,
};
use crate::report::{p_value, signed};

/// The level below which a difference is marked.
const ALPHA: f64 = 0.05;

impl SideBySide {
    /// As Markdown: keys first, then a table for each measure.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let [a, b] = self.folders.each_ref().map(|folder| folder.display());
        let _ = writeln!(text, "# {b} against {a}\n");
        for (letter, i) in [("A", 0), ("B", 1)] {
            let folder = self.folders[i].display();
            let _ = writeln!(text, "- **{letter}**: {folder} ({})", self.of[i]);
        }
        text.push('\n');
        match self.keys.as_deref() {
            None => text.push_str("A manifest cannot be read any more: keys are not compared.\n"),
            Some([]) => text.push_str("No key differs.\n"),
            Some(keys) => {
                text.push_str("| key | A | B |\n|---|---|---|\n");
                for KeyDifference { key, values } in keys {
                    let [a, b] = values.each_ref().map(|value| match value {
                        Some(value) => format!("`{value}`"),
                        None => "–".to_owned(),
                    });
                    let _ = writeln!(text, "| `{key}` | {a} | {b} |");
                }
            }
        }
        let by_measure = self.cells.iter().chunk_by(|cell| cell.measure);
        for (measure, cells) in &by_measure {
            let heading = measure.heading(&self.distances);
            let _ = writeln!(text, "\n## {heading}\n");
            let axes = self.axes.iter().map(|axis| format!("{axis} | ")).join("");
            let _ = writeln!(
                text,
                "| {axes}A | B | B − A | 95 % interval | p | p (Holm) | pairs |"
            );
            let _ = writeln!(text, "|{}", "---|".repeat(self.axes.len() + 7));
            for cell in cells {
                let _ = writeln!(text, "{}", row(cell));
            }
        }
        text.push_str(&self.notes());
        text
    }

    fn notes(&self) -> String {
        let mut text = String::from(
            "\nDifferences are means over ways of sampling; combinations of annotators and repeats \
             are averaged first. Paired t-tests; p (Holm) is corrected over the cells of a \
             measure. **Bold**: B is better with p (Holm) below .05; *italic*: worse. Keys are \
             those of the manifests as they are now.\n",
        );
        let [a, b] = self.alone;
        if a + b > 0 {
            let _ = writeln!(
                text,
                "\nRuns that only one of them has are left out: {a} of A, {b} of B."
            );
        }
        if self.undefined > 0 {
            let _ = writeln!(
                text,
                "\nRuns without a value of some measure in A or in B: {}; their cells have no \
                 test.",
                self.undefined
            );
        }
        text
    }

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

fn row(cell: &ComparedCell) -> String {
    let shown = |value: f64, how: &dyn Fn(f64) -> String| match value.is_nan() {
        true => "–".to_owned(),
        false => how(value),
    };
    let [a, b] = cell
        .means
        .map(|mean| shown(mean, &|mean| format!("{mean:.2}")));
    let difference = shown(cell.means[1] - cell.means[0], &signed);
    let is_significant = cell.p_holm.is_some_and(|p| p < ALPHA);
    let difference = match (is_significant, cell.is_better()) {
        (true, true) => format!("**{difference}**"),
        (true, false) => format!("*{difference}*"),
        (false, _) => difference,
    };
    let (interval, p) = match &cell.test {
        Ok(test) => (
            format!("{} to {}", signed(test.ci95.0), signed(test.ci95.1)),
            p_value(test.p),
        ),
        Err(why) => ("–".to_owned(), why.to_string()),
    };
    let holm = cell.p_holm.map_or_else(|| "–".to_owned(), p_value);
    let at = cell.at.iter().map(|value| match value.as_str() {
        "" => "–",
        value => value,
    });
    let cells = at
        .map(str::to_owned)
        .chain([a, b, difference, interval, p, holm]);
    let cells = cells.chain([cell.pairs.to_string()]);
    format!(
        "| {} |",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    )
}
