//! What a table says of itself: the trainings it had, what is reduced, what was tested, and units.

use std::fs;

use expertgrid::{
    manifest::{self, Experiment},
    metric::Score,
    plan::{self, Inventory},
    report::{self, Format, Style},
    results,
};

use crate::support::{
    common::{csv, phantom, run, tiny},
    made_up::{MANIFEST, grid, provenance},
};

/// The first paragraph of a table of a manifest that has not run, in Markdown.
fn caption(text: &str, profile: &str) -> String {
    let experiment = parsed(text, profile);
    let inventory = Inventory::assumed(&experiment.cohort);
    let file = std::path::PathBuf::from("weights/resnet.safetensors");
    let inventory = Inventory {
        imports: [(file, expertgrid::key::Digest::of_bytes(b"weights"))].into(),
        ..inventory
    };
    let plan = plan::build(vec![experiment], &inventory);
    let folder = tempfile::tempdir().unwrap();
    let store = expertgrid::store::Store::within(folder.path());
    let results = results::collect(&plan, &store, &|_| None);
    let table = report::tabulate(&results, 0);
    let document = report::lay_out(&table, &results, 0, &provenance());
    let text = report::markdown(&document);
    text.lines().nth(2).unwrap().to_owned()
}

fn parsed(text: &str, profile: &str) -> Experiment {
    manifest::parse("made_up.toml".as_ref(), text, profile, &[]).unwrap()
}

#[test]
fn a_caption_names_the_trainings_that_the_methods_have() {
    let steps = "[pretrain]\nsteps = 40\n[scratch]\nsteps = 12\n[finetune]\nsteps = 6\n";
    let with = |arms: &str, more: &str| {
        let text = MANIFEST.replace("[\"w/\", \"w/o\"]", arms);
        caption(&format!("{text}{}{more}", steps), "paper")
    };
    for (arms, expected) in [
        (
            "[\"w/\", \"w/o\"]",
            "batch 16, 40 steps of pretraining, 12 from random initialisation, 6 of fine-tuning.",
        ),
        (
            "[\"w/\"]",
            "batch 16, 40 steps of pretraining, 6 of fine-tuning.",
        ),
        (
            "[\"w/o\"]",
            "batch 16, 12 steps from random initialisation.",
        ),
    ] {
        let said = with(arms, "");
        assert!(said.contains(expected), "{said}");
    }
    let from = steps.replace(
        "[pretrain]\n",
        "[pretrain]\nfrom = \"weights/resnet.safetensors\"\n",
    );
    let said = caption(&format!("{MANIFEST}{from}"), "paper");
    assert!(
        said.contains("40 steps of pretraining from the weights in resnet.safetensors, 12 from"),
        "{said}"
    );
    let swept = with("[\"w/\"]", "[sweep]\npretrain.steps = [40, 80]\n");
    assert!(
        swept.contains("batch 16, 40 or 80 steps of pretraining, 6 of fine-tuning."),
        "{swept}"
    );
    let sweep =
        "[sweep]\nscratch.steps = [1, 2, 3]\nimage.crop = [192, 224]\nnetwork.width = [4, 8]\n";
    let swept = with("[\"w/o\"]", sweep);
    assert!(
        swept.contains(
            "width 4 or 8, a crop of 192 or 224 pixels, each the mean of 1 x 1, batch 16, 1, 2 or \
             3 steps from random initialisation."
        ),
        "{swept}"
    );
}

#[test]
fn only_what_is_smaller_is_called_reduced() {
    let profile = |keys: &str| caption(&format!("{MANIFEST}[profile.other]\n{keys}\n"), "other");
    for keys in [
        "network.width = 32",
        "image.reduce = 2",
        "image.crop = 96",
        "scratch.steps = 10",
        "grid.starts = [1, 4]",
        "grid.annotators.choose = 1\ntraining.batch = 8",
    ] {
        let said = profile(keys);
        assert!(
            said.contains("reduced from the paper's size"),
            "{keys}: {said}"
        );
    }
    for keys in [
        "network.width = 128",
        "grid.starts = [1, 4, 7, 10, 13]",
        "training.lr = 1e-5",
        "seed = 4",
        "",
    ] {
        let said = profile(keys);
        assert!(
            said.contains("Profile `other`, with other keys than the manifest's own"),
            "{keys}: {said}"
        );
    }
}

#[test]
fn what_was_not_tested_is_not_said_to_be() {
    let said = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), text, |run| {
            let score = run.at.start as f64 / 100.0 + run.at.experts.len() as f64 / 10.0;
            Some([Score::Value(score); 3])
        });
        let results = results::collect(&plan, &store, &|_| None);
        let table = report::tabulate(&results, 0);
        let document = report::lay_out(&table, &results, 0, &provenance());
        [
            Format::Markdown,
            Format::Latex,
            Format::Html,
            Format::Terminal(Style::Characters, 100),
        ]
        .map(|format| {
            let text = report::render(std::slice::from_ref(&document), format);
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        })
    };
    let optimistic = "The ways of sampling overlap and share their test images";
    for text in said(MANIFEST) {
        assert!(text.contains(optimistic), "{text}");
    }
    for text in said(&MANIFEST.replace("[1, 4, 7, 10]", "[1]")) {
        assert!(
            !text.contains("overlap") && !text.contains("optimistic"),
            "{text}"
        );
        assert!(text.contains("No cell is bold"), "{text}");
    }
    // Repeats overlap in their samples wholly; they are no ways of sampling.
    let repeats = MANIFEST.replace("starts = [1, 4, 7, 10]", "starts = [1]\nrepeats = 3");
    for text in said(&repeats) {
        assert!(!text.contains("ways of sampling overlap"), "{text}");
    }
}

