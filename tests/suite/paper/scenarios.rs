//! Claims on the original method against the customised one, and on the noise of pretrainings, on
//! results that are made up so that the verdict is known.

use expertgrid::{
    metric::Score,
    paper,
    plan::Run,
    report::{self, Verdict},
    results,
};

use crate::support::made_up::grid;

/// A grid whose other keys follow.
fn manifest(rows: &str, columns: &str, more: &str) -> String {
    format!(
        r#"title = "made up"
[table]
panels = "expert"
rows = {rows}
columns = {columns}
[statistics]
block = "column"
{more}
"#
    )
}

/// Small deviations that cancel over the four ways of sampling, and differ between methods.
fn swing(run: &Run) -> f64 {
    let patterns = [
        [1.0, 1.0, -1.0, -1.0],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, -1.0, -1.0, 1.0],
    ];
    let name = run.method().name.len() + run.at.experts.len();
    0.1 * patterns[name % 3][(run.at.start - 1) / 3] * (1.0 + 0.1 * name as f64)
}

/// The verdicts by name and expert, on results with these means in Dice, from which distances
/// follow.
fn verdicts(text: &str, mean: impl Fn(&Run) -> f64) -> Vec<(&'static str, u8, Verdict)> {
    let folder = tempfile::tempdir().unwrap();
    let (plan, store) = grid(folder.path(), text, |run| {
        let dice = mean(run);
        Some([dice / 100.0, 12.0 - dice / 10.0, 40.0 - dice / 3.0].map(Score::Value))
    });
    let results = results::collect(&plan, &store, &|_| None);
    let claims = paper::claims(&report::tabulate(&results, 0), &results, 0);
    let verdicts = claims.iter();
    verdicts
        .map(|claim| (claim.name, claim.experts[0], claim.verdict()))
        .collect()
}

#[test]
fn claims_on_factors_follow_from_their_effects() {
    let text = manifest(
        "\"method\"",
        "\"samples\"",
        r#"[grid]
new_experts = [6]
methods = [
    "scratch", "customised", "customised-inherit", "customised-frozen",
    "customised-frozen-inherit", "cohort-full", "cohort-full-inherit", "cohort-frozen", "original",
]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [5, 34]
starts = [1, 4, 7, 10]
pairing = "matched""#,
    );
    let with = |annotation: f64, full: [f64; 2], inherit: [f64; 2]| {
        verdicts(&text, |run| {
            let Some(words) = run.method().words() else {
                return 60.0 + swing(run);
            };
            let is = |is: bool| if is { 1.0 } else { 0.0 };
            let many = usize::from(run.at.samples == 34);
            let trained = words.adapt == "full";
            80.0 + swing(run)
                + annotation * is(words.annotation == "every")
                + full[many] * is(trained)
                + inherit[usize::from(trained)] * is(words.branch == "inherit")
        })
    };
    let names = [
        "every-experts-masks-help",
        "training-everything-helps",
        "inheriting-helps-what-is-frozen",
    ];
    let all = |verdicts: [Verdict; 3]| {
        let each = names.into_iter().zip(verdicts);
        each.map(|(name, verdict)| (name, 6, verdict))
            .collect::<Vec<_>>()
    };
    let (yes, no) = (Verdict::Holds, Verdict::DoesNotHold);
    assert_eq!(with(2.0, [3.0, 5.0], [2.0, 0.0]), all([yes, yes, yes]));
    assert_eq!(with(-2.0, [5.0, 3.0], [-2.0, 2.0]), all([no, no, no]));
    // Training everything helps, but no more with many samples than with few: that stays open.
    let found = with(2.0, [4.0, 4.0], [2.0, 0.0]);
    assert_eq!(found, all([yes, Verdict::Undecided, yes]));
}

