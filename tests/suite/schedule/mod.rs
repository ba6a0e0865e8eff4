//! The schedule alone: order, slots, retries, failures, claims and interruption, by scripts.

mod script;
mod workers;

use std::{collections::VecDeque, time::Duration};

use expertgrid::{
    event::{Counts, Ended},
    schedule::{LeaseReply, Message, News, Policy, Release, Share, State},
};
use itertools::Itertools;
use proptest::{collection::vec, prelude::*};

use script::{
    EVALUATIONS, EVERYTHING, Grid, STAGES, Script, Slot, TRAININGS, accident, mistake, no_space,
    progress,
};

/// Everything in one slot.
const ONE_BY_ONE: &str = "P1 | P2 | S1 | E5 | S2 | E6 | F1 | E1 | F2 | E2 | F3 | E3 | F4 | E4";

fn all_finished() -> Counts {
    Counts {
        finished: STAGES,
        ..Counts::default()
    }
}

#[test]
fn evaluations_go_first_then_pretrainings_then_trainings_from_scratch_then_fine_tunings() {
    let played = Script::with_slots(1).play();
    assert_eq!(played.starts(), ONE_BY_ONE);
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(played.counts, all_finished());
    assert_eq!(
        played.told()[..4],
        [
            "started P1 in 0",
            "finished P1 in 0",
            "started P2 in 0",
            "finished P2 in 0"
        ]
    );

    let played = Script::with_slots(1).intact("F4 S1").play();
    assert_eq!(
        played.starts(),
        "E4 | E5 | P1 | P2 | S2 | E6 | F1 | E1 | F2 | E2 | F3 | E3"
    );
}

#[test]
fn within_a_kind_the_plans_order_holds_whatever_became_ready_first() {
    // P2 ends before P1: F3 and F4 can begin before F1 and F2 can.
    let played = Script::with_slots(2).turns([1, 0]).play();
    assert_eq!(
        played.starts(),
        "P1 P2 | S1 | S2 | E5 | E6 | F1 | F2 | E1 | E2 | F3 | F4 | E3 | E4"
    );
}

#[test]
fn with_many_slots_everything_begins_as_soon_as_it_can() {
    let played = Script::with_slots(20).play();
    assert_eq!(
        played.starts(),
        "P1 P2 S1 S2 | F1 F2 | F3 F4 | E5 | E6 | E1 | E2 | E3 | E4"
    );
    assert_eq!(
        played.told()[..4],
        ["P1 in 0", "P2 in 1", "S1 in 2", "S2 in 3"].map(|what| format!("started {what}"))
    );
}

/// A slot for trainings and one for evaluations, where the first evaluation takes long.
fn beside_a_slow_evaluation() -> Script {
    let mut script = Script::with_slots(0).slow("E5");
    script.slots = vec![TRAININGS, EVALUATIONS];
    script
}

const BESIDE_A_SLOW_EVALUATION: &str =
    "P1 | P2 | S1 | E5 S2 | F1 | F2 | F3 | F4 | E1 | E2 | E3 | E4 | E6";

#[test]
fn a_waiting_evaluation_holds_up_no_training() {
    let played = beside_a_slow_evaluation().play();
    assert_eq!(played.starts(), BESIDE_A_SLOW_EVALUATION);
    assert_eq!(played.counts, all_finished());
}

#[test]
fn a_waiting_training_holds_up_no_evaluation() {
    let mut script = Script::with_slots(0).intact("S1 S2 F3 F4").slow("P1");
    script.slots = vec![TRAININGS, EVALUATIONS];
    let played = script.play();
    assert_eq!(played.starts(), "E3 P1 | E4 | E5 | E6 | F1 | E1 F2 | E2");
    assert_eq!(played.told()[..2], ["started E3 in 1", "started P1 in 0"]);
}

#[test]
fn progress_is_passed_on_and_moves_nothing() {
    let played = Script::with_slots(1)
        .news("P1", [progress(), progress()])
        .play();
    assert_eq!(
        played.told_of("P1"),
        [
            "started P1 in 0",
            "step 7 of P1 in 0",
            "step 7 of P1 in 0",
            "finished P1 in 0"
        ]
    );
    assert_eq!(played.starts(), ONE_BY_ONE);
}

