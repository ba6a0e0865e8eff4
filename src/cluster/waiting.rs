//! Why a job waits: Slurm's words for it in plain ones, with what can be done.

/// A reason in plain words, after Slurm's own; an unknown one as it is. `job` is the job's number
/// as Slurm's commands take it.
pub(super) fn explained(reason: &str, job: &str) -> String {
    // Some reasons go on with the nodes that they are about.
    let word = reason.split(',').next().unwrap_or(reason).trim();
    let is_held = word.to_lowercase().contains("held") || word == "JobHoldMaxRequeue";
    let meaning = match known(word).or_else(|| family(word)) {
        Some(meaning) => meaning.to_owned(),
        None if is_held => held(job),
        None => return reason.to_owned(),
    };
    format!("{reason}: {meaning}")
}

/// What a job waits for that is held.
pub(super) fn held(job: &str) -> String {
    format!("held; `scontrol release {job}` lets it start, if its last log shows no lasting fault")
}

/// The meaning of a reason.
fn known(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "Priority" => "jobs of higher priority are before it",
        "Resources" => "no node with what it asks for is free yet",
        "JobArrayTaskLimit" => "as many elements of its array run as may at once",
        "BeginTime" => "its time to start has not come; after a requeue that is about two minutes",
        "Dependency" => "it waits for another job",
        "DependencyNeverSatisfied" => {
            "it waits for a job that did not end as it should, and never starts; cancel it"
        }
        "PartitionTimeLimit" => {
            "the partition allows shorter jobs only, and it never starts; cancel the sweep, and \
             submit it with a shorter `time` (`sinfo -o '%P %l'` lists the limits)"
        }
        "PartitionConfig" | "PartitionNodeLimit" => {
            "the partition has no node for what it asks for, and it never starts; cancel the \
             sweep, and submit it with fewer `cpus`, `gpus` or less `memory`, or elsewhere"
        }
        "BadConstraints" => {
            "no node has what it asks for, and it never starts; cancel the sweep, and submit it \
             with another `constraint`"
        }
        "PartitionDown" | "PartitionInactive" => {
            "the partition starts no jobs at present; its administrators know until when"
        }
        "ReqNodeNotAvail" => {
            "a node that it needs is down, drained or reserved, perhaps for maintenance before \
             which its `time` does not end (`scontrol show reservation`)"
        }
        "Nodes required for job are DOWN" => "its nodes are down, drained or reserved",
        "Reservation" => "it waits for its reservation",
        "Licenses" => "it waits for a licence",
        "Prolog" => "its node is being made ready",
        "Cleaning" => "its last run is being cleared away",
        "AccountNotAllowed" | "InvalidAccount" | "AccountingPolicy" => {
            "its account may not run there, and it never starts; cancel the sweep, and submit it \
             with another `account` or `partition`"
        }
        "InvalidQOS" | "QOSNotAllowed" => {
            "its quality of service may not be used there, and it never starts; cancel the sweep, \
             and submit it with another `qos`"
        }
        _ => return None,
    })
}

/// The meaning of a reason by how it is made up, as in `QOSMaxCpuPerUserLimit`.
fn family(reason: &str) -> Option<&'static str> {
    let is_of_qos = reason.starts_with("QOS");
    let is_of_account = reason.starts_with("Assoc");
    if !is_of_qos && !is_of_account {
        return None;
    }
    Some(match is_of_qos {
        _ if reason.contains("MaxWall") => {
            "its `time` is longer than its quality of service or account allows, and it never \
             starts; cancel the sweep, and submit it with a shorter one"
        }
        _ if reason.contains("PerJob") || reason.contains("QOSMin") => {
            "one job may not ask for that much or that little, and it never starts; cancel the \
             sweep, and submit it with other `cpus`, `gpus` or `memory`"
        }
        true => {
            "its quality of service allows no more at once; it starts when others of its jobs end, \
             or with another `qos`"
        }
        false => {
            "its account allows no more at once; it starts when others of its jobs end, or with \
             another `account`"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_explained_after_slurms_own_word() {
        for (reason, what) in [
            ("Priority", "higher priority"),
            ("Resources", "is free yet"),
            ("JobArrayTaskLimit", "elements of its array"),
            ("QOSMaxJobsPerUserLimit", "another `qos`"),
            ("QOSMaxCpuPerUserLimit", "another `qos`"),
            ("QOSGrpCpuLimit", "another `qos`"),
            ("QOSMaxWallDurationPerJobLimit", "a shorter one"),
            ("QOSMaxGRESPerJob", "one job may not"),
            ("QOSMinGRES", "one job may not"),
            ("AssocGrpCpuLimit", "another `account`"),
            ("AssocMaxJobsLimit", "another `account`"),
            ("AssociationResourceLimit", "another `account`"),
            ("AssocMaxWallDurationPerJobLimit", "a shorter one"),
            ("PartitionTimeLimit", "a shorter `time`"),
            ("PartitionConfig", "never starts"),
            (
                "ReqNodeNotAvail, UnavailableNodes:n[1-3]",
                "down, drained or reserved",
            ),
            ("ReqNodeNotAvail", "down, drained or reserved"),
            ("JobHeldUser", "`scontrol release 12_3`"),
            ("JobHeldAdmin", "`scontrol release 12_3`"),
            ("launch failed requeued held", "`scontrol release 12_3`"),
            ("job requeued in held state", "`scontrol release 12_3`"),
            ("JobHoldMaxRequeue", "`scontrol release 12_3`"),
            ("BeginTime", "two minutes"),
            ("Dependency", "another job"),
            ("DependencyNeverSatisfied", "never starts"),
        ] {
            let text = explained(reason, "12_3");
            assert!(text.starts_with(&format!("{reason}: ")), "{text}");
            assert!(text.contains(what), "{text}");
        }
    }

    #[test]
    fn an_unknown_reason_is_shown_as_it_is() {
        for reason in ["FrontEndDown", "a, b", "BurstBufferResources"] {
            assert_eq!(explained(reason, "12_3"), reason);
        }
    }
}
