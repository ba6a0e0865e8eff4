//! Finds and reads the file that describes clusters.
//!
//! The rule: of several files, the first that describes the cluster counts. Every mistake of a file
//! that is read is reported, also one in another cluster, before it is used.

use std::{
    env, fs,
    io::{self, ErrorKind},
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use itertools::Itertools;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    durations::parse_time,
    settings::{CLUSTERS_FILE, Claiming, ClusterSettings, SettingsError, WrongSetting},
};
use crate::{manifest, suggestion};

/// The keys of a cluster.
const KEYS: [&str; 15] = [
    "scheduler",
    "partition",
    "account",
    "qos",
    "constraint",
    "time",
    "gpus",
    "cpus",
    "memory",
    "pilots",
    "leave",
    "idle",
    "before",
    "sbatch",
    "claims",
];

/// The only scheduler.
const SCHEDULER: &str = "slurm";

/// The settings of a cluster, from the file beside a manifest, in the working folder, or in the
/// user's folder of configurations.
///
/// # Errors
/// Where there is no such file or cluster, and everything that is wrong in the files read.
pub fn find(name: &str, manifest: &Path) -> Result<ClusterSettings, SettingsError> {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    find_in(
        name,
        places(manifest, variable("XDG_CONFIG_HOME"), variable("HOME")),
    )
}

/// Where the file may be, each place once.
fn places(manifest: &Path, config: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let manifest = manifest::found(manifest);
    let beside = manifest.parent().unwrap_or(Path::new(""));
    // By the specification of these folders, a relative path counts for nothing.
    let config = config.filter(|folder| folder.is_absolute());
    let config = config.or_else(|| Some(home?.join(".config")));
    let config = config.map(|folder| folder.join("expertgrid"));
    let folders = [Some(beside.to_owned()), Some(PathBuf::new()), config];
    let files = folders.into_iter().flatten();
    files
        .map(|folder| folder.join(CLUSTERS_FILE))
        .unique()
        .collect()
}

