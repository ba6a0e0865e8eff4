//! What `expertgrid plan --cluster` says of the pilots of a sweep.

use super::{
    super::{Failure, Selection},
    ClusterArguments, job_of,
};
use crate::{
    cluster,
    key::Digest,
    pilots::{SweepFolder, name_of},
};

impl ClusterArguments {
    /// How many pilots would run so many stages, and the call of `sbatch`; `digest` is of what is
    /// to be run.
    pub(in super::super) fn planned(
        &self,
        name: &str,
        selection: &Selection,
        digest: &Digest,
        stages: usize,
        device_hours: Option<f64>,
    ) -> Result<String, Failure> {
        let settings = self.settings(name, &selection.manifest_files()[0])?;
        let pilots = settings.pilots.get().min(stages);
        if pilots == 0 {
            return Ok(format!(
                "cluster {name}: nothing is left, no pilot is submitted"
            ));
        }
        let folder = SweepFolder::of(&selection.results_dir(), &name_of(digest));
        let path = std::path::absolute(folder.path()).unwrap_or(folder.path().to_owned());
        let elements = cluster::ranges(0..pilots);
        let words = cluster::words(&settings, &path, &job_of(digest), &elements);
        let hours = match device_hours {
            Some(hours) => {
                format!("about {hours:.1} pilot-hours, by the times of stages that have run here")
            }
            None => "pilot-hours are not known, since no such stage has run here".to_owned(),
        };
        Ok(format!(
            "cluster {name}: {pilots} pilots of {} each, queued again until all is done; \
             {hours}\n  {}",
            cluster::in_words(settings.time),
            cluster::line(&words)
        ))
    }
}