#[test]
fn distances_carry_their_unit_in_every_format() {
    for (spacing, unit) in [("unit", "px"), ("header", "mm")] {
        let text = format!("{MANIFEST}[metrics]\nspacing = \"{spacing}\"\n");
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text, |_| Some([Score::Value(0.5); 3]));
        let results = results::collect(&plan, &store, &|_| None);
        let table = report::tabulate(&results, 0);
        let document = report::lay_out(&table, &results, 0, &provenance());
        for (format, head) in [
            (Format::Markdown, format!("ASSD ({unit}) ↓ w/")),
            (Format::Latex, format!("95HD ({unit}) $\\downarrow$")),
            (Format::Html, format!("ASSD ({unit}) &#8595;")),
            (
                Format::Terminal(Style::Characters, 100),
                format!("95HD ({unit}) ↓"),
            ),
        ] {
            let text = report::render(std::slice::from_ref(&document), format);
            assert!(text.contains(&head) && text.contains("Dice ("), "{text}");
        }
        let cells = String::from_utf8(report::cells_csv([&table])).unwrap();
        let (head, rows) = cells.split_once('\n').unwrap();
        assert!(head.ends_with(",untested,unit"), "{head}");
        for row in rows.lines() {
            let expected = match row.contains(",dice_percent,") {
                true => "%",
                false => unit,
            };
            assert!(row.ends_with(&format!(",{expected}")), "{row}");
        }
    }
}

#[test]
fn every_run_names_the_unit_of_its_distances() {
    let folder = tiny();
    let text = fs::read_to_string(folder.path().join("tiny.toml")).unwrap();
    let text = text.replace("[image]", "[metrics]\nspacing = \"header\"\n\n[image]");
    fs::write(folder.path().join("tiny.toml"), text).unwrap();
    let dataset = phantom().to_str().unwrap();
    run(
        folder.path(),
        &["run", "tiny.toml", "--dataset", dataset],
        0,
    );
    let results = folder.path().join("results/tiny/paper");
    let runs = csv(&results.join("runs.csv"));
    assert!(runs.iter().all(|run| run["distance_unit"] == "mm"));
    let page = fs::read_to_string(results.join("index.html")).unwrap();
    assert!(page.contains("ASSD (mm)") && !page.contains("ASSD (px)"));
}

#[test]
fn markup_in_a_title_is_text_in_every_format() {
    let title = |title: &str| {
        let toml = toml::Value::String(title.to_owned());
        let text = MANIFEST.replace("\"a made-up grid\"", &toml.to_string());
        let folder = tempfile::tempdir().unwrap();
        let (plan, store) = grid(folder.path(), &text, |_| None);
        let results = results::collect(&plan, &store, &|_| None);
        let table = report::tabulate(&results, 0);
        let document = report::lay_out(&table, &results, 0, &provenance());
        let line = |format: Format, begins: &str| {
            let text = report::render(std::slice::from_ref(&document), format);
            let line = text.lines().find(|line| line.starts_with(begins)).unwrap();
            line.to_owned()
        };
        [
            line(Format::Markdown, "# "),
            line(Format::Latex, "\\section*"),
            line(Format::Terminal(Style::Characters, 100), "*made_up"),
        ]
    };
    assert_eq!(
        title("one\n# two\n\n| a | b |"),
        [
            r"# made_up: one # two \| a \| b \|",
            r"\section*{made\_up: one \# two $\vert$ a $\vert$ b $\vert$}",
            "*made_up: one # two | a | b |*",
        ]
    );
    let title_in_latex = title("α = 0.05, β₂ → 0.99")[1].clone();
    assert_eq!(
        title_in_latex,
        r"\section*{made\_up: $\alpha$ = 0.05, $\beta$$_2$ $\rightarrow$ 0.99}"
    );
    let title_in_latex = title("--set ''a'' ?`")[1].clone();
    assert_eq!(
        title_in_latex,
        r"\section*{made\_up: -{}-set '{}'a'{}' ?{}`}"
    );
    assert_eq!(
        title("w_1*x + w_2*x, a `b`, <u>c</u>")[0],
        r"# made_up: w_1\*x + w_2\*x, a \`b\`, \<u>c\</u>"
    );
    // No escape sequence reaches a terminal.
    assert_eq!(title("a\u{1b}[31mred")[2], "*made_up: a [31mred*");
}

#[test]
fn a_panel_says_whether_anything_was_adapted() {
    let heading = |methods: &str| {
        let text = MANIFEST.replace("[\"w/\", \"w/o\"]", methods);
        let plan = plan::build(
            vec![parsed(&text, "paper")],
            &Inventory::assumed(&parsed(&text, "paper").cohort),
        );
        let folder = tempfile::tempdir().unwrap();
        let store = expertgrid::store::Store::within(folder.path());
        let results = results::collect(&plan, &store, &|_| None);
        let table = report::tabulate(&results, 0);
        let text = report::markdown(&report::lay_out(&table, &results, 0, &provenance()));
        let heading = text.lines().find(|line| line.starts_with("## "));
        heading.unwrap().to_owned()
    };
    assert_eq!(heading("[\"w/\", \"w/o\"]"), "## (a) Adapted to expert 6");
    assert_eq!(heading("[\"w/\"]"), "## (a) Adapted to expert 6");
    assert_eq!(heading("[\"w/o\"]"), "## (a) Trained on expert 6");
}
