//! Claims on which experts should annotate. They are this program's own: the paper asks the
//! question, and hopes for experts who differ.

use super::{
    check::{lacking, p_value},
    names::paper_measures,
};
use crate::{
    manifest::{Experiment, SelectionRule},
    metric::Measure,
    report::{
        CheckOutcome, Claim, ClaimCheck, OURS, Table,
        selection::{SelectionAt, SizeChoice},
        signed,
    },
    stats,
};

/// The new expert who is far from the annotators.
const FAR: u8 = 7;

pub(super) fn claims(table: &Table, spec: &Experiment) -> Vec<Claim> {
    let all = Places { table, spec };
    let mut claims = vec![all.agreement_helps_the_far()];
    let experts = spec.grid.new_experts.iter();
    claims.extend(experts.clone().map(|expert| all.unlike_beat_alike(*expert)));
    claims.extend(experts.map(|expert| all.contributions_follow_agreement(*expert)));
    claims
}

struct Places<'a> {
    table: &'a Table,
    spec: &'a Experiment,
}

impl Places<'_> {
    fn of(&self, expert: u8) -> impl Iterator<Item = &SelectionAt> {
        let all = self.table.selections.iter();
        all.filter(move |at| at.place.new_expert() == Some(expert))
    }

    /// A check in every measure, of the choices among combinations of some sizes.
    fn each(
        &self,
        expert: u8,
        sizes: [usize; 2],
        check: impl Fn(&SizeChoice, Measure) -> Option<(f64, f64)>,
    ) -> Vec<ClaimCheck> {
        let places = self.of(expert).flat_map(|at| &at.sizes);
        let places = places.filter(|size| sizes.contains(&size.experts));
        let checks = places.flat_map(|size| {
            paper_measures().map(|measure| {
                let place = format!("{} expert {expert}, k = {}", measure.name(), size.experts);
                match check(size, measure) {
                    Some((difference, p)) => ClaimCheck {
                        outcome: CheckOutcome::of_means(
                            measure.gain(difference, 0.0) > 0.0,
                            p,
                            self.spec.statistics.alpha,
                        ),
                        numbers: format!("{place}: {}, {}", signed(difference), p_value(p)),
                    },
                    None => ClaimCheck {
                        outcome: CheckOutcome::Unknown,
                        numbers: format!("{place}: runs have no value, or a rule is not there"),
                    },
                }
            })
        });
        let checks: Vec<ClaimCheck> = checks.collect();
        match checks.is_empty() {
            true => lacking("combinations to choose from"),
            false => checks,
        }
    }

    fn agreement_helps_the_far(&self) -> Claim {
        let gain = |size: &SizeChoice, measure: Measure| {
            let got = size.rule(SelectionRule::Agreement)?.got.get(&measure)?;
            Some((got.difference, got.p?))
        };
        Claim {
            name: "agreement-helps-the-far-expert",
            section: OURS,
            statement: format!(
                "One or two annotators who agree best with expert {FAR} on the support cases give \
                 a better result than annotators do in the mean, in every metric (permutation \
                 test)."
            ),
            experts: vec![FAR],
            checks: self.each(FAR, [1, 2], gain),
        }
    }

    fn unlike_beat_alike(&self, expert: u8) -> Claim {
        let gain = |size: &SizeChoice, measure: Measure| {
            let test = size.against(SelectionRule::Unlike, SelectionRule::Alike, measure)?;
            Some((test.gain, test.p))
        };
        Claim {
            name: "unlike-annotators-are-better",
            section: OURS,
            statement: format!(
                "For expert {expert} two or three annotators who agree least with each other give \
                 a better result than those who agree best, in every metric (permutation test)."
            ),
            experts: vec![expert],
            checks: self.each(expert, [2, 3], gain),
        }
    }

    fn contributions_follow_agreement(&self, expert: u8) -> Claim {
        let checks: Vec<ClaimCheck> = self.of(expert).map(|at| self.ranks(at)).collect();
        Claim {
            name: "contributions-follow-agreement",
            section: OURS,
            statement: format!(
                "The better an annotator agrees with expert {expert}, the more does the annotator \
                 contribute to Dice: Spearman's correlation is positive, with exact p below {}.",
                self.spec.statistics.alpha
            ),
            experts: vec![expert],
            checks,
        }
    }

    fn ranks(&self, at: &SelectionAt) -> ClaimCheck {
        let dice = paper_measures()[0];
        let pairs = at.contributions.iter().map(|contribution| {
            let (mean, _) = contribution.values.get(&dice)?;
            Some((contribution.agreement?, *mean))
        });
        let pairs: Option<(Vec<f64>, Vec<f64>)> = pairs.collect();
        let tested = pairs.and_then(|(agreement, contribution)| {
            let rho = stats::spearman(&agreement, &contribution).ok()?;
            Some((rho, stats::spearman_p(&agreement, &contribution).ok()?))
        });
        match tested {
            Some((rho, p)) => ClaimCheck {
                outcome: match (rho > 0.0, p < self.spec.statistics.alpha) {
                    (true, true) => CheckOutcome::Yes,
                    (true, false) => CheckOutcome::Unknown,
                    (false, _) => CheckOutcome::No,
                },
                numbers: format!(
                    "{} over {} annotators: rho {rho:.2}, {}",
                    at.place,
                    at.contributions.len(),
                    p_value(p)
                ),
            },
            None => ClaimCheck {
                outcome: CheckOutcome::Unknown,
                numbers: format!("{}: contributions or agreements are not known", at.place),
            },
        }
    }
}
