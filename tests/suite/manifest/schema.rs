//! The table of keys: its JSON Schema, its list on the command line, and the order of keys.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use expertgrid::{
    key::Keyed,
    manifest::{self, Cohort, Fallback, Recipe, ValueKind},
    plan::{self, Inventory},
};
use serde_json::Value;

use crate::support::common::{repository, run};

fn schema() -> Value {
    serde_json::from_str(&manifest::json_schema()).unwrap()
}

fn table(number: usize) -> String {
    let path = repository().join(format!("experiments/table{number}.toml"));
    fs::read_to_string(path).unwrap()
}

/// The manifests that come with the program: names and texts.
fn shipped() -> Vec<(String, String)> {
    let folder = fs::read_dir(repository().join("experiments")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let manifests = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let read = manifests.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), text)
    });
    let read: Vec<_> = read.collect();
    assert!(read.len() > 8);
    read
}

/// Whether a value is what a schema says, by the words that the schema of manifests uses.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let all = |list: &Value, ok: &dyn Fn(&Value) -> bool| list.as_array().unwrap().iter().all(ok);
    schema
        .as_object()
        .unwrap()
        .iter()
        .all(|(word, says)| match word.as_str() {
            "$schema" | "title" | "description" | "default" | "$defs" | "then" => true,
            "$ref" => {
                let target = says.as_str().unwrap().strip_prefix('#').unwrap();
                valid(root, root.pointer(target).unwrap(), value)
            }
            "type" => match says.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other}"),
            },
            "enum" => says.as_array().unwrap().contains(value),
            "const" => says == value,
            "not" => !valid(root, says, value),
            "anyOf" => says
                .as_array()
                .unwrap()
                .iter()
                .any(|schema| valid(root, schema, value)),
            "if" => !valid(root, says, value) || valid(root, &schema["then"], value),
            "required" => all(says, &|key| value.get(key.as_str().unwrap()).is_some()),
            "minimum" => value.as_f64().is_none_or(|v| v >= says.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= says.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|v| v > says.as_f64().unwrap()),
            "multipleOf" => value
                .as_u64()
                .is_none_or(|v| v % says.as_u64().unwrap() == 0),
            "minItems" => value
                .as_array()
                .is_none_or(|v| v.len() as u64 >= says.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|v| v.len() as u64 <= says.as_u64().unwrap()),
            "maxProperties" => value
                .as_object()
                .is_none_or(|v| v.len() as u64 <= says.as_u64().unwrap()),
            "uniqueItems" => value
                .as_array()
                .is_none_or(|items| (0..items.len()).all(|i| !items[..i].contains(&items[i]))),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| valid(root, says, item))),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(key, value)| {
                    says.get(key)
                        .is_none_or(|schema| valid(root, schema, value))
                })
            }),
            "propertyNames" => value.as_object().is_none_or(|object| {
                object
                    .keys()
                    .all(|key| valid(root, says, &Value::from(key.as_str())))
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let known = &schema["properties"];
                let more = object.iter().filter(|(key, _)| known.get(key).is_none());
                more.into_iter().all(|(_, value)| match says {
                    Value::Bool(allowed) => *allowed,
                    schema => valid(root, schema, value),
                })
            }),
            other => panic!("a word that this test does not know: {other}"),
        })
}

fn accepts(text: &str) -> bool {
    let table: toml::Table = toml::from_str(text).unwrap();
    let root = schema();
    valid(&root, &root, &serde_json::to_value(&table).unwrap())
}

#[test]
fn the_committed_schema_is_the_generated_one_and_the_manifests_name_it() {
    let path = repository().join("experiments/manifest.schema.json");
    let committed = fs::read_to_string(path).unwrap();
    assert!(
        committed == manifest::json_schema(),
        "write `expertgrid manifest schema` to experiments/manifest.schema.json"
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        run(folder.path(), &["manifest", "schema"], 0).out,
        committed
    );
    for (name, text) in shipped() {
        let first = text.lines().next().unwrap();
        assert_eq!(first, "#:schema manifest.schema.json", "{name}");
    }
}

