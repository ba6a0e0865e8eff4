//! Two experiments side by side, with the real program.

use std::path::Path;

use crate::support::common::*;

/// The values of a column in the runs of a method and an expert, in the order of the ways of
/// sampling.
fn values(folder: &Path, method: &str, column: &str) -> Vec<f64> {
    let rows = csv(&folder.join("runs.csv")).into_iter();
    let rows = rows.filter(|row| row["method"] == method);
    rows.map(|row| row[column].parse().unwrap()).collect()
}

#[test]
fn two_variants_are_compared_by_keys_and_cell_by_cell() {
    let folder = tiny();
    let at = folder.path();
    run(at, &tiny_run(&[]), 0);
    run(at, &tiny_run(&["--set", "finetune.steps=6"]), 0);
    let [first, second] = ["paper", "paper+finetune.steps=6"];
    let folders = [first, second].map(|variant| format!("results/tiny/{variant}"));
    let [a, b] = folders.each_ref().map(String::as_str);
    let said = run(at, &["compare", a, b], 0).out;
    let keys: Vec<&str> = said.lines().filter(|line| line.contains("| `")).collect();
    assert_eq!(keys, ["| finetune.steps | `2` | `6` |"], "{said}");
    assert!(said.contains("synthetic"), "{said}");

    let text = run(at, &["compare", a, b, "--format", "csv"], 0).out;
    std::fs::write(at.join("compared.csv"), &text).unwrap();
    let rows = csv(&at.join("compared.csv"));
    // Three measures of two methods.
    assert_eq!(rows.len(), 6);
    for row in &rows {
        let [of_a, of_b] =
            [a, b].map(|folder| values(&at.join(folder), &row["method"], &row["measure"]));
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let differences: Vec<f64> = std::iter::zip(&of_b, &of_a).map(|(b, a)| b - a).collect();
        let mean = differences.iter().sum::<f64>() / 2.0;
        assert!((number("difference") - mean).abs() < 1e-9, "{row:?}");
        assert_eq!(row["pairs"], "2");
        match row["method"].as_str() {
            // It is not fine-tuned.
            "w/o" => {
                assert_eq!(differences, [0.0; 2]);
                assert_eq!(number("p"), 1.0);
            }
            _ => {
                assert_ne!(mean, 0.0);
                // Student's t with one degree of freedom has a closed form.
                let spread = (differences[0] - differences[1]).abs() / 2.0;
                let t = mean / spread;
                let p = 1.0 - 2.0 / std::f64::consts::PI * t.abs().atan();
                assert!((number("t") - t).abs() < 1e-6 * t.abs(), "{row:?}");
                assert!((number("p") - p).abs() < 1e-6, "{row:?}");
                assert!(
                    (number("p_holm") - (2.0 * p).min(1.0)).abs() < 1e-6,
                    "{row:?}"
                );
            }
        }
    }
    // The other way round the signs change.
    let back = run(at, &["compare", b, a, "--format", "csv"], 0).out;
    std::fs::write(at.join("compared.csv"), back).unwrap();
    for (row, there) in csv(&at.join("compared.csv")).iter().zip(&rows) {
        let number = |row: &std::collections::BTreeMap<String, String>| {
            row["difference"].parse::<f64>().unwrap()
        };
        assert_eq!(number(row), -number(there));
    }
    // As a page, with a plot for each measure.
    run(at, &["compare", a, b, "-o", "compared.html"], 0);
    let page = std::fs::read_to_string(at.join("compared.html")).unwrap();
    assert_eq!(page.matches("<svg class=\"plot wide\"").count(), 3);
    assert!(page.contains("finetune.steps") && page.contains("Content-Security-Policy"));
    assert!(page.contains("Keys that differ"));
    let looked = std::process::Command::new("bash")
        .arg(repository().join("tests/page/check.sh"))
        .arg("--plain")
        .arg(at.join("compared.html"))
        .output()
        .unwrap();
    // Without a browser, the tests of pages say so.
    let code = looked.status.code();
    assert!(
        [Some(0), Some(77)].contains(&code),
        "{:?}",
        Said::of(&looked)
    );
    let said = run(at, &["compare", a, b, "--format", "terminal"], 0).out;
    let widest = said
        .lines()
        .filter(|line| !line.contains("  "))
        .map(str::len)
        .max();
    assert!(!said.contains('|') && widest <= Some(100), "{said}");
    let said = run(at, &["compare", a, b, "-o", "compared.pdf"], 2).err;
    assert!(
        said.contains("compared.pdf does not say what to write"),
        "{said}"
    );
    // Only what both have is compared.
    let mut runs = std::fs::read_to_string(at.join(b).join("runs.csv")).unwrap();
    runs.truncate(runs.trim_end().rfind('\n').unwrap() + 1);
    std::fs::write(at.join(b).join("runs.csv"), runs).unwrap();
    let said = run(at, &["compare", a, b], 0).out;
    assert!(said.contains("left out: 1 of A, 0 of B"), "{said}");
}

