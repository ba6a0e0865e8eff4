//! Manifests as users write them: the paper's, edited copies, and everything that can be wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use expertgrid::manifest::{self, Problems};

use crate::support::common::{repository, run, tiny};

fn table(number: usize) -> PathBuf {
    repository().join(format!("experiments/table{number}.toml"))
}

/// Reads a manifest's text under the name `m.toml`, and returns its problems as printed.
fn problems(text: &str) -> Vec<String> {
    problems_with(text, "paper", &[])
}

fn problems_with(text: &str, profile: &str, overrides: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    match manifest::read(&[&path], profile, &overrides) {
        Ok(_) => Vec::new(),
        Err(problems) => lines(&problems, &format!("{}/", folder.path().display())),
    }
}

fn lines(problems: &Problems, folder: &str) -> Vec<String> {
    problems
        .to_string()
        .lines()
        .map(|line| line.replace(folder, ""))
        .collect()
}

const GOOD: &str = r#"
[grid]
new_experts = [6, 7]
arms = ["w/", "w/o"]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [5, 10]
starts = [1, 4]
"#;

#[test]
fn the_papers_manifests_hold_its_protocol() {
    for number in 1..=3 {
        let [experiment] = &manifest::read(&[table(number)], "paper", &[]).unwrap()[..] else {
            panic!("one manifest, one experiment");
        };
        assert_eq!(experiment.name, format!("table{number}"));
        assert_eq!(
            (
                experiment.recipe.image.input(),
                experiment.recipe.network.width
            ),
            (192, 64)
        );
        assert_eq!(experiment.recipe.training.batch, 16);
        let budgets = [
            experiment.pretrain.budget,
            experiment.scratch,
            experiment.finetune,
        ];
        assert_eq!(budgets.map(|b| b.steps), [5000, 5000, 1000]);
        assert!(budgets.iter().all(|b| b.lr == 1e-3));
        assert_eq!(
            experiment.grid.starts,
            [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
        );
        assert_eq!(experiment.grid.new_experts, [6, 7]);
    }
}

#[test]
fn every_key_written_in_the_papers_manifests_is_its_default() {
    for number in 1..=3 {
        let text = fs::read_to_string(table(number)).unwrap();
        let grid = text
            .split("[grid]")
            .nth(1)
            .unwrap()
            .split("\n[")
            .next()
            .unwrap();
        let rows = text.lines().find(|line| line.starts_with("rows")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("table{number}.toml"));
        fs::write(&path, format!("{rows}\n[grid]{grid}")).unwrap();
        let short = manifest::read(&[&path], "paper", &[]).unwrap().remove(0);
        let long = manifest::read(&[table(number)], "paper", &[])
            .unwrap()
            .remove(0);
        assert_eq!(*short.recipe, *long.recipe);
        assert_eq!(
            (short.pretrain, short.finetune, short.scratch),
            (long.pretrain, long.finetune, long.scratch)
        );
        assert_eq!(
            (&*short.metrics, short.statistics),
            (&*long.metrics, long.statistics)
        );
        assert_eq!(
            (short.cohort, short.seed, short.grid),
            (long.cohort, long.seed, long.grid)
        );
    }
}

#[test]
fn profiles_overlay_and_overrides_come_last() {
    let text = format!(
        "{GOOD}\n[finetune]\nsteps = 7\n[profile.small]\nfinetune.steps = 5\nnetwork.width = 8\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, text).unwrap();
    let read = |profile: &str, overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let experiment = manifest::read(&[&path], profile, &overrides)
            .unwrap()
            .remove(0);
        (experiment.finetune.steps, experiment.recipe.network.width)
    };
    assert_eq!(read("paper", &[]), (7, 64));
    assert_eq!(read("small", &[]), (5, 8));
    assert_eq!(read("small", &["finetune.steps=3"]), (3, 8));
    let arms = manifest::read(&[&path], "small", &["grid.arms=[\"w/o\"]".into()]).unwrap();
    let words = arms[0].grid.methods.iter().map(|method| &*method.word);
    assert!(words.eq(["w/o"]));
    let word = manifest::read(&[&path], "small", &["metrics.assd=macro".into()]).unwrap();
    assert_eq!(word[0].metrics.assd.word(), "macro");
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let text = r#"titel = "x"

[grid]
new_experts = [6, 9]
arms = ["w/", "with"]
annotators = { from = [1, 2, 6], choose = 4 }
smaples = [5]
samples = [5, 40, 5]
starts = "1"

[image]
crop = 200

[network]
width = 10

[training]
batch = 0
lr = -1

[augment]
zoom = 1.5
noise_sd = [0.3, 0.1]
"#;
    assert_eq!(
        problems(text),
        [
            "m.toml:1:1: unknown key `titel`; did you mean `title`?",
            "m.toml:4:19: `grid.new_experts`: there is no expert 9 where `dataset.experts` is 7: \
             that is the highest expert's number, so that experts are 1 to 7",
            "m.toml:5:15: there is no method \"with\"; known here: \"scratch\", \"single\", \
             \"customised\", \"customised-inherit\", \"customised-frozen\", \
             \"customised-frozen-inherit\", \"original\", \"cohort-frozen\", \"cohort-full\", \
             \"cohort-full-inherit\", \"heads\", \"pool\", \"majority\", \"staple\", \
             \"uncertainty\", \"uncertainty-full\", \"uncertainty-map\", \
             \"uncertainty-map-full\", \"probabilistic\", \"probabilistic-full\", \"w/\", \
             \"w/o\"",
            "m.toml:6:30: expert 6 is both an annotation expert and a new expert; take 6 out of \
             `grid.annotators.from` or out of `grid.new_experts`",
            "m.toml:6:43: `grid.annotators.choose`: cannot choose 4 of 3 annotation experts; \
             choose 1 to 3, or add experts to `grid.annotators.from`",
            "m.toml:7:1: unknown key `grid.smaples`; did you mean `samples`?",
            "m.toml:8:15: `grid.samples`: cannot take 40 samples of 34 training cases; take 1 to \
             34",
            "m.toml:8:19: `grid.samples` names 5 twice",
            "m.toml:9:10: `grid.starts` is a whole number, not the text \"1\"; write 1",
            "m.toml:12:8: `image.crop` is 200, not a multiple of 32 (the network halves its input \
             five times); try 192 or 224",
            "m.toml:15:9: `network.width` is 10; it must be a multiple of 4 from 4 to 1024 (the \
             decoder ends with a quarter of it)",
            "m.toml:18:9: `training.batch` is 0; it must be from 1 to 4096",
            "m.toml:19:6: the learning rate is -1; it must be greater than 0",
            "m.toml:22:8: `augment.zoom` is 1.5; it must be from 0 to 1",
            "m.toml:23:12: `augment.noise_sd` is a range `[low, high]` with low <= high, not the \
             list [0.3, 0.1]",
        ]
    );
}

#[test]
fn a_mistake_in_a_profile_that_is_not_used_is_reported_too() {
    let text = format!("{GOOD}\n[profile.small]\nnetwork.widht = 8\nimage.crop = 33\n");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("m.toml:10:9: unknown key `network.widht`"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("m.toml:11:14: `image.crop` is 33"),
        "{found:#?}"
    );
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    assert_eq!(
        problems("title = \"x\"\n"),
        [
            "m.toml:1:1: `grid.methods` is missing; write for example `methods = [\"w/\", \
             \"w/o\"]`",
            "m.toml:1:1: `grid.new_experts` is missing; write for example `new_experts = [6, 7]`",
            "m.toml:1:1: `grid.samples` is missing; write for example `samples = [5, 10, 34]`",
            "m.toml:1:1: `grid.starts` is missing; write for example `starts = [1, 4, 7]`",
        ]
    );
}

#[test]
fn broken_toml_is_reported_where_it_breaks() {
    let found = problems("[grid\nsamples = [5");
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|line| line.starts_with("m.toml:") && line.contains("not valid TOML")),
        "{found:#?}"
    );
}

