//! What is wrong with the words of a command, and what they say of the results.

use std::{fs, process::Stdio};

use expertgrid::store::Store;

use crate::support::common::*;

#[test]
fn a_number_of_nothing_is_refused_in_plain_words() {
    let folder = tiny();
    for (arguments, option) in [
        (tiny_run(&["--jobs", "0"]), "--jobs"),
        (tiny_run(&["--max-fail", "0"]), "--max-fail"),
        (vec!["bench", "--threads", "0"], "--threads"),
        (vec!["bench", "--steps", "many"], "--steps"),
    ] {
        let said = run(folder.path(), &arguments, 2).err;
        assert!(
            said.contains(option) && said.contains("write a whole number from 1"),
            "{said}"
        );
    }
}

#[test]
fn a_folder_in_place_of_a_manifest_is_named_as_one() {
    let folder = tiny();
    fs::create_dir(folder.path().join("experiments")).unwrap();
    let said = run(folder.path(), &["plan", "experiments"], 2).err;
    assert!(
        said.contains("experiments: a folder, not a manifest; name the files in it, as in")
            && said.contains("experiments/*.toml"),
        "{said}"
    );
}

#[test]
fn an_override_that_replaces_another_is_told() {
    let folder = tiny();
    let plan = |sets: &[&str]| {
        let mut arguments = vec!["plan", "tiny.toml"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        run(folder.path(), &arguments, 0).err
    };
    let said = plan(&["finetune.steps=5", "seed=1", "finetune.steps=6"]);
    assert!(
        said.contains("warning: --set sets finetune.steps 2 times, to 5, then 6; the last counts"),
        "{said}"
    );
    // Older names are the same key.
    let said = plan(&["grid.arms=[\"w/\"]", "grid.methods=[\"w/o\"]"]);
    assert!(said.contains("--set sets grid.methods 2 times"), "{said}");
    assert!(!plan(&["seed=1", "seed=1"]).contains("times"));
}

#[test]
fn cached_results_of_another_engine_are_told() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&["--engine", "lanes"]), 0);
    // What was asked for is what is there, or nothing was asked for; every set gives the same.
    for asked in [vec!["--engine", "lanes"], vec![], vec!["--isa", "portable"]] {
        let said = run(folder.path(), &tiny_run(&asked), 0).err;
        assert!(!said.contains("computed otherwise"), "{said}");
    }
    let said = run(folder.path(), &tiny_run(&["--engine", "stock"]), 0);
    assert_eq!(said.counts(), None);
    assert!(
        said.err.contains(
            "note: of 5 cached trainings that are used, 5 were computed otherwise than \
             `--engine stock` says: 5 with lanes; another folder of `--results`"
        ),
        "{}",
        said.err
    );
    // Nor are stages compared with those of another.
    let dataset = phantom().to_str().unwrap();
    let audit = ["store", "audit", "--dataset", dataset, "--engine", "stock"];
    let said = run(folder.path(), &audit, 1).out;
    assert!(said.contains("not comparable: pretrain"), "{said}");
    assert!(said.contains("it was computed on cpu (lanes)"), "{said}");
}

#[test]
fn trainings_of_another_process_with_another_engine_are_told() {
    let folder = tiny();
    let long = ["--set", "scratch.steps=2500", "--jobs", "2", "--engine"];
    let start = |engine: &'static str| {
        let mut command = expertgrid(folder.path(), &tiny_run(&[&long[..], &[engine]].concat()));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let theirs = start("lanes");
    let store = Store::within(&folder.path().join("results"));
    until("trainings", || {
        store.leased(|_| true).len() == 2 && folder.path().join("results/store/pretrain").exists()
    });
    let mine = start("stock");
    let said = Said::of(&mine.wait_with_output().unwrap()).err;
    let of_theirs = theirs.wait_with_output().unwrap();
    assert_eq!(of_theirs.status.code(), Some(0));
    let line = said.lines().find(|line| line.contains("did meanwhile"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.starts_with("note: of ") && line.contains("with lanes"),
        "{line}"
    );
}

#[test]
fn commands_on_pages_are_quoted_for_a_shell() {
    let folder = tiny();
    let results = folder.path().join("results");
    for (name, shown) in [("my table", "'my table'"), ("v1.2", "v1.2.toml")] {
        let file = format!("{name}.toml");
        fs::copy(folder.path().join("tiny.toml"), folder.path().join(&file)).unwrap();
        let mut arguments = tiny_run(&["--set", "pretrain.steps=3"]);
        arguments[1] = &file;
        run(folder.path(), &arguments, 0);
        let page = fs::read_dir(results.join(name)).unwrap().next().unwrap();
        let page = fs::read_to_string(page.unwrap().path().join("index.html")).unwrap();
        let data = page
            .split("id=\"data\" type=\"application/json\">")
            .nth(1)
            .unwrap();
        let data: serde_json::Value =
            serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
        let data = data.as_object().unwrap().values().next().unwrap();
        let command = data["cells"][0]["trace"].as_str().unwrap();
        assert!(
            command.starts_with(&format!("expertgrid trace {shown} --only '")),
            "{command}"
        );
        // A shell takes it as it is.
        let dataset = phantom().to_str().unwrap();
        let program = env!("CARGO_BIN_EXE_expertgrid");
        let typed = command.replacen("expertgrid", program, 1);
        let output = std::process::Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", &format!("{typed} --dataset '{dataset}'")])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {:?}",
            Said::of(&output)
        );
    }
}

#[test]
fn tables_have_no_signs_that_the_locale_lacks_and_no_escapes_on_a_dumb_terminal() {
    let folder = tiny();
    run(folder.path(), &tiny_run(&[]), 0);
    let dataset = phantom().to_str().unwrap();
    let arguments = [
        "report",
        "tiny.toml",
        "--dataset",
        dataset,
        "--format",
        "terminal",
    ];
    let said = |locale: &str| {
        let mut command = expertgrid(folder.path(), &arguments);
        Said::of(&command.env("LC_ALL", locale).output().unwrap()).out
    };
    assert!(said("C.UTF-8").contains("ASSD (px) ↓"));
    let plain = said("C");
    assert!(plain.is_ascii() && plain.contains("ASSD (px) v"), "{plain}");
    // Into a pager, or never.
    let with = |when: &str| {
        run(
            folder.path(),
            &[&arguments[..], &["--color", when]].concat(),
            0,
        )
    };
    assert!(with("always").out.contains("\x1b[1m"));
    assert!(!with("never").out.contains('\x1b') && !with("auto").out.contains('\x1b'));

    let program = env!("CARGO_BIN_EXE_expertgrid");
    let on_terminal = |given: &str| {
        let (term, more) = given.split_once(' ').unwrap_or((given, ""));
        let command = format!("exec {program} {} {more}", arguments.join(" "));
        let output = std::process::Command::new("script")
            .current_dir(folder.path())
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", term)
            .env_remove("NO_COLOR")
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match on_terminal("xterm") {
        Ok(shown) => {
            assert!(shown.contains("\x1b[1m"), "{shown}");
            let never = on_terminal("xterm --color never").unwrap_or_default();
            assert!(!never.contains('\x1b'), "{never}");
            let dumb = on_terminal("dumb").unwrap();
            assert!(dumb.contains("ASSD") && !dumb.contains('\x1b'), "{dumb}");
        }
        Err(error) => eprintln!("skipped: no terminal can be had: script: {error}"),
    }
}
