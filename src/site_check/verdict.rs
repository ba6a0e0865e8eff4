//! What the findings of two nodes mean for sweeps.

use std::path::Path;

use super::{
    findings::{Lock, Met, NodeFindings},
    folder::{Queuing, SiteCheck},
};
use crate::{cluster::Claiming, pilots::LOCKS_REMEDY};

/// The longest that the store waits for a name that is listed, in seconds.
const NAMES_TAKE: f64 = 90.0;

/// Clocks that are further apart make times in journals misleading, in seconds.
const CLOCKS_APART: f64 = 60.0;

/// What was found, in lines to show, and what is wrong, each with its remedy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What was found.
    pub lines: Vec<String>,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// Judges what two nodes have found in `folder`, and of themselves.
pub fn of_nodes(check: &SiteCheck, folder: &Path, nodes: &[NodeFindings; 2]) -> Judged {
    let mut judged = Judged::default();
    for node in nodes {
        judged.node(check, node);
    }
    let [one, other] = nodes;
    match (&one.met, &other.met) {
        (Ok(first), Ok(second)) => judged.met(check, [one, other], [first, second]),
        (first, second) => {
            let why = [first, second]
                .into_iter()
                .filter_map(|met| met.as_ref().err());
            for why in why {
                judged.wrong.push(format!(
                    "{why}; nodes do not see each other's files in {}: keep the results in a \
                     folder that all nodes share, with `--results DIR`",
                    folder.display()
                ));
            }
        }
    }
    judged
}

/// Judges whether a job is queued again where it asks for it; `None` where it did not come so far.
pub fn of_queuing(queuing: Option<&Queuing>) -> Judged {
    let mut judged = Judged::default();
    match queuing {
        Some(Queuing::BeganAgain(host)) => {
            let line = format!("the job was queued again, and began again on {host}");
            judged.lines.push(line);
        }
        Some(Queuing::Refused(why)) => judged.wrong.push(format!(
            "a job could not be queued again from its node: {why}; a pilot whose time is up ends, \
             and the command that submitted the sweep submits it again; a longer `time` makes that \
             rarer"
        )),
        Some(Queuing::Asked) => judged.wrong.push(
            "the job was to be queued again, and has ended instead; a pilot whose time is up ends, \
             and the command that submitted the sweep submits it again; whether this partition \
             lets jobs be queued again (`JobRequeue`), its administrators know"
                .to_owned(),
        ),
        None => {}
    }
    judged
}

impl Judged {
    fn node(&mut self, check: &SiteCheck, node: &NodeFindings) {
        let NodeFindings {
            host,
            cores,
            isa,
            cards,
            sees_directory,
            met: _,
        } = node;
        let cards_told = match cards {
            Ok(0) => String::new(),
            Ok(1) => ", one CUDA device".to_owned(),
            Ok(count) => format!(", {count} CUDA devices"),
            Err(why) => format!(", no CUDA device ({why})"),
        };
        let s = if *cores == 1 { "" } else { "s" };
        self.lines
            .push(format!("{host}: {cores} core{s}, {isa}{cards_told}"));
        let (asked, found) = (check.settings.gpus, *cards.as_ref().unwrap_or(&0));
        if found < asked {
            self.wrong.push(format!(
                "{host}: a pilot asks for `gpus = {asked}` and this program finds {found} there; \
                 look at the driver and at `CUDA_VISIBLE_DEVICES` on this node, or leave `gpus` out"
            ));
        }
        if !sees_directory {
            self.wrong.push(format!(
                "{host} sees no {}, the folder in which this command was given; give it in a \
                 folder that every node sees",
                check.directory.display()
            ));
        }
    }

    fn met(&mut self, check: &SiteCheck, nodes: [&NodeFindings; 2], met: [&Met; 2]) {
        let hosts = format!("{} and {}", nodes[0].host, nodes[1].host);
        let most = |of: fn(&Met) -> f64| met.iter().map(|met| of(met)).fold(0.0, f64::max);
        self.lines.push(format!(
            "{hosts} see one folder: a new file is listed after {}",
            seconds(most(|met| met.listed_after))
        ));
        match met
            .iter()
            .map(|met| met.named_after)
            .collect::<Option<Vec<f64>>>()
        {
            Some(named) => {
                let longest = named.into_iter().fold(0.0, f64::max);
                self.lines.push(format!(
                    "a name that was asked for too early is found {} after it is listed",
                    seconds(longest)
                ));
                if longest > NAMES_TAKE {
                    self.wrong.push(format!(
                        "names are found {} after they are listed, and stages wait {NAMES_TAKE} s \
                         for what others have made; mount the file system with a shorter \
                         `acdirmax`",
                        seconds(longest)
                    ));
                }
            }
            None => self.wrong.push(
                "a name that was asked for too early was not found at all, though it was listed; \
                 mount the file system with a shorter `acdirmax`, or keep the results in another \
                 folder, with `--results DIR`"
                    .to_owned(),
            ),
        }
        let apart = most(|met| met.behind.abs());
        self.lines
            .push(format!("their clocks are {} apart at most", seconds(apart)));
        if apart > CLOCKS_APART {
            self.wrong.push(format!(
                "the clocks of {hosts} are {} apart, so that times in `status` and `logs` mislead; \
                 ask the administrators to set them by a time server",
                seconds(apart)
            ));
        }
        self.locks(check, nodes, met);
    }