#[test]
fn the_usual_mistakes_are_named_where_they_were_made() {
    for (text, expected) in [
        (
            "[image]\ncrop_at = foreground\n",
            "m.toml:2:11: not valid TOML: `foreground` is a text; write it in quotes: \
             `crop_at = \"foreground\"`",
        ),
        (
            "samples = [5, 10 15]\n",
            "m.toml:1:15: not valid TOML: a comma is missing in `10 15`; write `10, 15`",
        ),
        (
            "title = \"a grid\n[grid]\n",
            "m.toml:1:9: not valid TOML: a quote is missing: the text that begins here is not \
             closed by \" on its line",
        ),
        (
            "a = 1\ntitle = 'a grid # x\n",
            "m.toml:2:9: not valid TOML: a quote is missing: the text that begins here is not \
             closed by ' on its line",
        ),
        (
            "title = a grid\"\n",
            "m.toml:1:15: not valid TOML: a quote is missing: a text ends here with \" and \
             none opens it",
        ),
        (
            "a = True\n",
            "m.toml:1:5: not valid TOML: write `true`, not `True`",
        ),
        (
            "a = None # x\n",
            "m.toml:1:5: not valid TOML: TOML has no `None`; leave the key out and it has its \
             default",
        ),
        (
            "lr = 0,001\n",
            "m.toml:1:6: not valid TOML: a number has a point: `lr = 0.001`",
        ),
        (
            "width: 64\n",
            "m.toml:1:6: not valid TOML: write `=` between a key and its value, not `:`",
        ),
        (
            "from = \"C:\\weights\\a\"\n",
            "m.toml:1:11: not valid TOML: within \"quotes\" a backslash begins an escape \
             sequence; write paths with `/`, or in 'single quotes'",
        ),
        (
            "[network]\nwidth = 8\n[network]\nnorm_eps = 1\n",
            "m.toml:3:2: `[network]` is there already, on line 1; write the keys of both under \
             one",
        ),
        (
            "[network]\nwidth = 8\nnorm_eps = 1\nwidth = 16\n",
            "m.toml:4:1: `network.width` is set already, on line 2; take one of the two out",
        ),
        (
            "network.width = 8\n[network]\nwidth = 16\n",
            "m.toml:2:2: `[network]` is there already, on line 1; write the keys of both under \
             one",
        ),
        (
            "[grid]\nsamples = [5, 10\nstarts = [1]\n[network]\nwidth = 8\n",
            "m.toml:2:11: not valid TOML: a bracket is missing: no `]` closes the one that stands \
             here",
        ),
        (
            "[grid\nsamples = [5]\n",
            "m.toml:1:1: not valid TOML: a bracket is missing: no `]` closes the one that stands \
             here",
        ),
        (
            "{\"title\": \"a\"}\n",
            "m.toml:1:1: not valid TOML: this is JSON; in TOML a section is `[name]` and a value \
             `key = value`",
        ),
        (
            "width 8\n",
            "m.toml:1:1: not valid TOML: write `=` between a key and its value: `width = 8`",
        ),
        (
            "a = 1\nwidth\n",
            "m.toml:2:1: not valid TOML: `width` has no value; write `width = ` and the value",
        ),
        (
            "width = 8;\n",
            "m.toml:1:9: not valid TOML: a line ends without `;`; write `width = 8`",
        ),
        (
            "width = 8 // wide\n",
            "m.toml:1:9: not valid TOML: a comment begins with `#`, not with `//`; write \
             `width = 8 # ...`",
        ),
        (
            "title = \u{201c}a grid\u{201d}\n",
            "m.toml:1:9: not valid TOML: these quotes are those of printed text; write \
             `title = \"a grid\"`",
        ),
        (
            "lr = 1e\u{2212}3\n",
            "m.toml:1:6: not valid TOML: this minus sign is that of printed text; write \
             `lr = 1e-3`",
        ),
        (
            "crop = 32px\n",
            "m.toml:1:8: not valid TOML: `32px` is not a number; write it without `px`",
        ),
        (
            "lr = 1 %\n",
            "m.toml:1:6: not valid TOML: `1 %` is not a number; write it without `%`",
        ),
        (
            "lr = .01\n",
            "m.toml:1:6: not valid TOML: a point stands between digits; write `lr = 0.01`",
        ),
        (
            "lr = -1.e-3\n",
            "m.toml:1:6: not valid TOML: a point stands between digits; write `lr = -1.0e-3`",
        ),
        (
            "width = 064\n",
            "m.toml:1:9: not valid TOML: a number does not begin with 0; write `width = 64`",
        ),
        (
            "width = 8 * 2\n",
            "m.toml:1:9: not valid TOML: `8 * 2` is neither a number nor a text in quotes nor \
             `true` or `false`",
        ),
    ] {
        let said = problems(text);
        assert_eq!(
            said.first().map(String::as_str),
            Some(expected),
            "{text}: {said:#?}"
        );
        // What follows from a mistake is no mistake of its own; a key set twice is one.
        let twice = usize::from(text.starts_with("network.width"));
        assert_eq!(said.len(), 1 + twice, "{text}: {said:#?}");
    }
}

