//! `expertgrid bench`: what a user asks before a sweep is planned.

use std::path::Path;

use serde_json::Value;

use crate::support::common::*;

fn measured(more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["bench", "--json"];
    arguments.extend(more);
    serde_json::from_str(&run(Path::new("."), &arguments, 0).out).expect("JSON")
}

#[test]
fn a_step_is_measured_per_shape_with_its_instruction_set_and_memory() {
    let rows = measured(&["4:32:2", "8:64:17", "--steps", "3", "--threads", "2"]);
    let shapes: Vec<_> = rows
        .iter()
        .map(|row| ["width", "size", "batch", "threads"].map(|key| row[key].as_u64().unwrap()))
        .collect();
    assert_eq!(shapes, [[4, 32, 2, 2], [8, 64, 17, 2]]);
    for row in &rows {
        assert!(row["step_ms"].as_f64().unwrap() > 0.0, "{row}");
        let engine = row["engine"].as_str().unwrap();
        assert!(engine.starts_with("lanes, "), "{engine}");
        assert_eq!(row["device"], "cpu");
        assert!(row["device_memory_mib"].is_null(), "{row}");
        #[cfg(target_os = "linux")]
        assert!(row["peak_memory_mib"].as_f64().unwrap() > 1.0, "{row}");
    }
    let table = run(Path::new("."), &["bench", "4:32:2", "--steps", "1"], 0).out;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].contains("step (ms)") && lines[0].contains("peak memory (MiB)"));
    assert!(
        lines[1]
            .trim_start()
            .starts_with("4    32      2        1  lanes, ")
    );
    assert_eq!(lines.len(), 2, "{table}");
}

#[test]
fn the_engine_and_the_instruction_set_are_the_ones_asked_for() {
    let engine = |more: &[&str]| {
        let mut arguments = vec!["4:32:1", "--steps", "1"];
        arguments.extend(more);
        measured(&arguments)[0]["engine"].clone()
    };
    assert_eq!(engine(&["--isa", "portable"]), "lanes, portable");
    assert_eq!(engine(&["--engine", "stock"]), "stock");
}

#[test]
fn without_a_number_of_steps_a_small_shape_is_measured_for_two_seconds() {
    let begun = std::time::Instant::now();
    measured(&["4:32:1"]);
    assert!(begun.elapsed().as_secs_f64() >= 2.0);
}

#[test]
fn a_wrong_shape_says_how_one_is_written() {
    for (shape, remedy) in [
        ("8:64", "write WIDTH:SIZE:BATCH, for example 8:64:16"),
        ("8:64:x", "write WIDTH:SIZE:BATCH"),
        ("8:64:16:2", "write WIDTH:SIZE:BATCH"),
        ("5:32:2", "the width is a multiple of 4"),
        ("4:40:2", "the size a multiple of 32"),
        ("4:32:0", "the batch at least 1"),
    ] {
        let said = run(Path::new("."), &["bench", shape], 2);
        assert!(said.err.contains(remedy), "{shape}: {}", said.err);
        assert!(said.out.is_empty());
    }
    let none = run(Path::new("."), &["bench", "4:32:1", "--steps", "0"], 2).err;
    assert!(none.contains("--steps"), "{none}");
}

#[test]
fn a_card_that_is_not_there_is_refused() {
    let card = ["bench", "4:32:1", "--device", "cuda:97"];
    let said = run(Path::new("."), &card, 2).err;
    assert!(said.contains("cuda:97 cannot be used: "), "{said}");
    assert!(
        said.contains("`--device cpu` takes the processor"),
        "{said}"
    );
}

#[test]
fn a_step_of_every_method_that_pretrains_can_be_timed() {
    for method in [
        "customised",
        "original",
        "heads",
        "pool",
        "staple",
        "uncertainty-map",
    ] {
        let arguments = [
            "bench",
            "4:32:2",
            "--steps",
            "1",
            "--method",
            method,
            "--experts",
            "2",
            "--json",
        ];
        let rows = run(Path::new("."), &arguments, 0).out;
        let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
        assert_eq!(rows[0]["method"], method);
        assert_eq!(rows[0]["experts"], 2);
        assert!(rows[0]["step_ms"].as_f64().unwrap() > 0.0, "{method}");
    }
    let table = [
        "bench",
        "4:32:2",
        "--steps",
        "1",
        "--method",
        "probabilistic",
    ];
    let table = run(Path::new("."), &table, 0).out;
    assert!(
        table.starts_with("pretraining by probabilistic, on the masks of 1\nwidth"),
        "{table}"
    );
    for (method, expected) in [
        ("scratch", "method \"scratch\" pretrains nothing"),
        (
            "poll",
            "there is no method \"poll\"; did you mean \"pool\"?",
        ),
    ] {
        let said = run(Path::new("."), &["bench", "--method", method], 2).err;
        assert!(said.contains(expected), "{said}");
    }
}