fn find_in(name: &str, places: Vec<PathBuf>) -> Result<ClusterSettings, SettingsError> {
    let (mut files, mut names) = (Vec::new(), Vec::<String>::new());
    for path in &places {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => continue,
            Err(error) => {
                let file = path.clone();
                return Err(SettingsError::Unreadable { file, error });
            }
        };
        let clusters = parse(path, &text).map_err(SettingsError::Wrong)?;
        let more = clusters.iter().map(|cluster| cluster.name.clone());
        names = names.into_iter().chain(more).unique().collect();
        if let Some(found) = clusters.into_iter().find(|cluster| cluster.name == name) {
            return Ok(found);
        }
        files.push(path.clone());
    }
    let name = name.to_owned();
    if files.is_empty() {
        let looked = places;
        return Err(SettingsError::NoFile { name, looked });
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let remedy = match known.is_empty() {
        true => format!("write a table `[{name}]` there"),
        false => suggestion::nearest(&name, &known),
    };
    Err(SettingsError::NoCluster {
        name,
        files,
        remedy,
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The clusters of a file.
fn parse(path: &Path, text: &str) -> Result<Vec<ClusterSettings>, Vec<WrongSetting>> {
    let mut file = ClustersFile {
        path,
        text,
        wrong: Vec::new(),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let what = error.message().trim_end().replace('\n', ", ");
        file.note(error.span().unwrap_or(0..0), format!("not TOML: {what}"));
    }
    if !errors.is_empty() {
        return Err(file.wrong);
    }
    let entries = document.get_ref().iter();
    let entries = entries.sorted_by_key(|(key, _)| key.span().start);
    let mut clusters = Vec::new();
    for (key, value) in entries {
        let name = key.get_ref();
        match value.get_ref() {
            DeValue::Table(table) => clusters.push(file.cluster(name, key.span(), table)),
            _ => file.note(
                key.span(),
                format!(
                    "`{name}` belongs to a cluster; write a line such as `[gpu]`, the cluster's \
                     name, above it"
                ),
            ),
        }
    }
    match file.wrong.is_empty() {
        true => Ok(clusters),
        false => Err(file.wrong),
    }
}

/// A file that is read.
struct ClustersFile<'a> {
    path: &'a Path,
    text: &'a str,
    wrong: Vec<WrongSetting>,
}

impl ClustersFile<'_> {
    fn note(&mut self, at: Range<usize>, message: String) {
        let place = self.place(&at);
        self.wrong.push(WrongSetting { place, message });
    }

    /// The place of a part of the text; line and column count from 1, columns in characters.
    fn place(&self, at: &Range<usize>) -> String {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }

    fn cluster(
        &mut self,
        name: &str,
        heading: Range<usize>,
        table: &DeTable<'_>,
    ) -> ClusterSettings {
        let mut settings = ClusterSettings::new(name, self.path);
        let before = self.wrong.len();
        let entries = table.iter().sorted_by_key(|(key, _)| key.span().start);
        let mut spans = Vec::new();
        for (key, value) in entries {
            let key_text = key.get_ref().as_ref();
            spans.push((key_text, key.span()));
            if !KEYS.contains(&key_text) {
                let nearest = suggestion::nearest(key_text, &KEYS);
                self.note(
                    key.span(),
                    format!("`{key_text}` is no key of a cluster; {nearest}"),
                );
            } else if let Err(message) = set(&mut settings, key_text, value.get_ref()) {
                self.note(value.span(), message);
            }
        }
        // Values of a wrong type are not compared with others.
        if self.wrong.len() == before {
            let place = |keys: &[&str]| {
                let span = |key: &&str| spans.iter().find(|(known, _)| known == key);
                let span = keys
                    .iter()
                    .find_map(span)
                    .map_or(&heading, |(_, span)| span);
                self.place(span)
            };
            let wrong = settings.wrong(place);
            self.wrong.extend(wrong);
        }
        settings
    }
}

/// Sets a known key; an error is half a sentence.
fn set(settings: &mut ClusterSettings, key: &str, value: &DeValue<'_>) -> Result<(), String> {
    match key {
        "scheduler" => {
            let name = text(key, value)?;
            if name != SCHEDULER {
                return Err(format!(
                    "there is no scheduler \"{name}\"; write \"{SCHEDULER}\""
                ));
            }
        }
        "partition" => settings.partition = Some(text(key, value)?),
        "account" => settings.account = Some(text(key, value)?),
        "qos" => settings.qos = Some(text(key, value)?),
        "constraint" => settings.constraint = Some(text(key, value)?),
        "memory" => settings.memory = Some(text(key, value)?),
        "time" => settings.time = time(key, value)?,
        "leave" => settings.leave = time(key, value)?,
        "idle" => settings.idle = time(key, value)?,
        "gpus" => settings.gpus = whole(key, value)?,
        "cpus" => settings.cpus = at_least_one(key, value)?,
        "pilots" => settings.pilots = at_least_one(key, value)?,
        "before" => settings.before = texts(key, value)?,
        "sbatch" => settings.sbatch = texts(key, value)?,
        "claims" => {
            let word = text(key, value)?;
            let mut words = Claiming::WORDS.iter();
            let known = words.find(|(known, _)| *known == word);
            let (_, claims) = known.ok_or_else(|| {
                let words = Claiming::WORDS.map(|(word, _)| word);
                let nearest = suggestion::nearest(&word, &words);
                format!("`claims` is \"locks\" or \"shares\", not \"{word}\"; {nearest}")
            })?;
            settings.claims = *claims;
        }
        _ => unreachable!("`{key}` is among the known keys"),
    }
    Ok(())
}

fn text(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(format!("`{key}` is a text in quotes, not {}", kind(other))),
    }
}

fn time(key: &str, value: &DeValue<'_>) -> Result<Duration, String> {
    match value {
        DeValue::String(text) => parse_time(text),
        other => Err(format!(
            "`{key}` is a text in quotes, one number and one unit such as \"4h\", not {}",
            kind(other)
        )),
    }
}

fn whole(key: &str, value: &DeValue<'_>) -> Result<usize, String> {
    let number = match value {
        DeValue::Integer(number) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("`{key}` is a whole number from 0, not {}", kind(value)))
}