#[test]
fn what_a_free_slot_tells_is_ignored() {
    let mut script = beside_a_slow_evaluation();
    for news in [progress(), News::Finished, mistake(), News::Stopped] {
        script.stray.push_back(Message { slot: 1, news });
    }
    let played = script.play();
    assert_eq!(played.starts(), BESIDE_A_SLOW_EVALUATION);
    assert_eq!(played.told()[1], "finished P1 in 0");
    assert_eq!(played.counts, all_finished());
}

#[test]
fn after_an_accident_a_stage_is_tried_again_in_its_place_of_the_order() {
    let played = Script::with_slots(1)
        .retries(2)
        .news("P1", [accident(), accident()])
        .play();
    assert_eq!(
        played.told_of("P1"),
        [
            "started P1 in 0",
            "retried P1 in 0, attempt 2: lost",
            "started P1 in 0",
            "retried P1 in 0, attempt 3: lost",
            "started P1 in 0",
            "finished P1 in 0"
        ]
    );
    assert_eq!(played.starts(), format!("P1 | P1 | {ONE_BY_ONE}"));
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(played.counts, all_finished());
}

#[test]
fn one_accident_more_than_there_are_retries_is_a_failure() {
    let accidents = [accident(), accident(), accident()];
    let played = Script::with_slots(1)
        .retries(2)
        .news("S1", accidents)
        .play();
    assert_eq!(
        played.told_of("S1"),
        [
            "started S1 in 0",
            "retried S1 in 0, attempt 2: lost",
            "started S1 in 0",
            "retried S1 in 0, attempt 3: lost",
            "started S1 in 0",
            "failed S1 in 0: lost"
        ]
    );
    assert_eq!(played.which(&State::Failed("lost".to_owned())), "S1");
    assert_eq!(played.blocked_by("S1"), "E5");
    assert_eq!(played.ended, Ended::Done);
}

#[test]
fn without_retries_the_first_accident_is_a_failure() {
    let played = Script::with_slots(1)
        .retries(0)
        .news("E5", [accident()])
        .play();
    assert_eq!(played.starts(), ONE_BY_ONE);
    assert_eq!(played.which(&State::Failed("lost".to_owned())), "E5");
}

#[test]
fn every_stage_has_its_own_retries() {
    let mut script = Script::with_slots(3).retries(1);
    for news in &mut script.news {
        news.push_back(accident());
    }
    let played = script.play();
    assert_eq!(played.counts, all_finished());
    assert_eq!(played.trace.granted().len(), 2 * STAGES);
}

#[test]
fn a_deterministic_failure_is_not_tried_again() {
    let played = Script::with_slots(1)
        .retries(2)
        .news("S2", [accident(), mistake()])
        .news("E5", [mistake()])
        .play();
    assert_eq!(
        played.told_of("S2"),
        [
            "started S2 in 0",
            "retried S2 in 0, attempt 2: lost",
            "started S2 in 0",
            "failed S2 in 0: wrong"
        ]
    );
    assert_eq!(
        played.told_of("E5"),
        ["started E5 in 0", "failed E5 in 0: wrong"]
    );
    assert_eq!(played.which(&State::Failed("wrong".to_owned())), "E5 S2");
    assert_eq!(played.blocked_by("S2"), "E6");
}

#[test]
fn a_failure_takes_down_what_depends_on_it_and_nothing_else() {
    let played = Script::with_slots(2)
        .news("P1", [mistake()])
        .news("F3", [mistake()])
        .news("E6", [mistake()])
        .play();
    assert_eq!(played.which(&State::Failed("wrong".to_owned())), "P1 F3 E6");
    // What is behind a blocked stage names the failure itself.
    assert_eq!(played.blocked_by("P1"), "F1 E1 F2 E2");
    assert_eq!(played.blocked_by("F3"), "E3");
    assert_eq!(played.which(&State::Finished), "P2 F4 E4 S1 E5 S2");
    assert_eq!(
        played.told()[2..7],
        [
            "failed P1 in 0: wrong",
            "blocked F1 by P1",
            "blocked F2 by P1",
            "blocked E1 by P1",
            "blocked E2 by P1"
        ]
    );
    assert_eq!(
        played.counts,
        Counts {
            finished: 6,
            failed: 3,
            blocked: 5,
            ..Counts::default()
        }
    );
    assert_eq!(played.ended, Ended::Done);
}