#[test]
fn a_list_over_several_lines_hides_no_other_mistake() {
    let found = problems("samples = [\n  5, # [ five\n  10,\n]\nwidth = 8;\ncrop = 3 px\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("m.toml:5:9: ") && found[1].starts_with("m.toml:6:8: "));
}

#[test]
fn a_file_that_is_no_manifest_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let said = |bytes: &[u8]| {
        let path = folder.path().join("m.toml");
        fs::write(&path, bytes).unwrap();
        let problems = manifest::read(&[&path], "paper", &[])
            .unwrap_err()
            .to_string();
        assert_eq!(problems.lines().count(), 1, "{problems}");
        problems
    };
    let wide: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [&[0xff, 0xfe], &wide[..]].concat();
    for bytes in [&wide, &big, &marked] {
        assert!(said(bytes).contains("is in UTF-16, and a manifest is in UTF-8; save it in UTF-8"));
    }
    let latin = [GOOD.as_bytes(), b"# gr\xfc\xdfe\n"].concat();
    let line = GOOD.lines().count() + 1;
    let expected = format!("has a letter on line {line} that is not in UTF-8; save it in UTF-8");
    assert!(said(&latin).contains(&expected), "{}", said(&latin));
    for bytes in [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00"[..], b"\x80\x02}q\x01."] {
        assert!(said(bytes).contains("is not a text, so not a manifest"));
    }
    let table = folder.path().join("published.CSV");
    fs::write(&table, "new_expert,samples\n4,5\n").unwrap();
    let problems = manifest::read(&[&table], "paper", &[])
        .unwrap_err()
        .to_string();
    assert!(
        problems.ends_with("published.CSV: a .csv file, not a manifest; name the TOML file"),
        "{problems}"
    );
}

