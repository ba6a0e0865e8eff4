//! What to do about an error of Slurm's commands, by their own words.

/// Parts of the errors of Slurm's commands, each with the remedy.
const REMEDIES: [(&str, &str); 18] = [
    (
        "Invalid account",
        "set `account` (`sacctmgr show associations user=$USER` lists yours)",
    ),
    ("invalid partition", "set `partition` (`sinfo` lists them)"),
    (
        "Invalid qos",
        "set `qos` (`sacctmgr show associations user=$USER` lists yours)",
    ),
    ("Invalid job array", "set fewer `pilots`"),
    ("QOSMaxSubmitJob", "set fewer `pilots`, or another `qos`"),
    (
        "AssocMaxSubmitJob",
        "set fewer `pilots`, or another `account`",
    ),
    ("job submit limit", "set fewer `pilots`, or another `qos`"),
    ("time limit is invalid", "set a shorter `time`"),
    (
        "configuration is not available",
        "set other `gpus`, `cpus`, `memory` or `constraint`",
    ),
    (
        "Invalid generic resource",
        "set `gpus` as the partition has them (`sinfo -o '%P %G'`)",
    ),
    (
        "Invalid feature",
        "set another `constraint` (`sinfo -o '%P %f'` lists them)",
    ),
    ("Memory specification", "set less `memory`"),
    (
        "unrecognized option",
        "set `sbatch` as this version's `sbatch --help` lists options",
    ),
    ("Invalid job id", "it has ended, and Slurm has forgotten it"),
    (
        "Access/permission denied",
        "this job is another user's, or this node may not do that",
    ),
    (
        "Unable to contact",
        "Slurm's controller does not answer; try again in some minutes",
    ),
    (
        "Socket timed out",
        "Slurm's controller is busy; try again in some minutes",
    ),
    (
        "configuration source",
        "run this on a machine where Slurm is set up",
    ),
];

/// The remedy of an error.
pub fn remedy(error: &str) -> Option<&'static str> {
    let error = error.to_lowercase();
    let mut known = REMEDIES.iter();
    let found = known.find(|(part, _)| error.contains(&part.to_lowercase()));
    found.map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurms_own_words_lead_to_a_remedy() {
        let failed = |what: &str| format!("sbatch: error: Batch job submission failed: {what}");
        for (what, expected) in [
            (
                "Invalid account or account/partition combination specified",
                "`account`",
            ),
            ("Invalid job array specification", "`pilots`"),
            ("Invalid qos specification", "`qos`"),
            (
                "Requested time limit is invalid (missing or exceeds some limit)",
                "`time`",
            ),
            (
                "Requested node configuration is not available",
                "`constraint`",
            ),
            ("Invalid generic resource (gres) specification", "`gpus`"),
            (
                "Unable to contact slurm controller (connect failure)",
                "try again",
            ),
            ("Socket timed out on send/recv operation", "try again"),
        ] {
            assert!(remedy(&failed(what)).unwrap().contains(expected), "{what}");
        }
        let partition = "sbatch: error: invalid partition specified: gpux";
        assert!(remedy(partition).unwrap().contains("`partition`"));
        assert_eq!(remedy("sbatch: error: something else"), None);
    }
}