#[test]
fn runs_are_exported_with_swept_keys_as_columns_and_numbers_as_numbers() {
    let folder = tiny();
    let at = folder.path();
    let swept = format!("{TINY}\n[sweep]\nfinetune.lr = [1e-3, 1e-2]\n");
    std::fs::write(at.join("swept.toml"), swept).unwrap();
    run(at, &tiny_run(&["--only", "start=1"]), 0);
    let export = |more: &[&str]| {
        let dataset = phantom().to_str().unwrap();
        let words = ["export", "tiny.toml", "swept.toml", "-d", dataset];
        run(at, &[&words[..], more].concat(), 0).out
    };
    assert!(export(&["-o", "runs.json"]).starts_with("12 runs written"));
    let arguments = [
        "export",
        "tiny.toml",
        "-d",
        phantom().to_str().unwrap(),
        "-o",
        "a.parquet",
    ];
    let said = run(at, &arguments, 2).err;
    assert!(said.contains("ends with .csv or .json"), "{said}");
    let read = std::fs::read_to_string(at.join("runs.json")).unwrap();
    let read: serde_json::Value = serde_json::from_str(&read).unwrap();
    let rows = read.as_array().unwrap();
    assert_eq!(rows.len(), 12);
    let own = csv(&at.join("results/tiny/paper/runs.csv"));
    for (row, own) in rows.iter().zip(&own) {
        // The same as beside the table.
        let expected: f64 = own["dice_percent"].parse().unwrap_or(f64::NAN);
        match row["dice_percent"].as_f64() {
            Some(dice) => assert_eq!(dice, expected),
            None => assert!(row["dice_percent"].is_null() && expected.is_nan(), "{row}"),
        }
        assert_eq!(row["status"], own["status"]);
        assert_eq!(row["samples"], 5);
        // A text, though one expert is a digit.
        assert_eq!(
            row["annotators"].as_str().unwrap_or_default(),
            own["annotators"]
        );
        assert!(row["finetune.lr"].is_null());
    }
    assert!(rows[4..].iter().all(|row| row["table"] == "swept"));
    let rates = rows[4..].iter().map(|row| row["finetune.lr"].as_f64());
    assert!(rates.clone().any(|rate| rate == Some(1e-3)) && rates.flatten().count() >= 4);
    std::fs::write(at.join("some.csv"), export(&["--only", "start=1"])).unwrap();
    assert_eq!(csv(&at.join("some.csv")).len(), 6);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let folder = tiny();
    let at = folder.path();
    run(at, &tiny_run(&[]), 0);
    let a = "results/tiny/paper";
    let said = run(at, &["compare", a, "results/none"], 2).err;
    assert!(
        said.contains("results/none") && said.contains("results/table2/phantom"),
        "{said}"
    );
    let said = run(at, &["compare", a, "results/tiny"], 2).err;
    assert!(said.contains("here results/tiny/paper"), "{said}");
    let said = run(at, &["compare", a, "tiny.toml"], 2).err;
    assert!(said.contains("tiny.toml: it is no file of runs"), "{said}");
    let runs = std::fs::read_to_string(at.join(a).join("runs.csv")).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(at.join(name)).unwrap();
        std::fs::write(at.join(name).join("runs.csv"), text).unwrap();
    };
    write("other", &runs.replacen("samples", "width", 1));
    let said = run(at, &["compare", a, "other"], 2).err;
    assert!(said.contains("have the same axes"), "{said}");
    write("units", &runs.replace(",px", ",mm"));
    let said = run(at, &["compare", a, "units"], 2).err;
    assert!(
        said.contains("distances are in px in the first and in mm"),
        "{said}"
    );
    write("elsewhere", &runs.replace("tiny,6,", "tiny,5,"));
    let said = run(at, &["compare", a, "elsewhere"], 2).err;
    assert!(
        said.contains("no run of results/tiny/paper is in elsewhere"),
        "{said}"
    );
    // Without a description keys are not compared, and results are.
    write("bare", &runs);
    let said = run(at, &["compare", a, "bare"], 0).out;
    assert!(said.contains("Keys are not compared"), "{said}");
}