#[test]
fn overrides_are_checked_like_the_file() {
    let found = problems_with(
        GOOD,
        "paper",
        &["finetune.stpes=3", "pretrain.steps=many", "nonsense"],
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found
            .iter()
            .any(|l| l.starts_with("--set finetune.stpes=3: unknown key") && l.contains("`steps`"))
    );
    assert!(found.iter().any(|line| {
        line.starts_with("--set pretrain.steps=many: `pretrain.steps` is a whole number")
    }));
    assert!(
        found
            .iter()
            .any(|l| l.starts_with("--set nonsense: an override is `key=value`"))
    );
}

#[test]
fn an_unknown_profile_names_those_there_are() {
    let found = problems_with(&format!("{GOOD}[profile.small]\n"), "large", &[]);
    assert_eq!(
        found,
        ["m.toml: there is no profile `large`; this manifest has paper, small"]
    );
}

#[test]
fn a_grid_beyond_all_bounds_is_refused_before_it_is_expanded() {
    let from: Vec<String> = (8..=100).map(|expert| expert.to_string()).collect();
    let text = format!(
        "[dataset]\nexperts = 100\n{}",
        GOOD.replace(
            "[1, 2, 3, 4, 5], choose = 3",
            &format!("[{}], choose = 40", from.join(", "))
        )
    );
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("the grid has") && found[0].contains("runs, more than 2e7"),
        "{found:#?}"
    );
}

