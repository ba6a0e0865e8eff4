//! Picking runs by an expression: every field, every comparison, and what is refused.

use expertgrid::{
    grid::Only,
    manifest,
    plan::{self, Inventory, Plan},
};

const MANIFEST: &str = r#"
[grid]
new_experts = [6, 7]
methods = ["w/", "w/o"]
annotators = { from = [1, 2, 3], choose = [2, 3] }
samples = [5, 10, 34]
starts = [1, 28]
"#;

fn plan(more: &str) -> Plan {
    let text = format!("{more}{MANIFEST}");
    let experiment = manifest::parse("table2.toml".as_ref(), &text, "paper", &[]).unwrap();
    let inventory = Inventory::assumed(&experiment.cohort);
    plan::build(vec![experiment], &inventory)
}

fn picked(plan: &Plan, text: &str) -> Result<usize, String> {
    let picking = plan.pick(&text.parse::<Only>()?)?;
    Ok(plan
        .runs
        .iter()
        .filter(|run| picking.wants(run, plan))
        .count())
}

#[test]
fn runs_are_picked_by_every_field() {
    // 3 pairs and 1 triple with pretraining, 1 without; 2 experts, 3 numbers, 2 starts.
    let all = (4 + 1) * 2 * 3 * 2;
    let plan = plan("");
    assert_eq!(plan.runs.len(), all);
    for (text, count) in [
        ("expert=7", all / 2),
        ("n<=10", all * 2 / 3),
        ("samples > 5 and n != 34", all / 3),
        ("start=28", all / 2),
        ("method=\"w/\"", 4 * 12),
        ("method=w/o", 12),
        ("method=scratch", 12),
        ("experts=2", 3 * 12),
        ("annotators=1+3", 12),
        ("annotators=\"1+2+3\"", 12),
        // Older words.
        ("arm=w/o", 12),
        ("combination=1+3", 12),
        ("table=table2", all),
        ("expert=7 and n<=10 and method=\"w/\"", 4 * 4),
        ("not expert=7", all / 2),
        ("not not expert=7", all / 2),
        ("expert=6 and n=5 or expert=7 and n=34", all / 3),
        ("expert=6 and (n=5 or n=34)", all / 3),
        ("not (expert=6 or n=5)", all / 3),
        ("  start  >=  2  ", all / 2),
        ("n>=10 and n<34", all / 3),
        ("expert=7 n<=10 method=w/", 4 * 4),
        ("expert=7 not n=5 (start=1 or start=28)", all / 3),
        ("train_expert!=1", all),
    ] {
        assert_eq!(picked(&plan, text), Ok(count), "{text}");
    }
}

#[test]
fn swept_keys_are_fields_by_their_whole_names_and_by_their_last_parts() {
    let plan = plan(
        "[sweep]\nfinetune.lr = [1e-3, 3e-3]\nscratch.lr = [1e-3, 1e-2]\nseed = [0, 1]\n\
         image.crop_at = [\"centre\", \"foreground\"]\n",
    );
    let all = plan.runs.len();
    for (text, count) in [
        ("finetune.lr=0.003", Ok(all / 2)),
        ("finetune.lr >= 1e-3 and scratch.lr < 0.01", Ok(all / 2)),
        ("seed=1", Ok(all / 2)),
        ("crop_at=centre", Ok(all / 2)),
        ("image.crop_at!=\"centre\"", Ok(all / 2)),
        // Two keys end so.
        ("lr=0.003", Err("where one of table, expert")),
        ("crop_at<x", Err("where = or != (crop_at is not a number)")),
        ("finetune.lr=high", Err("`high` stands where a number")),
        ("finetune.lr=0.1", Err("finetune.lr 0.001, 0.003")),
    ] {
        match (picked(&plan, text), count) {
            (Ok(found), Ok(count)) => assert_eq!(found, count, "{text}"),
            (Err(said), Err(why)) => assert!(said.contains(why), "{text}: {said}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn what_is_not_understood_is_refused_with_what_could_stand_there() {
    let plan = plan("");
    for (text, expected) in [
        ("", "it ends where a field"),
        ("epxert=7", "`epxert=7` stands where one of table, expert,"),
        ("expert", "it ends where one of = !="),
        ("expert=", "it ends where a value"),
        ("expert=seven", "`seven` stands where a number"),
        ("n==5", "`=5` stands where a value"),
        ("method<w/", "`<w/` stands where = or !="),
        ("method=", "it ends where a value"),
        ("method=\"w/", "a closing quotation mark"),
        ("(expert=7", "it ends where `)`"),
        ("expert=7 m=5", "`m=5` stands where one of table,"),
        ("expert=7 m", "`m` stands where `and`, `or`"),
        ("expert=7 and", "it ends where a field"),
        ("expert=7)", "`)` stands where"),
        ("n=nan", "`nan` stands where a number"),
        ("metric=dice", "`metric=dice` stands where one of"),
        (
            "expert=5",
            "no run of these manifests is `expert=5`; there are table table2; expert 6, 7;",
        ),
        ("table=table3", "there are table table2;"),
    ] {
        let said = picked(&plan, text).unwrap_err();
        assert!(said.contains(expected), "{text}: {said}");
    }
    let deep = "(".repeat(100_000);
    assert!(deep.parse::<Only>().unwrap_err().contains("too deeply"));
}