#[test]
fn the_schema_accepts_the_papers_manifests_resolved_ones_and_extending_ones() {
    for (name, text) in shipped() {
        assert!(accepts(&text), "{name}");
    }
    for number in 1..=3 {
        for profile in ["paper", "phantom", "smoke"] {
            let experiment =
                manifest::parse(Path::new("m.toml"), &table(number), profile, &[]).unwrap();
            assert!(
                accepts(&manifest::resolved(&experiment)),
                "table {number}, {profile}"
            );
        }
    }
    assert!(accepts(
        "extends = \"table2.toml\"\n[profile.p]\ngrid.samples = [5]\n"
    ));
    let sweep = "[sweep]\n\"network.width\" = [8, 16]\nfinetune.lr = [1e-3]\nseed = [0]\n";
    assert!(accepts(&format!("extends = \"table2.toml\"\n{sweep}")));
}

#[test]
fn the_schema_accepts_descriptions_of_data_sets_as_written_and_as_resolved() {
    for keys in [
        "experts = [\"anna\", \"bert\"]\nimages = \"{case}.png\"\n\
         masks = \"{case}_{expert}.png\"\nsplit = { test = 0.25, seed = 1 }\nlabel = 2",
        "experts = 2\nimages = \"{split}/{case}.nii\"\nmasks = \"{split}/{case}_{expert}.nii\"\n\
         split = { training = \"a\", test = [\"b\", \"c*\"] }\nlabel = [1, 2]\n\
         channel = \"mean\"\nchannel_axis = \"x\"\nspacing_mm = 1",
        "experts = 2\nslice = { axis = \"z\", keep = \"all\" }\nchannel = 0\n\
         spacing_mm = [1.0, 0.5]\npath = \"scans\"",
    ] {
        let expert = match keys.contains("anna") {
            true => "\"bert\"",
            false => "2",
        };
        let text = format!(
            "[dataset]\n{keys}\n[grid]\nnew_experts = [{expert}]\nmethods = [\"w/o\"]\n\
             samples = [5]\nstarts = [1]\n"
        );
        assert!(accepts(&text), "{text}");
        let read = manifest::parse(Path::new("m.toml"), &text, "paper", &[]);
        let resolved = manifest::resolved(&read.unwrap_or_else(|why| panic!("{text}\n{why}")));
        assert!(accepts(&resolved), "{resolved}");
        assert!(
            resolved.contains(&format!("new_experts = [{expert}]")),
            "{resolved}"
        );
        let again = manifest::parse(Path::new("m.toml"), &resolved, "paper", &[]).unwrap();
        assert_eq!(manifest::resolved(&again), resolved);
    }
}

/// Mistakes of a single key, each as a line.
const MISTAKES: [&str; 34] = [
    "titel = \"x\"",
    "title = 3",
    "rows = \"row\"",
    "seed = -1",
    "keep = \"none\"",
    "grid.smaples = [5]",
    "grid.new_experts = []",
    "grid.starts = \"1\"",
    "grid.methods = []",
    "grid.annotators.choose = []",
    "dataset.experts = 201",
    "dataset.experts = [\"anna\", 2]",
    "dataset.label = -1",
    "dataset.channel = \"red\"",
    "dataset.slice.axis = \"t\"",
    "dataset.spacing_mm = 0",
    "dataset.split.test = -0.5",
    "image.crop = 33",
    "image.reduce = 65",
    "network.width = 10",
    "network.width = 8.5",
    "network.norm_eps = 0",
    "training.batch = 0",
    "training.lr = 0",
    "augment.zoom = 1.5",
    "augment.noise_sd = [0.1]",
    "augment.blur_sigma = [1, 101]",
    "pretrain.steps = -3",
    "finetune.steps = 0",
    "metrics.assd = \"mean\"",
    "statistics.alpha = 0.6",
    "sweep.seed = []",
    "sweep.\"statistics.alpha\" = [0.1]",
    "profile.paper.seed = 1",
];

/// A manifest with nothing else wrong.
fn with_mistake(mistake: &str) -> String {
    let grid = "new_experts = [6, 7]\narms = [\"w/o\"]\nsamples = [5]\nstarts = [1]\n";
    // A key that is there already cannot be there twice.
    let key = mistake.split(" =").next().unwrap().strip_prefix("grid.");
    let grid: String = grid
        .lines()
        .filter(|line| key.is_none_or(|key| !line.starts_with(&format!("{key} ="))))
        .map(|line| format!("grid.{line}\n"))
        .collect();
    format!("{mistake}\ngrid.annotators.from = [1, 2]\n{grid}")
}