#[test]
fn a_grid_of_nothing_is_refused_before_it_is_expanded() {
    // Without new experts there is no run, but 1e17 combinations to find that out.
    let from: Vec<String> = (8..=68).map(|expert| expert.to_string()).collect();
    let wild = GOOD.replace(
        "[1, 2, 3, 4, 5], choose = 3",
        &format!("[{}], choose = 30", from.join(", ")),
    );
    let wild = wild.replace("[6, 7]", "[]");
    assert_eq!(
        problems(&format!("[dataset]\nexperts = 100\n{wild}")),
        ["m.toml:5:15: `grid.new_experts` is empty; write for example `new_experts = [6, 7]`"]
    );
    for (key, list) in [
        ("methods", "[\"w/\", \"w/o\"]"),
        ("samples", "[5, 10]"),
        ("starts", "[1, 4]"),
        ("annotators.from", "[1, 2, 3, 4, 5]"),
    ] {
        let found = problems(&GOOD.replace(list, "[]"));
        let empty = format!("`grid.{key}` is empty; write for example");
        assert!(found.iter().any(|line| line.contains(&empty)), "{found:#?}");
    }
    let found = problems(&GOOD.replace("choose = 3", "choose = []"));
    assert_eq!(
        found,
        ["m.toml:5:49: `grid.annotators.choose` is empty; write for example `choose = 3`"]
    );
}

#[test]
fn a_single_value_is_a_list_of_one_wherever_there_is_a_list() {
    let single = GOOD
        .replace("[6, 7]", "6")
        .replace("[\"w/\", \"w/o\"]", "\"w/\"")
        .replace("[1, 2, 3, 4, 5], choose = 3", "1, choose = 1")
        .replace("[5, 10]", "5")
        .replace("[1, 4]", "1");
    let text = format!("{single}[metrics]\nreport = \"dice\"\n");
    let read = manifest::parse(Path::new("m.toml"), &text, "paper", &[]).unwrap();
    assert_eq!(read.grid.new_experts, [6]);
    assert_eq!(read.grid.annotators.from, [1]);
    assert_eq!((read.grid.samples, read.grid.starts), (vec![5], vec![1]));
    assert_eq!(read.metrics.report.len(), 1);
}

#[test]
fn a_value_of_another_type_is_told_with_what_to_write() {
    for (from, to, expected) in [
        (
            "[6, 7]",
            "[\"rater-a\"]",
            "m.toml:3:16: `grid.new_experts`: \"rater-a\" is the name of no expert, as \
             `dataset.experts` lists none; write numbers, or list the names there",
        ),
        (
            "[6, 7]",
            "[6.0, 7]",
            "m.toml:3:16: each item of `grid.new_experts` is a whole number, not the \
             number 6.0; write 6",
        ),
        (
            "[\"w/\", \"w/o\"]",
            "[1]",
            "m.toml:4:9: each item of `grid.methods` is a text in quotes, not the whole \
             number 1; write \"1\"",
        ),
        (
            "[5, 10]",
            "[5, -10]",
            "m.toml:6:15: each item of `grid.samples` is a whole number that is not \
             negative, not the whole number -10",
        ),
    ] {
        assert_eq!(problems(&GOOD.replace(from, to))[0], expected);
    }
    assert_eq!(
        problems(&format!(
            "{GOOD}[network]\nwidth = 64.0\nnorm_eps = \"1e-5\"\n"
        )),
        [
            "m.toml:9:9: `network.width` is a whole number, not the number 64.0; write 64",
            "m.toml:10:12: `network.norm_eps` is a number, not the text \"1e-5\"; write 1e-5",
        ]
    );
    for (value, expected) in [
        ("2024-01-02", "a whole number, not a date"),
        ("{ a = 4 }", "a whole number, not a table"),
        ("[4]", "a whole number, not the list [4]; write 4"),
        (
            "[4, 8]",
            "a whole number, not the list [4, 8]; to try each of them, write \
             `\"network.width\" = [4, 8]` under `[sweep]`",
        ),
        (
            "99999999999999999999",
            "a whole number within 64 bits, not a whole number beyond 64 bits",
        ),
    ] {
        assert_eq!(
            problems(&format!("{GOOD}[network]\nwidth = {value}\n")),
            [format!("m.toml:9:9: `network.width` is {expected}")]
        );
    }
    assert_eq!(
        problems(&format!("{GOOD}[training]\nlr = inf\n")),
        ["m.toml:9:6: `training.lr` is a finite number, not the number inf"]
    );
}

