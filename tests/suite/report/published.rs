//! Results beside published values: what is a comparison, what is not, and what is wrong with a
//! file.

use std::{fs, path::Path};

use expertgrid::{
    data::Provenance,
    manifest::{self, Experiment},
    metric::Score,
    report::{self, DataOrigin, PublishedMeans, Standing},
    results,
};

use crate::support::{
    common::{Metric, phantom, position, repository, run, tiny, tiny_run, word},
    made_up::{MANIFEST, grid},
};

const VALUES: &str = "\
# made up
new_expert,train_expert,method,experts,samples,dice_percent,assd,hd95,note
6,,w/,2,5,80,2.5,7,
6,,w/o,0,5,70,3,9,hard to read
6,,w/,2,10,84,,,
";

fn with_reference(folder: &Path, values: &str) -> String {
    fs::write(folder.join("values.csv"), values).unwrap();
    format!(
        "{MANIFEST}\n[reference]\nvalues = \"values.csv\"\nsource = \"Somebody\"\ndataset = \"the \
         data\"\n"
    )
}

fn named(folder: &Path) -> manifest::Published {
    manifest::Published {
        values: folder.join("values.csv"),
        source: String::new(),
        dataset: String::new(),
    }
}

/// Reads a file of these values; what is wrong with it, without its path.
fn read(folder: &Path, values: &str) -> Result<PublishedMeans, String> {
    fs::write(folder.join("values.csv"), values).unwrap();
    PublishedMeans::read(&named(folder)).map_err(|error| error.fault.to_string())
}

/// Dice of 75 with, 72 without pretraining; ASSD of 2 and 4.
fn scores(run: &expertgrid::plan::Run) -> Option<[Score; 3]> {
    let (dice, distance) = match run.at.experts.is_empty() {
        true => (0.72, 4.0),
        false => (0.75, 2.0),
    };
    Some([dice, distance, distance].map(Score::Value))
}

fn against(
    origin: Provenance,
    dataset: &str,
    change: impl Fn(&mut Experiment),
) -> (report::Versus, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = with_reference(folder.path(), VALUES);
    let (mut plan, store) = grid(folder.path(), &text, scores);
    change(&mut plan.experiments[0]);
    let results = results::collect(&plan, &store, &|_| None);
    let spec = &plan.experiments[0];
    let table = report::tabulate(&results, 0);
    let reference = PublishedMeans::read(spec.reference.as_ref().unwrap()).unwrap();
    let provenance = DataOrigin {
        dataset: dataset.into(),
        origin,
        preparation: None,
    };
    let versus = report::versus(&table, spec, &reference, &provenance);
    let text = report::markdown(&versus.document(&table, &results, 0, &provenance));
    (versus, text)
}

#[test]
fn on_the_data_they_were_published_for_values_are_subtracted_cell_by_cell() {
    let (versus, text) = against(Provenance::Acquired, "the data", |_| {});
    assert_eq!(versus.standing, Standing::Comparison);
    let pair = |method: &str, samples, metric| {
        let found = versus.pairs.iter().find(|pair| {
            word(&pair.position) == method
                && pair.position.samples() == Some(samples)
                && pair.metric == metric
        });
        found.unwrap()
    };
    assert!((pair("w/", 5, Metric::Dice).difference.unwrap() + 5.0).abs() < 1e-9);
    assert!((pair("w/o", 5, Metric::Assd).difference.unwrap() - 1.0).abs() < 1e-9);
    // Not published.
    assert_eq!(pair("w/", 10, Metric::Assd).difference, None);
    assert_eq!(pair("w/o", 10, Metric::Dice).published, None);
    let line = text.lines().find(|line| line.contains(" 5 w/ |")).unwrap();
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    assert_eq!(
        cells[1..11],
        [
            "5 w/", "75.00", "80.00", "−5.00", "2.00", "2.50", "−0.50", "2.00", "7.00", "−5.00"
        ]
    );
    assert!(
        text.contains("hard to read") && !text.contains("Not a comparison"),
        "{text}"
    );
}

type Change<'a> = &'a dyn Fn(&mut Experiment);