#[test]
fn the_schema_and_the_reader_refuse_the_same_mistakes_in_manifests_and_profiles() {
    for mistake in MISTAKES {
        let text = with_mistake(mistake);
        // Without a method that is pretrained, annotators are not looked at.
        let read = text.replace("\"w/o\"]", "\"w/\"]");
        let read = match mistake.contains("choose") {
            true => read,
            false => text.clone(),
        };
        let refused = manifest::parse(Path::new("m.toml"), &read, "paper", &[]).is_err();
        assert!(refused, "the reader takes {mistake}");
        assert!(!accepts(&text), "the schema takes {mistake}");
        if !mistake.starts_with("profile") {
            let profile = format!("extends = \"a.toml\"\n[profile.p]\n{mistake}\n");
            assert!(
                !accepts(&profile),
                "the schema takes {mistake} in a profile"
            );
        }
    }
    assert!(!accepts("seed = 1\n"), "a grid is missing");
    assert!(!accepts("[grid]\nnew_experts = [6]\n"), "axes are missing");
    assert!(!accepts("extends = \"a\"\n[profile.p]\nextends = \"b\"\n"));
}

/// taplo takes every shipped manifest and refuses each mistake by itself, as editors show it.
#[test]
fn an_editors_tool_takes_the_shipped_manifests_and_refuses_every_mistake() {
    let taplo = |files: &[PathBuf]| {
        let mut command = Command::new("bash");
        command.arg(repository().join("tests/schema/check.sh"));
        command.args(files).output().unwrap()
    };
    let shipped = fs::read_dir(repository().join("experiments")).unwrap();
    let shipped = shipped.map(|entry| entry.unwrap().path());
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
    let shipped: Vec<PathBuf> = shipped.filter(is_manifest).collect();
    let said = taplo(&shipped);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    if said.status.code() == Some(77) {
        // Not through `eprintln!`, which is not shown of a test that passes.
        return writeln!(std::io::stderr(), "{told}").unwrap();
    }
    assert!(said.status.success(), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("manifest.schema.json");
    fs::write(schema, manifest::json_schema()).unwrap();
    let files = MISTAKES.iter().enumerate().map(|(i, mistake)| {
        let path = folder.path().join(format!("mistake-{i}.toml"));
        let text = format!("#:schema manifest.schema.json\n{}", with_mistake(mistake));
        fs::write(&path, text).unwrap();
        path
    });
    let files: Vec<PathBuf> = files.collect();
    let said = taplo(&files);
    let told = String::from_utf8_lossy(&said.stderr);
    for (path, mistake) in files.iter().zip(MISTAKES) {
        let place = format!("{}:", path.display());
        assert!(told.contains(&place), "taplo takes {mistake}: {told}");
    }
}

#[test]
fn every_default_of_the_table_reads_back_as_what_counts_without_it() {
    let grid = "\n[grid]\nnew_experts = [6]\narms = [\"w/o\"]\nsamples = [5]\nstarts = [1]\n";
    let resolved = |line: &str| {
        let text = match line.strip_prefix("grid.") {
            Some(line) => format!("{grid}{line}"),
            None => format!("{line}{grid}"),
        };
        let read = manifest::parse(Path::new("m.toml"), &text, "paper", &[]);
        manifest::resolved(&read.unwrap_or_else(|problems| panic!("{line}: {problems}")))
    };
    let (plain, mut looked_at) = (resolved(""), 0);
    for section in manifest::sections() {
        for key in &section.keys {
            assert!(
                key.sentence().len() > 4 && key.sentence().ends_with('.'),
                "{}",
                key.name
            );
            if let Fallback::Value(text) = key.default {
                let line = format!("{} = {}", section.path(key), text());
                assert_eq!(resolved(&line), plain, "{line}");
                looked_at += 1;
            }
        }
    }
    assert_eq!(looked_at, 64);
}

#[test]
fn a_key_is_said_to_enter_stages_where_another_value_changes_a_stage() {
    let set = |path: &str, value: &str| {
        let overrides = [
            "grid.samples=[5]".to_owned(),
            "grid.starts=[1]".to_owned(),
            // The region is in keys where masks are fused by STAPLE, the latent where there is one.
            "grid.methods=[\"w/\", \"w/o\", \"staple\", \"probabilistic\"]".to_owned(),
            // The tolerance is in keys where it is used.
            "metrics.report=[\"nsd\"]".to_owned(),
            format!("{path}={value}"),
        ];
        let read = manifest::parse(Path::new("m.toml"), &table(2), "paper", &overrides);
        let experiment = read.unwrap_or_else(|problems| panic!("{path}: {problems}"));
        let inventory = Inventory::assumed(&Cohort::default());
        let plan = plan::build(vec![experiment], &inventory);
        let digests = plan.stages.iter().map(|stage| stage.digest);
        digests.collect::<BTreeSet<_>>()
    };
    let before = set("seed", "0");
    let mut looked_at = 0;
    for section in manifest::sections() {
        for key in &section.keys {
            let default = match key.default {
                Fallback::Value(text) => text(),
                Fallback::As(_) => String::new(),
                Fallback::Required(_) | Fallback::Absent => continue,
            };
            let other = match (key.kind, default.as_str()) {
                (ValueKind::Words(words), default) => {
                    let other = words
                        .iter()
                        .find(|word| format!("\"{}\"", word.word) != default);
                    format!("\"{}\"", other.unwrap().word)
                }
                // As many names would do as well.
                (ValueKind::Either(_), default) => {
                    (default.parse::<u64>().unwrap() + 1).to_string()
                }
                // Every annotator has a mask.
                (ValueKind::Whole { .. }, _) if key.name == "annotations" => "12".to_owned(),
                (ValueKind::Whole { multiple_of, .. }, default) => {
                    (default.parse::<u64>().unwrap() + multiple_of).to_string()
                }
                (ValueKind::Side, _) => "224".to_owned(),
                (ValueKind::Number { .. } | ValueKind::Rate, _) => "0.0125".to_owned(),
                (ValueKind::Range { .. }, _) => "[0.6, 1.75]".to_owned(),
                (ValueKind::Text, _) => "\"other\"".to_owned(),
                _ => continue,
            };
            let path = section.path(key);
            assert_eq!(set(&path, &other) != before, key.keyed, "{path} = {other}");
            looked_at += 1;
        }
    }
    assert_eq!(looked_at, 65);
}

/// The order in which fields are hashed is part of every key ever stored.
#[test]
fn fields_are_hashed_in_the_order_they_always_were() {
    let fields: Vec<String> = Recipe::default()
        .explain()
        .into_iter()
        .map(|i| i.field)
        .collect();
    let expected = "image.crop image.reduce image.crop_at image.field_of_view \
        network.width network.norm_eps network.first_conv \
        training.batch training.reduction training.smooth training.lr_end training.lr_power \
        training.beta1 training.beta2 training.eps \
        augment.zoom_factors.low augment.zoom_factors.high augment.noise_sd.low \
        augment.noise_sd.high augment.blur_sigma.low augment.blur_sigma.high \
        augment.brightness_factor.low augment.brightness_factor.high \
        augment.rotation augment.rotation_degrees augment.zoom augment.noise augment.blur \
        augment.brightness augment.translation";
    assert_eq!(fields, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn keys_are_listed_with_values_default_and_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let say = |arguments: &[&str]| run(folder.path(), arguments, 0).out;
    let network = say(&["manifest", "keys", "network"]);
    assert!(
        network.contains("width: multiple of 4 from 4 to 1024; default 64; enters stages' keys"),
        "{network}"
    );
    assert!(!network.contains("alpha"));
    let all = say(&["manifest", "keys"]);
    for name in [
        "extends",
        "[grid]",
        "[sweep]",
        "[profile]",
        "[reference]",
        "annotators.choose",
    ] {
        assert!(all.contains(name), "{name}");
    }
    let json = say(&["manifest", "keys", "finetune.lr", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["key"], "finetune.lr");
    assert_eq!(json[0]["default_from"], "training.lr");
    assert_eq!(json[0]["keyed"], true);
    let wrong = run(folder.path(), &["manifest", "keys", "netwrok"], 2).err;
    assert!(
        wrong.contains("there is no section or key `netwrok`; the sections are"),
        "{wrong}"
    );
}