#[test]
fn after_the_most_failures_nothing_begins_and_what_runs_comes_to_its_end() {
    let played = Script::with_slots(3)
        .most_failures(1)
        .news("P1", [mistake()])
        .play();
    assert_eq!(played.starts(), "P1 P2 S1");
    assert_eq!(played.ended, Ended::GaveUp);
    assert_eq!(played.trace.stops, 0);
    assert_eq!(played.which(&State::Finished), "P2 S1");
    assert_eq!(played.which(&State::Ready), "F3 F4 E5 S2");
    assert_eq!(played.which(&State::Waiting), "E3 E4 E6");
    assert_eq!(played.blocked_by("P1"), "F1 E1 F2 E2");
}

#[test]
fn fewer_than_the_most_failures_end_nothing() {
    let played = Script::with_slots(3)
        .most_failures(2)
        .news("P1", [mistake()])
        .news("S1", [mistake()])
        .play();
    assert_eq!(played.starts(), "P1 P2 S1 | S2 | F3");
    assert_eq!(played.ended, Ended::GaveUp);
    assert_eq!(played.which(&State::Finished), "P2 F3 S2");

    let played = Script::with_slots(3)
        .most_failures(2)
        .news("P1", [mistake()])
        .play();
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(played.counts.finished, STAGES - 5);
}

#[test]
fn accidents_that_are_tried_again_are_no_failures() {
    let played = Script::with_slots(1)
        .retries(1)
        .most_failures(1)
        .news("P1", [accident()])
        .news("F3", [accident()])
        .play();
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(played.counts, all_finished());
}

#[test]
fn an_accident_after_the_most_failures_leaves_its_stage_ready() {
    let played = Script::with_slots(2)
        .most_failures(1)
        .news("P1", [mistake()])
        .news("P2", [accident()])
        .play();
    assert_eq!(played.starts(), "P1 P2");
    assert_eq!(played.ended, Ended::GaveUp);
    assert_eq!(played.which(&State::Ready), "P2 S1 S2");
}

#[test]
fn a_full_disk_stops_everything_and_nothing_is_tried_again() {
    let played = Script::with_slots(3)
        .retries(5)
        .news("P1", [no_space()])
        .news("S1", [no_space()])
        .play();
    assert_eq!(played.starts(), "P1 P2 S1");
    assert_eq!(played.ended, Ended::DiskFull);
    assert_eq!(played.trace.stops, 1);
    assert_eq!(
        played.told()[3..6],
        [
            "failed P1 in 0: full",
            "blocked F1 by P1",
            "blocked F2 by P1"
        ]
    );
    // Told once: what the others lack is the same.
    assert_eq!(played.told_of("S1"), ["started S1 in 2", "stopped S1 in 2"]);
    assert_eq!(played.which(&State::Ready), "P2 S1 S2");
}

#[test]
fn a_full_disk_ends_a_run_that_has_given_up_at_once() {
    let played = Script::with_slots(3)
        .most_failures(1)
        .news("P1", [mistake()])
        .news("P2", [no_space()])
        .play();
    assert_eq!(played.ended, Ended::DiskFull);
    assert_eq!(played.which(&State::Ready), "S1 S2");
    assert_eq!(played.counts.failed, 2);
}

#[test]
fn progress_that_a_stage_goes_on_from_is_passed_on() {
    let played = Script::with_slots(1)
        .news("P1", [News::Resumed(40), progress()])
        .play();
    assert_eq!(
        played.told_of("P1")[1..3],
        ["resumed P1 after 40 in 0", "step 7 of P1 in 0"]
    );
    assert_eq!(played.counts, all_finished());
}