#[test]
fn claims_by_the_number_of_annotators_follow_from_the_numbers() {
    let of = |limit: &str| {
        manifest(
            "\"experts\"",
            "\"method\"",
            &format!(
                r#"[pretrain]
annotations = {limit}
[grid]
new_experts = [7]
methods = ["scratch", "customised", "customised-frozen-inherit", "cohort-full", "original"]
annotators = {{ from = [1, 2, 3, 4, 5], choose = [1, 2, 3, 4, 5] }}
samples = [10]
starts = [1, 4, 7, 10]
pairing = "matched""#
            ),
        )
    };
    let mean = |run: &Run, customised: f64, original: f64| {
        let k = run.at.experts.len() as f64;
        let gains = match &*run.method().name {
            "customised" => customised,
            "original" => original,
            _ => 0.0,
        };
        80.0 + swing(run) + gains * k
    };
    let names = [
        "customised-improves-with-annotators",
        "original-has-as-many-masks",
    ];
    let all = |verdict| names.map(|name| (name, 7, verdict)).to_vec();
    let found = verdicts(&of("0"), |run| mean(run, 1.0, 0.0));
    assert_eq!(found, all(Verdict::Holds));
    let found = verdicts(&of("0"), |run| mean(run, -1.0, 1.0));
    assert_eq!(found, all(Verdict::DoesNotHold));
    let at_equal_work = |alike, better| {
        [
            ("as-many-masks-are-alike", 7, alike),
            ("customised-beats-original-at-equal-work", 7, better),
        ]
    };
    let found = verdicts(&of("30"), |run| mean(run, 1.0, 1.0));
    assert_eq!(found, at_equal_work(Verdict::Holds, Verdict::Undecided));
    let found = verdicts(&of("30"), |run| mean(run, 1.0, 0.0));
    assert_eq!(found, at_equal_work(Verdict::DoesNotHold, Verdict::Holds));
    let found = verdicts(&of("30"), |run| mean(run, 0.0, 1.0));
    let no = Verdict::DoesNotHold;
    assert_eq!(found, at_equal_work(no, no));
}

#[test]
fn the_claim_on_noise_is_about_the_deviation_between_pretrainings() {
    let text = r#"title = "made up"
[table]
rows = "experts"
columns = []
average = ["annotators", "start"]
results = "repeat"
[grid]
new_experts = [6, 7]
methods = ["w/"]
annotators = { from = [1, 2], choose = 2 }
samples = [10]
starts = [1]
repeats = 4
"#;
    let found = verdicts(text, |run| {
        let swing = [1.0, -1.0][run.at.repeat.unwrap() % 2];
        80.0 + swing * if run.at.new_expert == 6 { 0.1 } else { 0.3 }
    });
    // Standard deviations of 0.12 and 0.35.
    let name = "pretrainings-are-alike";
    assert_eq!(
        found,
        [(name, 6, Verdict::Holds), (name, 7, Verdict::DoesNotHold)]
    );
}

#[test]
fn claims_on_the_experts_part_follow_from_means() {
    let head = |branch: &str| {
        format!(
            "annotation = \"every\"\nmultitask = \"heads\"\nbranch = \"{branch}\"\n\
             adapt = \"expert-layers\"\n"
        )
    };
    let more = format!(
        r#"[grid]
new_experts = [6]
methods = [
    "scratch", "customised-frozen", "customised-frozen-inherit", "heads-frozen",
    "heads-frozen-inherit",
]
annotators = {{ from = [1, 2, 3, 4, 5], choose = 3 }}
samples = [5, 34]
starts = [1, 4, 7, 10]
pairing = "matched"
[method.heads-frozen]
{}[method.heads-frozen-inherit]
{}"#,
        head("reset"),
        head("inherit")
    );
    let text = manifest("\"method\"", "\"samples\"", &more);
    let with = |new: f64, inherited: f64| {
        verdicts(&text, |run| {
            let name = &run.method().name;
            let gain = match (name.starts_with("customised"), name.ends_with("inherit")) {
                (true, false) => new,
                (true, true) => inherited,
                (false, _) => 0.0,
            };
            70.0 + gain + swing(run)
        })
    };
    let [new, inherited] = [
        "new-norms-hold-more-than-a-head",
        "inherited-norms-hold-more-than-a-head",
    ];
    let found = with(5.0, 5.0);
    assert_eq!(
        found,
        [(new, 6, Verdict::Holds), (inherited, 6, Verdict::Holds)]
    );
    let found = with(-5.0, 5.0);
    assert_eq!(
        found,
        [
            (new, 6, Verdict::DoesNotHold),
            (inherited, 6, Verdict::Holds)
        ]
    );
}
#[test]
fn branches_are_set_against_pooled_masks_as_they_are() {
    let text = manifest(
        "\"method\"",
        "\"samples\"",
        r#"[grid]
new_experts = [7]
methods = ["scratch", "cohort-pool", "cohort-full"]
annotators = { from = [1, 2, 3, 4, 5], choose = 3 }
samples = [0, 10]
starts = [1, 4, 7, 10]
pairing = "matched"
[method.cohort-pool]
annotation = "cohort"
multitask = "pool"
branch = "inherit"
adapt = "full""#,
    );
    // With samples the other way round, which the claim is not about.
    let with = |gain: f64| {
        verdicts(&text, |run| {
            let branches = run.method().name == "cohort-full";
            let sign = if run.at.samples == 0 { 1.0 } else { -1.0 };
            70.0 + f64::from(u8::from(branches)) * sign * gain + swing(run)
        })
    };
    let name = "branches-beat-pooled-masks";
    assert_eq!(with(5.0), [(name, 7, Verdict::Holds)]);
    assert_eq!(with(-5.0), [(name, 7, Verdict::DoesNotHold)]);
}