#[test]
fn anything_else_is_said_not_to_be_a_comparison_and_shows_shapes() {
    let cases: [(Provenance, &str, Change, &str); 5] = [
        (
            Provenance::Synthetic,
            "the data",
            &|_| {},
            "these data are synthetic",
        ),
        (
            Provenance::SimulatedExperts,
            "the data",
            &|_| {},
            "the experts are simulated",
        ),
        (
            Provenance::Acquired,
            "other data",
            &|_| {},
            "the data set is other data, not the data",
        ),
        (
            Provenance::Acquired,
            "the data",
            &|e| e.profile = "small".into(),
            "the profile small is not",
        ),
        (
            Provenance::Acquired,
            "the data",
            &|e| e.overrides = vec!["finetune.steps=1".into()],
            "finetune.steps=1 was set",
        ),
    ];
    for (origin, dataset, change, reason) in cases {
        let (versus, text) = against(origin, dataset, change);
        assert!(
            matches!(versus.standing, Standing::NoComparison(_)),
            "{reason}"
        );
        assert!(versus.pairs.iter().all(|pair| pair.difference.is_none()));
        let first = text.lines().nth(2).unwrap();
        assert!(
            first.contains("Not a comparison with Somebody") && first.contains(reason),
            "{first}"
        );
        // Gains, positive where better: 3 and 10 of Dice, 2 and .5 of ASSD, 2 and 2 of 95HD.
        // A gain is not one of its columns.
        let line = text.lines().find(|line| line.contains(" 5 |")).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(
            cells[2..8],
            ["+3.00", "+10.00", "+2.00", "+0.50", "+2.00", "+2.00"]
        );
        assert!(
            text.contains(
                "pretraining is ahead at 2 of 2, with a gain of +3.00 at n = 5, and the gap does \
                 not close"
            ),
            "{text}"
        );
    }
}

#[test]
fn a_file_of_values_is_understood_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |values: &str| {
        let text = with_reference(folder.path(), values);
        let path = folder.path().join("made_up.toml");
        fs::write(&path, text).unwrap();
        let experiments = manifest::read(&[&path], "paper", &[]).unwrap();
        let read = PublishedMeans::read(experiments[0].reference.as_ref().unwrap());
        read.unwrap_err().to_string()
    };
    let twice = format!("{VALUES}6,,w/,2,5,81,2,7,\n");
    assert!(refused(&twice).contains("line 6: line 3 has the same cell; keep one of the two"));
    assert!(refused(&VALUES.replace("2.5", "many")).contains("line 3"));
    assert!(refused(&VALUES.replace("assd", "asd")).contains("asd"));
    assert!(refused(&VALUES.replace("2.5", "inf")).contains("not a finite number"));
    fs::remove_file(folder.path().join("values.csv")).ok();
    let gone = manifest::Published {
        values: folder.path().join("nowhere.csv"),
        source: String::new(),
        dataset: String::new(),
    };
    assert!(
        PublishedMeans::read(&gone)
            .unwrap_err()
            .to_string()
            .contains("nowhere.csv: cannot be read")
    );
}

#[test]
fn impossible_values_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let refused =
        |from: &str, to: &str| read(folder.path(), &VALUES.replace(from, to)).unwrap_err();
    for (from, to, expected) in [
        (
            ",80,",
            ",8050,",
            "line 3: dice_percent is 8050; it is a value in per cent, 0 to 100",
        ),
        (
            ",80,",
            ",-1,",
            "line 3: dice_percent is -1; it is a value in per cent, 0 to 100",
        ),
        (
            ",3,9,",
            ",-3,9,",
            "line 4: assd is -3; it is a distance, 0 or more",
        ),
        (
            ",3,9,",
            ",3,-0.5,",
            "line 4: hd95 is -0.5; it is a distance, 0 or more",
        ),
        ("assd", "rad_percent", ""),
    ] {
        let values = VALUES.replace(from, to);
        match expected {
            // A signed measure may be more than 100 per cent.
            "" => assert!(read(folder.path(), &values.replace(",2.5,", ",250,")).is_ok()),
            expected => {
                let said = refused(from, to);
                assert!(said.ends_with(expected), "{said}");
            }
        }
    }
    let below = VALUES
        .replace("assd", "rad_percent")
        .replace(",2.5,", ",-101,");
    let said = read(folder.path(), &below).unwrap_err();
    assert!(
        said.contains("rad_percent is -101; it is a value in per cent, -100 or more"),
        "{said}"
    );
}