fn at_least_one(key: &str, value: &DeValue<'_>) -> Result<NonZeroUsize, String> {
    let number = whole(key, value).ok().and_then(NonZeroUsize::new);
    number.ok_or_else(|| format!("`{key}` is a whole number from 1, not {}", kind(value)))
}

fn texts(key: &str, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = |found: String| format!("`{key}` is a list of texts, as in [\"...\"], not {found}");
    let one = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(wrong(format!("one with {}", kind(other)))),
    };
    match value {
        DeValue::Array(items) => items.iter().map(one).collect(),
        other => Err(wrong(kind(other))),
    }
}

/// What a value is, for an error message.
fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<ClusterSettings>, Vec<WrongSetting>> {
        parse(Path::new("clusters.toml"), text)
    }

    fn complaints(text: &str) -> String {
        parsed(text).unwrap_err().iter().join("\n")
    }

    #[test]
    fn the_documented_examples_are_read_and_every_key_is_documented() {
        let page = include_str!("../../docs/clusters.md");
        let parts = page.split("```toml\n").skip(1);
        let examples = parts.filter_map(|part| part.split("```").next());
        let read: Vec<_> = examples.map(|example| parsed(example).unwrap()).collect();
        assert!(read.len() > 1);
        let missing = KEYS
            .iter()
            .filter(|key| !page.contains(&format!("`{key}`")));
        assert_eq!(
            missing.collect::<Vec<_>>(),
            [""; 0].iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_key_is_read() {
        let read = parsed(
            r#"
            [gpu]
            scheduler = "slurm"
            partition = "gpu"
            account = "lab"
            qos = "high"
            constraint = "a100"
            time = "4h"
            gpus = 1
            cpus = 8
            memory = "16G"
            pilots = 32
            leave = "5m"
            idle = "15m"
            before = ["module load cuda/12.6"]
            sbatch = ["--exclude=gpu07"]
            claims = "shares"
            [plain]
            "#,
        );
        let [gpu, plain] = &read.unwrap()[..] else {
            panic!("there are two");
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            *gpu,
            ClusterSettings {
                name: "gpu".to_owned(),
                file: "clusters.toml".into(),
                partition: text("gpu"),
                account: text("lab"),
                qos: text("high"),
                constraint: text("a100"),
                time: Duration::from_secs(4 * 3600),
                gpus: 1,
                cpus: NonZeroUsize::new(8).unwrap(),
                memory: text("16G"),
                pilots: NonZeroUsize::new(32).unwrap(),
                leave: Duration::from_secs(300),
                idle: Duration::from_secs(900),
                before: vec!["module load cuda/12.6".to_owned()],
                sbatch: vec!["--exclude=gpu07".to_owned()],
                claims: Claiming::Shares,
            }
        );
        assert_eq!(
            *plain,
            ClusterSettings::new("plain", Path::new("clusters.toml"))
        );
        assert_eq!(
            (plain.pilots.get(), plain.cpus.get(), plain.gpus),
            (8, 1, 0)
        );
    }

    #[test]
    fn every_mistake_is_reported_with_its_place_and_the_remedy() {
        let text = "pilots = 3\n[gpu]\npartitoin = \"gpu\"\nscheduler = \"pbs\"\ntime = 4\n\
                    gpus = \"1\"\ncpus = 0\npilots = 0\nbefore = \"module\"\nsbatch = [1]\n\
                    claims = \"lock\"\nleave = \"3 m\"\nqos = true\nidle = 04:00:00\n\
                    [cpu]\ntime = \"2m\"\nsbatch = [\"--array=0-3\", \"n7\"]\nmemory = \"16\"\n";
        assert_eq!(
            complaints(text),
            "clusters.toml:1:1: `pilots` belongs to a cluster; write a line such as `[gpu]`, the \
             cluster's name, above it\n\
             clusters.toml:3:1: `partitoin` is no key of a cluster; did you mean \"partition\"?\n\
             clusters.toml:4:13: there is no scheduler \"pbs\"; write \"slurm\"\n\
             clusters.toml:5:8: `time` is a text in quotes, one number and one unit such as \
             \"4h\", not the number 4\n\
             clusters.toml:6:8: `gpus` is a whole number from 0, not the text \"1\"\n\
             clusters.toml:7:8: `cpus` is a whole number from 1, not the number 0\n\
             clusters.toml:8:10: `pilots` is a whole number from 1, not the number 0\n\
             clusters.toml:9:10: `before` is a list of texts, as in [\"...\"], not the text \
             \"module\"\n\
             clusters.toml:10:10: `sbatch` is a list of texts, as in [\"...\"], not one with the \
             number 1\n\
             clusters.toml:11:10: `claims` is \"locks\" or \"shares\", not \"lock\"; did you mean \
             \"locks\"?\n\
             clusters.toml:12:9: \"3 m\" is no time; write one number and one unit: \"90s\", \
             \"45m\" or \"4h\"\n\
             clusters.toml:13:7: `qos` is a text in quotes, not `true`\n\
             clusters.toml:14:8: `idle` is a text in quotes, one number and one unit such as \
             \"4h\", not the time 04:00:00\n\
             clusters.toml:18:1: \"16\" is no amount of memory; write a whole number and K, M, G \
             or T, such as \"16G\"\n\
             clusters.toml:16:1: `leave` (3m) is not shorter than `time` (2m), so that a pilot \
             would do nothing; write a longer `time` or a shorter `leave`\n\
             clusters.toml:17:1: `--array`: this option follows from `pilots`; set that instead\n\
             clusters.toml:17:1: `n7` is no option, and `sbatch` would take it for a script; write \
             an option and its value as one word, such as \"--exclude=n7\""
        );
        let syntax = complaints("[gpu]\ntime = 4h\n");
        assert!(syntax.starts_with("clusters.toml:2:"), "{syntax}");
        assert!(
            complaints("[gpu]\n[gpu]\n").contains("duplicate"),
            "{syntax}"
        );
    }

    #[test]
    fn the_first_file_that_describes_the_cluster_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).join(CLUSTERS_FILE);
        for (name, text) in [("beside", "[gpu]\npilots = 3"), ("home", "[gpu]\n[cpu]")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(at(name), text).unwrap();
        }
        let files = vec![at("beside"), at("nowhere"), at("home")];
        let found = |name| find_in(name, files.clone());
        assert_eq!(found("gpu").unwrap().pilots.get(), 3);
        assert_eq!(found("cpu").unwrap().file, at("home"));
        let error = found("gpuu").unwrap_err().to_string();
        let both = format!("{} or {}", at("beside").display(), at("home").display());
        assert_eq!(
            error,
            format!("no cluster `gpuu` in {both}; did you mean \"gpu\"?")
        );
        let error = found("elsewhere").unwrap_err().to_string();
        assert!(error.ends_with("known here: \"gpu\", \"cpu\""), "{error}");
        let error = find_in("gpu", vec![at("nowhere")]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("\n  {}\n", at("nowhere").display())),
            "{error}"
        );
        let example = error.split_once("the least is:\n").unwrap().1;
        let [gpu] = &parsed(example).unwrap()[..] else {
            panic!("{example}");
        };
        assert_eq!((gpu.name.as_str(), gpu.gpus), ("gpu", 1));
    }

    #[test]
    fn a_file_is_looked_for_in_three_places() {
        let path = |text: &str| Some(PathBuf::from(text));
        let of = |manifest: &str, config: Option<PathBuf>, home: Option<PathBuf>| {
            let places = places(Path::new(manifest), config, home);
            places
                .iter()
                .map(|path| path.display().to_string())
                .join(" ")
        };
        assert_eq!(
            of("my/table.toml", path("/xdg"), path("/home/me")),
            "my/clusters.toml clusters.toml /xdg/expertgrid/clusters.toml"
        );
        assert_eq!(
            of("table.toml", path("relative"), path("/home/me")),
            "clusters.toml /home/me/.config/expertgrid/clusters.toml"
        );
        assert_eq!(of("table.toml", None, None), "clusters.toml");
    }
}