    fn locks(&mut self, check: &SiteCheck, nodes: [&NodeFindings; 2], met: [&Met; 2]) {
        for (node, met) in nodes.into_iter().zip(met) {
            let (here, there) = (&node.host, &met.other);
            match &met.lock {
                Lock::Refused(Some(after)) => self.lines.push(format!(
                    "a lock that {there} holds is refused on {here}, and given {} after it is \
                     released",
                    seconds(*after)
                )),
                Lock::Refused(None) => self.wrong.push(format!(
                    "a lock that {there} has released is not given on {here}; {LOCKS_REMEDY}"
                )),
                what if check.settings.claims == Claiming::Shares => self.lines.push(format!(
                    "{}; `claims = \"shares\"` needs none",
                    unfit(what, here, there)
                )),
                what => {
                    let what = unfit(what, here, there);
                    self.wrong.push(format!("{what}; {LOCKS_REMEDY}"));
                }
            }
        }
    }
}

fn unfit(lock: &Lock, here: &str, there: &str) -> String {
    match lock {
        Lock::Impossible(error) => format!("there are no locks on {here} ({error})"),
        _ => format!("a lock that {there} holds is given on {here} too: locks are not shared"),
    }
}

fn seconds(time: f64) -> String {
    match time {
        ..1.0 => format!("{:.0} ms", time * 1000.0),
        ..10.0 => format!("{time:.1} s"),
        _ => format!("{time:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterSettings;

    fn check() -> SiteCheck {
        SiteCheck {
            settings: ClusterSettings::new("gpu", Path::new("clusters.toml")),
            directory: "/home/me".into(),
        }
    }

    /// A site where all is well.
    fn nodes() -> [NodeFindings; 2] {
        [("n1", "n2"), ("n2", "n1")].map(|(host, other)| NodeFindings {
            host: host.to_owned(),
            cores: 4,
            isa: "avx2".to_owned(),
            cards: Ok(0),
            sees_directory: true,
            met: Ok(Met {
                other: other.to_owned(),
                named_after: Some(20.2),
                listed_after: 0.05,
                behind: -0.004,
                lock: Lock::Refused(Some(1.25)),
            }),
        })
    }

    fn judged(check: &SiteCheck, nodes: &[NodeFindings; 2]) -> Judged {
        of_nodes(check, Path::new("/data/r"), nodes)
    }

    #[test]
    fn a_site_where_all_is_well_has_nothing_wrong() {
        let judged = judged(&check(), &nodes());
        assert_eq!(judged.wrong, [""; 0]);
        assert_eq!(
            judged.lines,
            [
                "n1: 4 cores, avx2",
                "n2: 4 cores, avx2",
                "n1 and n2 see one folder: a new file is listed after 50 ms",
                "a name that was asked for too early is found 20 s after it is listed",
                "their clocks are 4 ms apart at most",
                "a lock that n2 holds is refused on n1, and given 1.2 s after it is released",
                "a lock that n1 holds is refused on n2, and given 1.2 s after it is released",
            ]
        );
    }

    /// The only thing that is wrong after a change to the findings of both nodes.
    fn wrong(check: &SiteCheck, change: impl Fn(&mut NodeFindings)) -> String {
        let mut nodes = nodes();
        nodes.iter_mut().for_each(change);
        let wrong = judged(check, &nodes).wrong;
        assert!((1..=2).contains(&wrong.len()), "{wrong:?}");
        wrong[0].clone()
    }

    fn met(change: impl Fn(&mut Met)) -> impl Fn(&mut NodeFindings) {
        move |node| change(node.met.as_mut().unwrap())
    }

    #[test]
    fn each_fault_has_its_remedy() {
        let here = check();
        let granted = wrong(&here, met(|met| met.lock = Lock::Granted));
        assert!(
            granted.contains("given on n1 too") && granted.contains("shares"),
            "{granted}"
        );
        let none = met(|met| met.lock = Lock::Impossible("not implemented".to_owned()));
        assert!(wrong(&here, none).contains("not implemented"));
        let kept = wrong(&here, met(|met| met.lock = Lock::Refused(None)));
        assert!(kept.contains("has released"), "{kept}");
        let late = wrong(&here, met(|met| met.named_after = Some(95.0)));
        assert!(late.contains("95 s") && late.contains("acdirmax"), "{late}");
        let never = wrong(&here, met(|met| met.named_after = None));
        assert!(never.contains("not found at all"), "{never}");
        let clocks = wrong(&here, met(|met| met.behind = -300.0));
        assert!(clocks.contains("300 s apart"), "{clocks}");
        let unseen = wrong(&here, |node| node.met = Err("n1 waited".to_owned()));
        assert!(
            unseen.contains("/data/r") && unseen.contains("--results"),
            "{unseen}"
        );
        let directory = wrong(&here, |node| node.sees_directory = false);
        assert!(directory.contains("/home/me"), "{directory}");
        let mut gpu = check();
        gpu.settings.gpus = 2;
        let cards = wrong(&gpu, |node| node.cards = Err("no driver".to_owned()));
        assert!(cards.contains("`gpus = 2`"), "{cards}");
    }

    #[test]
    fn fixed_shares_need_no_locks() {
        let mut shares = check();
        shares.settings.claims = Claiming::Shares;
        let mut nodes = nodes();
        nodes
            .iter_mut()
            .for_each(met(|met| met.lock = Lock::Granted));
        assert_eq!(judged(&shares, &nodes).wrong, [""; 0]);
    }

    #[test]
    fn a_job_that_is_not_queued_again_is_told() {
        assert_eq!(
            of_queuing(Some(&Queuing::BeganAgain("n1".into()))).wrong,
            [""; 0]
        );
        let refused = of_queuing(Some(&Queuing::Refused("access denied".into())));
        assert!(refused.wrong[0].contains("access denied"));
        assert_eq!(of_queuing(Some(&Queuing::Asked)).wrong.len(), 1);
        assert_eq!(of_queuing(None), Judged::default());
    }
}