/// Runs of `single` by two experts, and of `w/` by two combinations, two starts and two repeats.
fn made_up(starts: &[u32], shift: f64, undefined: bool) -> String {
    let mut text = String::from(
        "table,new_expert,method,experts,annotators,samples,start,repeat,dice_percent,assd,hd95,\
         status,reason,pretraining,training,evaluation,distance_unit\n",
    );
    for start in starts {
        for expert in [1, 2] {
            let dice = f64::from(80 + 5 * expert + start);
            text += &format!("t,6,single,1,{expert},5,{start},,{dice},2,5,ok,,,b,c,px\n");
        }
        for (i, combination) in ["1+2", "1+3"].into_iter().enumerate() {
            for repeat in 0..2 {
                let dice = 85.0 + f64::from(start * (1 + repeat)) + i as f64 + shift;
                let assd = match undefined && i == 1 && repeat == 1 {
                    true => String::new(),
                    false => format!("{}", 2.0 - shift / 10.0 + f64::from(*start) * shift / 100.0),
                };
                text += &format!(
                    "t,6,w/,2,{combination},5,{start},{repeat},{dice},{assd},5,ok,,a,b,c,px\n"
                );
            }
        }
    }
    text
}

#[test]
fn combinations_and_repeats_are_averaged_and_other_experts_masks_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, text: String| {
        std::fs::create_dir_all(at.join(name)).unwrap();
        std::fs::write(at.join(name).join("runs.csv"), text).unwrap();
    };
    let cells = |a: &str, b: &str| {
        let text = run(at, &["compare", a, b, "--format", "csv"], 0).out;
        std::fs::write(at.join("compared.csv"), text).unwrap();
        csv(&at.join("compared.csv"))
    };
    write("a", made_up(&[1, 4, 7], 0.0, false));
    write("b", made_up(&[1, 4, 7], 1.0, true));
    let rows = cells("a", "b");
    let of = |method: &str, measure: &str| -> Vec<_> {
        let rows = rows.iter();
        let rows = rows.filter(|row| row["method"] == method && row["measure"] == measure);
        rows.cloned().collect()
    };
    let single = of("single", "dice_percent");
    let experts: Vec<&str> = single
        .iter()
        .map(|row| row["annotators"].as_str())
        .collect();
    assert_eq!(experts, ["1", "2"]);
    assert_eq!(single[0]["mean_a"], "89");
    // As version 0.1 called its columns.
    let older = |text: String| {
        text.replace(",method,", ",arm,")
            .replace(",annotators,", ",combination,")
    };
    write("older", older(made_up(&[1, 4, 7], 0.0, false)));
    assert_eq!(cells("older", "b"), rows);
    let both = of("w/", "dice_percent");
    assert_eq!(both.len(), 1);
    assert_eq!(
        (both[0]["annotators"].as_str(), both[0]["pairs"].as_str()),
        ("", "3")
    );
    assert_eq!(both[0]["difference"], "1");
    // What has no value in one of its runs has no test.
    let assd = &of("w/", "assd")[0];
    assert_eq!((assd["p"].as_str(), assd["p_holm"].as_str()), ("", ""));
    assert!(assd["undefined"].contains("undefined"), "{assd:?}");
    let said = run(at, &["compare", "a", "b"], 0).out;
    assert_eq!(said.matches("1 cell has no test: ").count(), 1, "{said}");
    // With one start repeats are the results.
    write("c", made_up(&[1], 0.0, false));
    write("d", made_up(&[1], 1.0, false));
    let rows = cells("c", "d");
    let found = rows.iter().find(|row| row["method"] == "w/").unwrap();
    assert_eq!(found["pairs"], "2");
}