#[test]
fn experts_named_twice_are_no_more_to_choose_from() {
    let found = problems(&GOOD.replace("[1, 2, 3, 4, 5], choose = 3", "[1, 1, 1], choose = 3"));
    assert_eq!(
        found,
        [
            "m.toml:5:27: `grid.annotators.from` names 1 twice",
            "m.toml:5:30: `grid.annotators.from` names 1 twice",
        ]
    );
}

#[test]
fn augmentation_beyond_all_bounds_is_refused_before_it_is_drawn() {
    // A blur of 1e9 pixels would want a kernel of 64 GB.
    let ranges = [
        ("zoom_factors", "10"),
        ("noise_sd", "100"),
        ("blur_sigma", "100"),
        ("brightness_factor", "100"),
    ];
    for (key, most) in ranges {
        let text = |high: &str| format!("{GOOD}[augment]\n{key} = [1, {high}]\n");
        let found = problems(&text("1e9"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].contains(&format!(
                "`augment.{key}` ends at 1000000000; it must be {most} or less"
            )),
            "{found:#?}"
        );
        assert_eq!(problems(&text(most)), [""; 0]);
    }
}

#[test]
fn a_manifest_is_bounded_in_bytes_profiles_and_what_is_said_of_its_keys() {
    let many = |n: usize| -> String { (0..n).map(|i| format!("[profile.p{i}]\n")).collect() };
    assert_eq!(
        problems(&format!("{GOOD}{}", many(manifest::MAX_PROFILES))),
        [""; 0]
    );
    assert_eq!(
        problems(&format!("{GOOD}{}", many(manifest::MAX_PROFILES + 1))),
        ["m.toml: has 33 profiles, more than 32; take some into a manifest of their own"]
    );
    let padded = |bytes: usize| format!("{GOOD}#{}", "x".repeat(bytes - GOOD.len() - 1));
    assert_eq!(problems(&padded(manifest::MAX_BYTES)), [""; 0]);
    let long = "m.toml: has more than 65536 bytes; check that it is a manifest";
    assert_eq!(problems(&padded(manifest::MAX_BYTES + 1)), [long]);
    let text = padded(manifest::MAX_BYTES + 1);
    let error = manifest::parse(Path::new("m.toml"), &text, "paper", &[]).unwrap_err();
    assert_eq!(error.to_string(), long);
    let found = problems(&format!("{}=1\n{GOOD}", "title".repeat(10_000)));
    assert!(
        found[0].contains("known here: augment, dataset"),
        "{found:#?}"
    );
}

#[test]
fn a_long_override_is_not_shown_again_with_each_of_its_problems() {
    let wild = format!("grid.samples=[{}]", vec!["99"; 5000].join(", "));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, GOOD).unwrap();
    let error = manifest::read(&[&path], "paper", &[wild]).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("--set grid.samples=[99, 99, "), "{said}");
    assert!(said.lines().all(|line| line.len() < 400), "{said}");
}

#[test]
fn tables_nested_beyond_all_bounds_are_refused_and_not_descended_into() {
    // TOML bounds the depth of tables, and the parts of a key, each by 80.
    let key = ["a"; 79].join(".");
    let (open, close) = (format!("{{{key}=").repeat(79), "}".repeat(79));
    for text in [
        format!("{key}={open}1{close}\n{GOOD}"),
        format!("{GOOD}[profile.small]\nx.{key}={open}1{close}\n"),
        format!("{GOOD}[augment]\nzoom={open}1{close}\n"),
        format!("x={}1{}\n{GOOD}", "[".repeat(80), "]".repeat(80)),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
    }
    let found = problems_with(GOOD, "paper", &[&format!("title={open}1{close}")]);
    assert!(
        found[0].contains("`title` is a text in quotes, not a table"),
        "{found:#?}"
    );
}

#[test]
fn an_override_that_says_nothing_is_not_passed_over() {
    for text in ["#finetune.steps=3", "# = 1", "  =3"] {
        let found = problems_with(GOOD, "paper", &[text]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].contains("the key is not a dotted TOML key like `finetune.steps`"),
            "{found:#?}"
        );
    }
}