#[test]
fn a_field_that_is_no_number_is_told_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        (
            ",80,",
            ",80.5 %,",
            "line 3: dice_percent is `80.5 %`, not a finite number; write `80.5` alone",
        ),
        (
            ",80,",
            ",80.5 \u{b1} 2.1,",
            "dice_percent is `80.5 \u{b1} 2.1`, not a finite number; write `80.5`",
        ),
        (",80,", ",80 (2),", "write `80` alone"),
        (
            ",80,",
            ",-,",
            "dice_percent is `-`, not a finite number; leave the field empty where no value",
        ),
        (",80,", ",n/a,", "leave the field empty"),
        (
            "2,5,80",
            "two,5,80",
            "line 3: experts is `two`; write a whole number, such as 5",
        ),
        (
            "\n6,,w/,2,5",
            "\n600,,w/,2,5",
            "line 3: new_expert is `600`; write a whole number",
        ),
        (
            "\n6,,w/,2,5",
            "\n6,x,w/,2,5",
            "line 3: train_expert is `x`; write a whole number",
        ),
        (
            "\n6,,w/,2,5",
            "\n6,,with,2,5",
            "line 3: there is no method \"with\"",
        ),
        (
            ",80,",
            ",80,5,",
            "line 3 has 10 fields and the head has 9; a comma within a field stands in quotes",
        ),
        ("84,,,", "84,,", "line 5 has 8 fields and the head has 9"),
    ] {
        assert!(VALUES.contains(from), "{from}");
        let said = read(folder.path(), &VALUES.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    // Thousands are separated by what a decimal comma would be.
    let thousands = VALUES.replace(',', ";").replace(";80;", ";1.234,5;");
    let said = read(folder.path(), &thousands).unwrap_err();
    assert!(
        said.contains("line 3: dice_percent is `1.234,5`, not a finite number"),
        "{said}"
    );
    // All lines are told at once.
    let all = VALUES.replace(",80,", ",8000,").replace(",3,9,", ",-3,-9,");
    assert_eq!(
        read(folder.path(), &all).unwrap_err(),
        "line 3: dice_percent is 8000; it is a value in per cent, 0 to 100; line 4: assd is -3; it \
         is a distance, 0 or more; line 4: hd95 is -9; it is a distance, 0 or more"
    );
    fs::write(folder.path().join("values.csv"), b"PK\x03\x04\x14\0").unwrap();
    let workbook = PublishedMeans::read(&named(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(workbook.contains("is a workbook"), "{workbook}");
}

#[test]
fn a_file_as_spreadsheets_save_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let value = |values: &str| {
        let means = read(folder.path(), values).unwrap();
        let text = with_reference(folder.path(), values);
        let (plan, _) = grid(folder.path(), &text, |_| None);
        let at = plan.runs.iter().map(position).find(|at| word(at) == "w/");
        Metric::ALL.map(|metric| means.value(at.as_ref().unwrap(), metric.measure()))
    };
    let expected = [Some(80.0), Some(2.5), Some(7.0)];
    assert_eq!(value(VALUES), expected);
    let semicolons = VALUES.replace(',', ";");
    assert_eq!(value(&semicolons), expected);
    assert_eq!(value(&semicolons.replace('.', ",")), expected);
    assert_eq!(value(&VALUES.replace(',', "\t")), expected);
    // As Excel begins a file in UTF-8.
    let marked = format!("\u{feff}{}", semicolons.trim_start_matches("# made up\n"));
    assert_eq!(value(&marked), expected);
    let refused = |values: &[u8]| {
        fs::write(folder.path().join("values.csv"), values).unwrap();
        PublishedMeans::read(&named(folder.path()))
            .unwrap_err()
            .to_string()
    };
    let latin = VALUES.replace("made up", "Universit\u{e4}t");
    let latin: Vec<u8> = latin.chars().map(|c| c as u8).collect();
    assert!(refused(&latin).contains("not text in UTF-8; save it as CSV in UTF-8"));
    assert!(refused(b"").contains("it is empty; the columns are new_expert"));
    let without = VALUES.replace(",method,", ",how,");
    assert!(refused(without.as_bytes()).contains("unknown column `how`"));
    let without = VALUES.replace(",experts,", ",note,");
    assert!(refused(without.as_bytes()).contains("it has no column `experts`"));
}

#[test]
fn values_that_are_of_nothing_or_look_like_fractions_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let doubts = |values: &str| {
        let means = read(folder.path(), values).unwrap();
        let text = with_reference(folder.path(), values);
        let (plan, _) = grid(folder.path(), &text, |_| None);
        let cells: Vec<_> = plan.runs.iter().map(position).collect();
        means.doubts(&cells).join("\n")
    };
    assert_eq!(doubts(VALUES), "");
    let fractions = VALUES.replace(",80,", ",0.805,").replace(",84,", ",0.84,");
    let said = doubts(&fractions);
    assert!(
        said.contains(
            "dice_percent is in per cent, but these look like fractions (line 3: 0.805, line 5: \
             0.84); multiply them by 100"
        ),
        "{said}"
    );
    // The document says so too, whoever reads it later.
    let text = with_reference(folder.path(), &fractions);
    let (plan, store) = grid(folder.path(), &text, scores);
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let means = read(folder.path(), &fractions).unwrap();
    let origin = DataOrigin {
        dataset: "the data".into(),
        origin: Provenance::Acquired,
        preparation: None,
    };
    let versus = report::versus(&table, &plan.experiments[0], &means, &origin);
    let document = report::markdown(&versus.document(&table, &results, 0, &origin));
    assert!(
        document.contains("**Doubtful values:** dice_percent is in per cent, but these look like"),
        "{document}"
    );
    // Distances are small, and a Dice of 0 happens.
    assert_eq!(doubts(&VALUES.replace(",80,2.5,", ",0,0.5,")), "");
    let others = VALUES.replace(",2,5,80", ",2,6,80");
    let said = doubts(&others);
    assert!(
        said.contains(
            "1 of its 3 lines are of no cell of these tables; the first is line 3, of expert 6, \
             w/ (customised), 2 experts, 6 samples"
        ),
        "{said}"
    );
    let said = doubts(&VALUES.replace("\n6,", "\n5,"));
    assert!(
        said.contains("no value is beside a result, as none of its 3 lines is of a cell"),
        "{said}"
    );
    let head = VALUES.split_inclusive('\n').take(2).collect::<String>();
    assert!(doubts(&head).contains("has no line of values, only a head"));
}

#[test]
fn the_papers_manifests_find_a_published_value_for_every_cell() {
    let paths = ["table1", "table2", "table3"]
        .map(|name| repository().join(format!("experiments/{name}.toml")));
    for (experiment, cells) in manifest::read(&paths, "paper", &[])
        .unwrap()
        .into_iter()
        .zip([14, 28, 12])
    {
        let reference = PublishedMeans::read(experiment.reference.as_ref().unwrap()).unwrap();
        let plan = expertgrid::plan::build(
            vec![experiment.clone()],
            &expertgrid::plan::Inventory::assumed(&experiment.cohort),
        );
        let positions: std::collections::BTreeSet<_> = plan.runs.iter().map(position).collect();
        assert_eq!(positions.len(), cells);
        for position in &positions {
            for metric in Metric::ALL {
                assert!(
                    reference.value(position, metric.measure()).is_some(),
                    "{position} {metric:?}"
                );
            }
        }
    }
}

#[test]
fn a_manifest_without_published_values_is_told_how_to_name_some() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let dataset = phantom().to_str().unwrap();
    let report = |more: &[&'static str], code| {
        let mut arguments = vec!["report", "tiny.toml", "--dataset", dataset];
        arguments.extend(more);
        run(folder.path(), &arguments, code)
    };
    let said = report(&["--reference"], 2);
    assert!(
        said.err.contains("[reference]") && said.err.contains("values = "),
        "{}",
        said.err
    );

    // Named, it is read and the file is written.
    let mut text = fs::read_to_string(folder.path().join("tiny.toml")).unwrap();
    fs::write(folder.path().join("values.csv"), VALUES).unwrap();
    text.push_str(
        "\n[reference]\nvalues = \"values.csv\"\nsource = \"Somebody\"\ndataset = \"the data\"\n",
    );
    fs::write(folder.path().join("tiny.toml"), text).unwrap();
    let said = report(&["--reference"], 0);
    assert!(
        said.out.contains("Not a comparison with Somebody"),
        "{}",
        said.out
    );
    let written =
        fs::read_to_string(folder.path().join("results/tiny/paper/tiny-vs-paper.md")).unwrap();
    assert_eq!(written.trim_end(), said.out.trim_end());

    // What is odd about the file is told.
    let odd = VALUES.replace("80", "0.8");
    fs::write(folder.path().join("values.csv"), odd).unwrap();
    let said = report(&["--reference"], 0);
    assert!(
        said.err
            .contains("warning: values.csv: dice_percent is in per cent"),
        "{}",
        said.err
    );
    fs::write(folder.path().join("values.csv"), VALUES).unwrap();
    report(&["--reference"], 0);

    // Every format, on a pipe: no escape sequences.
    for (format, sign) in [
        ("markdown", "| # Samples |"),
        ("csv", "p_counterpart_holm"),
        ("latex", "\\begin{tabular}"),
        ("html", "<th scope=\"col\""),
        ("terminal", "# Samples  "),
    ] {
        let said = report(&["--format", format], 0);
        assert!(said.out.contains(sign), "{format}: {}", said.out);
        assert!(!said.out.contains('\x1b'), "{format}");
    }
    for extension in ["csv", "md", "tex"] {
        assert!(
            folder
                .path()
                .join(format!("results/tiny/paper/tiny.{extension}"))
                .is_file()
        );
    }
}