#[test]
fn what_another_process_makes_meanwhile_is_found_and_what_stands_on_it_runs() {
    let played = Script::with_slots(2)
        .answers("S1", &[LeaseReply::Theirs, LeaseReply::Made])
        .play();
    assert_eq!(played.told_of("S1"), ["elsewhere S1", "found S1"]);
    assert_eq!(played.which(&State::Cached), "S1");
    assert_eq!(played.told_of("E5").len(), 2);
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(
        played.counts,
        Counts {
            cached: 1,
            finished: STAGES - 1,
            ..Counts::default()
        }
    );
}

#[test]
fn what_another_process_has_made_before_its_claim_is_found_at_once() {
    let played = Script::with_slots(1)
        .answers("P1", &[LeaseReply::Made])
        .answers("S2 F1 E1", &[LeaseReply::Made])
        .play();
    assert_eq!(
        played.starts(),
        "P2 | S1 | E5 | E6 | F2 | E2 | F3 | E3 | F4 | E4"
    );
    assert_eq!(played.which(&State::Cached), "P1 F1 E1 S2");
    assert_eq!(played.told_of("P1"), ["found P1"]);
    assert!(played.trace.waits.iter().all(Option::is_none));
}

#[test]
fn what_another_process_leaves_behind_is_run_here() {
    let played = Script::with_slots(1)
        .answers("P1", &[LeaseReply::Theirs])
        .play();
    assert_eq!(
        played.told_of("P1"),
        ["elsewhere P1", "started P1 in 0", "finished P1 in 0"]
    );
    assert_eq!(played.counts, all_finished());
    // It took no slot while it ran elsewhere, and was waited for with a limit.
    assert!(played.starts().starts_with("P2"), "{}", played.starts());
    assert!(played.trace.waits[0].is_some());
}

#[test]
fn what_runs_elsewhere_is_told_once_and_claimed_again_after_a_while_each_time() {
    let theirs = || LeaseReply::Theirs;
    let played = Script::with_slots(2)
        .answers("S1", &[theirs(), theirs(), theirs(), LeaseReply::Made])
        .intact("E1 E2 E3 E4")
        .news("S2", [progress(), progress(), progress(), progress()])
        .play();
    assert_eq!(played.told_of("S1"), ["elsewhere S1", "found S1"]);
    let wait = played.trace.waits[0].expect("a limit");
    assert!(wait > Duration::ZERO);
    let s1 = Grid::get("pretrained").id("S1");
    let claims = played.trace.claimed.iter().filter(|(id, ..)| *id == s1);
    let times: Vec<_> = claims.map(|(.., at)| *at).collect();
    assert_eq!(times.len(), 4);
    // The first while begins with the run.
    for (earlier, later) in times[1..].iter().tuple_windows() {
        assert!(
            *later - *earlier >= wait,
            "{times:?} with waits of {wait:?}"
        );
    }
}

#[test]
fn an_interruption_ends_at_once_what_only_waits_for_others() {
    let played = Script::with_slots(2)
        .answers("P1 P2 S1 S2", &[LeaseReply::Theirs])
        .interrupted_at(0)
        .play();
    assert_eq!(played.ended, Ended::Interrupted);
    assert_eq!(played.starts(), "");
    assert_eq!((played.trace.waits.len(), played.trace.stops), (1, 1));
    assert_eq!(
        played.told(),
        [
            "elsewhere P1",
            "elsewhere P2",
            "elsewhere S1",
            "elsewhere S2",
            "interrupted"
        ]
    );
    assert_eq!(played.which(&State::Elsewhere), "P1 P2 S1 S2");
    assert_eq!(
        played.counts,
        Counts {
            elsewhere: 4,
            waiting: STAGES - 4,
            ..Counts::default()
        }
    );
}