#[test]
fn an_empty_manifest_and_one_that_is_not_there_say_so() {
    assert_eq!(
        problems(""),
        ["m.toml: the manifest is empty; copy one of experiments/*.toml and edit it"]
    );
    let error = manifest::read(&["nowhere.toml"], "paper", &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("nowhere.toml: no such manifest"),
        "{error}"
    );
}

#[test]
fn two_manifests_of_one_name_would_share_a_folder() {
    let (a, b) = (tiny(), tiny());
    let paths = [a.path().join("tiny.toml"), b.path().join("tiny.toml")];
    let error = manifest::read(&paths, "paper", &[]).unwrap_err();
    assert!(error.to_string().contains("rename one"), "{error}");
}

#[test]
fn names_that_differ_in_case_only_would_share_a_folder_on_many_disks() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["small.toml", "Small.toml", "other.toml"].map(|name| folder.path().join(name));
    for path in &paths {
        fs::write(path, GOOD).unwrap();
    }
    let error = manifest::read(&paths, "paper", &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("small.toml and Small.toml differ in case only"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    // As macOS stores a letter, and as others do.
    let paths = ["caf\u{e9}.toml", "cafe\u{301}.toml"].map(|name| folder.path().join(name));
    for path in &paths {
        fs::write(path, GOOD).unwrap();
    }
    let error = manifest::read(&paths, "paper", &[]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("differ in the encoding of letters only"),
        "{error}"
    );
    // Their profiles are folders too.
    let twice = format!(
        "{GOOD}\n[profile.fast]\nseed = 1\n[profile.Fast]\nseed = 2\n[profile.PAPER]\nseed = 3\n"
    );
    let told = problems(&twice);
    let alike = told
        .iter()
        .filter(|line| line.contains("differ in case only"));
    assert_eq!(alike.count(), 2, "{told:#?}");
}

#[test]
fn a_name_that_is_no_folder_everywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, GOOD).unwrap();
        manifest::read(&[path], "paper", &[])
    };
    let long = format!("{}.toml", "n".repeat(201));
    let odd = [
        "store.toml",
        "Logs.toml",
        "CON.toml",
        "nul.v2.toml",
        "Lpt1.toml",
        "conin$.toml",
        "COM\u{b9}.toml",
        "paper.html.toml",
        "a:b.toml",
        "a\\b.toml",
        "a\nb.toml",
        "what?.toml",
        ".hidden.toml",
        "-x.toml",
        "end .toml",
        &long,
    ];
    for name in odd {
        let error = read(name).map(drop).expect_err(name).to_string();
        assert!(error.contains("; rename it"), "{name:?}: {error}");
    }
    let usual = [
        "my table.toml",
        "Länge-µ.toml",
        "store-2.toml",
        "console.toml",
        "com10.toml",
        "v1.2.toml",
    ];
    for name in usual {
        let experiments = read(name).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!(format!("{}.toml", experiments[0].name), name);
    }
}

#[test]
fn wrong_input_on_the_command_line_ends_with_code_two_and_loses_nothing() {
    let folder = tiny();
    let say = |arguments: &[&str]| run(folder.path(), arguments, 2).err;
    assert!(say(&["run"]).contains("MANIFEST"));
    assert!(say(&["run", "other.toml"]).contains("no such manifest"));
    let missing = say(&["run", "tiny.toml"]);
    assert!(
        missing.contains("expertgrid data phantom --out"),
        "{missing}"
    );
    assert!(missing.contains("QUBIQ"), "{missing}");
    assert!(say(&["run", "tiny.toml", "--profile", "big"]).contains("no profile `big`"));
    assert!(say(&["run", "tiny.toml", "--device", "gpu"]).contains("no device"));
    assert!(say(&["plan", "tiny.toml", "--dataset", "nowhere"]).contains("data phantom"));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was written beside the manifest");
}

#[test]
fn an_equals_sign_in_quotes_is_no_key() {
    for text in ["'=' 1 2\n", "\"a=b\" 1 2\n", "['='] 1 2\n"] {
        let told = problems(text);
        assert!(told[0].starts_with("m.toml:1:"), "{told:?}");
    }
}