#[test]
fn every_granted_claim_is_released_once_however_its_stage_ends() {
    let played = Script::with_slots(3)
        .news("P1", [accident()])
        .news("S1", [mistake()])
        .answers("P2", &[LeaseReply::Made])
        .interrupted_at(4)
        .play();
    let grid = Grid::get("pretrained");
    let granted = ["P1", "S1", "S2", "P1", "F3", "E6", "F1"].map(|name| grid.id(name));
    assert_eq!(played.trace.granted(), granted);
    let released = &played.trace.released;
    assert!(released.iter().map(|(id, _)| *id).eq(granted));
    let hows: Vec<Release> = released.iter().map(|(_, how)| how.clone()).collect();
    assert_eq!(
        hows,
        [
            Release::Accident("lost".to_owned()),
            Release::Failed("wrong".to_owned()),
            Release::Finished,
            Release::Finished,
            Release::Stopped,
            Release::Stopped,
            Release::Stopped,
        ]
    );
    let told = played.told();
    let ends = told.iter().filter(|event| {
        let ends = ["retried", "failed", "finished", "stopped"];
        ends.iter().any(|end| event.starts_with(end))
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(
        ends,
        [
            "retried P1 in 0, attempt 2: lost",
            "failed S1 in 1: wrong",
            "finished S2 in 2",
            "finished P1 in 0",
            "stopped F3 in 1",
            "stopped E6 in 2",
            "stopped F1 in 0"
        ]
    );
}

#[test]
fn an_interruption_stops_what_runs_and_nothing_begins_again() {
    let played = Script::with_slots(3)
        .news("S1", [progress(), News::Finished])
        .interrupted_at(1)
        .play();
    assert_eq!(played.starts(), "P1 P2 S1 | S2");
    assert_eq!(played.ended, Ended::Interrupted);
    assert_eq!(played.trace.stops, 1);
    assert_eq!(
        played.told()[5..],
        [
            "interrupted",
            "stopped P2 in 1",
            "step 7 of S1 in 2",
            "finished S1 in 2",
            "stopped S2 in 0"
        ]
    );
    assert_eq!(played.which(&State::Finished), "P1 S1");
    assert_eq!(played.which(&State::Ready), "P2 F1 F2 E5 S2");
    assert_eq!(
        played.counts,
        Counts {
            finished: 2,
            waiting: STAGES - 2,
            ..Counts::default()
        }
    );
}

#[test]
fn failures_and_accidents_while_a_run_is_interrupted_are_what_they_are() {
    let played = Script::with_slots(3)
        .most_failures(1)
        .interrupted_at(0)
        .news("P1", [mistake()])
        .news("P2", [accident()])
        .play();
    assert_eq!(played.ended, Ended::Interrupted);
    assert_eq!(played.starts(), "P1 P2 S1");
    assert_eq!(played.which(&State::Failed("wrong".to_owned())), "P1");
    assert_eq!(played.blocked_by("P1"), "F1 E1 F2 E2");
    assert_eq!(played.which(&State::Ready), "P2 S1 S2");
}

#[test]
fn a_run_that_gave_up_can_be_interrupted() {
    let played = Script::with_slots(3)
        .most_failures(1)
        .interrupted_at(1)
        .news("P1", [mistake()])
        .play();
    assert_eq!(played.ended, Ended::Interrupted);
    assert_eq!(played.trace.stops, 1);
    assert_eq!(played.which(&State::Finished), "");
    assert_eq!(
        played.told()[8..],
        ["interrupted", "stopped P2 in 1", "stopped S1 in 2"]
    );
}

#[test]
fn what_is_intact_is_cached_and_what_stands_behind_it_is_not_looked_at() {
    let played = Script::with_slots(1).intact("E5 F1 F2").play();
    assert_eq!(played.which(&State::Cached), "F1 F2 E5");
    assert_eq!(played.which(&State::Unneeded), "P1 S1");
    assert_eq!(
        played.looked.iter().sorted().join(" "),
        "E1 E2 E3 E4 E5 E6 F1 F2 F3 F4 P2 S2"
    );
    assert_eq!(
        played.starts(),
        "E1 | E2 | P2 | S2 | E6 | F3 | E3 | F4 | E4"
    );
    assert_eq!(
        played.counts,
        Counts {
            cached: 3,
            finished: 9,
            ..Counts::default()
        }
    );
}

#[test]
fn where_everything_is_intact_nothing_is_claimed_and_nothing_waited_for() {
    let played = Script::with_slots(2).intact("E1 E2 E3 E4 E5 E6").play();
    assert_eq!(played.ended, Ended::Done);
    assert!(played.counts.complete());
    assert!(played.trace.claimed.is_empty() && played.trace.waits.is_empty());
    assert!(played.told().is_empty());
}

#[test]
fn a_network_that_is_to_be_kept_is_made_though_its_evaluation_is_there() {
    let mut script = Script::with_slots(1).intact("E1 E5");
    script.grid = Grid::get("all");
    let played = script.play();
    assert_eq!(
        played.starts(),
        "P1 | P2 | S1 | S2 | E6 | F1 | F2 | E2 | F3 | E3 | F4 | E4"
    );
    assert_eq!(played.which(&State::Cached), "E1 E5");
    assert_eq!(played.which(&State::Unneeded), "");
}

#[test]
fn of_the_stages_that_can_start_those_of_the_share_are_the_first() {
    // In the plan's order: P1 P2 F1 E1 F2 E2 F3 E3 F4 E4 S1 E5 S2 E6.
    let odd = Script::with_slots(1).share(1, 2, false).play();
    assert_eq!(
        odd.starts(),
        "P2 | P1 | S1 | E5 | S2 | E6 | F1 | E1 | F2 | E2 | F3 | E3 | F4 | E4"
    );
    let third = Script::with_slots(1).share(2, 3, false).play();
    assert_eq!(
        third.starts(),
        "P1 | P2 | S1 | E5 | S2 | E6 | F1 | E1 | F4 | E4 | F2 | E2 | F3 | E3"
    );
}

#[test]
fn what_another_process_has_given_up_fails_here_with_its_reason_and_blocks() {
    let played = Script::with_slots(2)
        .answers("P1", &[LeaseReply::Hopeless("tried twice".to_owned())])
        .answers(
            "S1",
            &[LeaseReply::Theirs, LeaseReply::Hopeless("lost".to_owned())],
        )
        .slow("P2")
        .play();
    assert_eq!(played.ended, Ended::Done);
    assert_eq!(played.told_of("P1"), ["failed elsewhere P1: tried twice"]);
    assert_eq!(played.blocked_by("P1"), "F1 E1 F2 E2");
    assert_eq!(
        played.told_of("S1"),
        ["elsewhere S1", "failed elsewhere S1: lost"]
    );
    assert_eq!(played.blocked_by("S1"), "E5");
    // It counts as a failure.
    let played = Script::with_slots(1)
        .answers("P2", &[LeaseReply::Hopeless("tried twice".to_owned())])
        .most_failures(1)
        .play();
    assert_eq!(played.starts(), "P1");
    assert_eq!(played.ended, Ended::GaveUp);
}

#[test]
fn who_has_nothing_to_do_for_long_leaves_the_rest_to_others() {
    let theirs = vec![LeaseReply::Theirs; 50];
    let idle = Duration::from_millis(700);
    let played = Script::with_slots(2)
        .answers("P1", &theirs)
        .idle(idle)
        .play();
    assert_eq!(played.ended, Ended::Idle);
    assert_eq!(played.which(&State::Elsewhere), "P1");
    assert_eq!(played.counts.finished, STAGES - 5);
    // Without such a time it waits.
    let soon = vec![LeaseReply::Theirs, LeaseReply::Theirs, LeaseReply::Made];
    let played = Script::with_slots(2).answers("P1", &soon).play();
    assert_eq!(played.ended, Ended::Done);
    // Nobody else runs a fixed share: P1 is the first of 14, and F1 waits for it.
    let played = Script::with_slots(2)
        .answers("P1", &[&soon[..2], &soon[..2], &soon[..]].concat())
        .share(2, 14, true)
        .idle(Duration::from_millis(300))
        .play();
    assert_eq!(played.ended, Ended::Done);
}

#[test]
fn what_only_unwanted_runs_need_is_unneeded() {
    let played = Script::with_slots(1).unwanted("E1 E2 E3 E6").play();
    assert_eq!(played.which(&State::Unneeded), "P1 F1 E1 F2 E2 F3 E3 S2 E6");
    assert_eq!(played.starts(), "P2 | S1 | E5 | F4 | E4");
}

/// Slots of all kinds that together take every stage.
fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let among = |slots: &'static [Slot]| prop::sample::select(slots);
    (
        among(&[TRAININGS, EVERYTHING]),
        among(&[EVALUATIONS, EVERYTHING]),
        vec(among(&[TRAININGS, EVALUATIONS, EVERYTHING]), 0..4),
        any::<bool>(),
    )
        .prop_map(|(first, second, more, alone)| match alone {
            true => vec![EVERYTHING],
            false => [vec![first, second], more].concat(),
        })
}

fn answers(others: bool) -> BoxedStrategy<Vec<LeaseReply>> {
    let made = Just(vec![LeaseReply::Made]);
    let hopeless = Just(vec![LeaseReply::Hopeless("given up".to_owned())]);
    let alone = prop_oneof![18 => Just(Vec::new()), 2 => made, 1 => hopeless];
    let elsewhere = Just(vec![LeaseReply::Theirs]);
    let later = Just(vec![LeaseReply::Theirs, LeaseReply::Made]);
    match others {
        true => prop_oneof![8 => alone, 1 => elsewhere, 1 => later].boxed(),
        false => alone.boxed(),
    }
}

fn news() -> impl Strategy<Value = News> {
    prop_oneof![
        10 => Just(progress()),
        20 => Just(News::Finished),
        10 => Just(accident()),
        5 => Just(mistake()),
        1 => Just(no_space()),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let most = prop::option::weighted(0.4, 1_usize..4);
    (0_usize..3, most).prop_map(|(retries, most_failures)| Policy {
        retries,
        most_failures,
        idle: None,
    })
}

/// Runs of all courses. Waiting for others takes its time.
fn scripts(others: bool) -> impl Strategy<Value = Script> {
    let rarely = || vec(prop::bool::weighted(0.15), STAGES);
    let queues = |values: Vec<Vec<LeaseReply>>| values.into_iter().map(VecDeque::from).collect();
    let stages = (
        rarely(),
        rarely(),
        vec(answers(others), STAGES).prop_map(queues),
        vec(vec(news(), 0..3).prop_map(VecDeque::from), STAGES),
    );
    let keep = prop::sample::select(&["pretrained", "all"]);
    let turns = vec(0_usize..60, 0..60);
    let interrupts = vec(0_usize..40, 0..2);
    let share = (1_usize..4, 0_usize..3).prop_map(|(of, index)| Share {
        index: index % of,
        of,
        fixed: false,
    });
    (keep, policies(), slots(), stages, turns, interrupts, share).prop_map(
        |(keep, policy, slots, (intact, unwanted, answers, news), turns, interrupts, share)| {
            Script {
                share,
                grid: Grid::get(keep),
                policy,
                slots,
                intact,
                unwanted,
                answers,
                news,
                turns: turns.into(),
                interrupts,
                ..Script::with_slots(0)
            }
        },
    )
}

/// What holds of every run is checked wherever a script is played: no call out of order, no idle
/// slot, counts that agree with the events, the states and each other, an end with all its reasons.
fn check(script: Script) {
    let played = script.play();
    let starts = played
        .told()
        .iter()
        .filter(|told| told.starts_with("started"))
        .count();
    assert_eq!(starts, played.trace.granted().len());
    assert_eq!(starts, played.trace.released.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_run_keeps_its_order_its_counts_and_comes_to_its_end(script in scripts(false)) {
        check(script);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn so_does_every_run_beside_others(script in scripts(true)) {
        check(script);
    }
}

#[test]
fn what_stays_elsewhere_is_looked_at_less_and_less_often() {
    let theirs = || LeaseReply::Theirs;
    let played = Script::with_slots(1)
        .answers(
            "S1",
            &[theirs(), theirs(), theirs(), theirs(), LeaseReply::Made],
        )
        .answers("S2", &[theirs(), LeaseReply::Made])
        .intact("P1 P2 E1 E2 E3 E4 F1 F2")
        .play();
    let waits: Vec<Duration> = played.trace.waits.iter().flatten().copied().collect();
    let longer: Vec<bool> = waits.windows(2).map(|pair| pair[1] > pair[0]).collect();
    assert!(longer.contains(&true), "{waits:?}");
    // S2 came back with the first look: nothing was lost until then.
    assert_eq!(waits[0], waits[1], "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(30)));
}
