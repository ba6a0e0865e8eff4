//! The words that a user adds to the call of `sbatch`: which of them the program sets itself.
//!
//! `sbatch` takes the last of two options that say the same, so a word here could undo what a pilot
//! relies on without an error anywhere.

/// What to do about an option that is refused.
#[derive(Clone, Copy, Debug)]
enum Instead {
    /// The program needs it as it is.
    Own,
    /// A setting says the same.
    Setting(&'static str),
    /// It cannot work with an array of pilots.
    Never(&'static str),
}

/// An option of `sbatch` that is refused: its short letter, its long name, and what to do.
const REFUSED: [(Option<char>, &str, Instead); 25] = [
    (Some('a'), "array", Instead::Setting("pilots")),
    (None, "requeue", Instead::Own),
    (None, "no-requeue", Instead::Own),
    (None, "signal", Instead::Setting("leave")),
    (Some('J'), "job-name", Instead::Own),
    (Some('o'), "output", Instead::Own),
    (Some('e'), "error", Instead::Own),
    (Some('D'), "chdir", Instead::Own),
    (None, "parsable", Instead::Own),
    (Some('W'), "wait", Instead::Own),
    (None, "open-mode", Instead::Own),
    (None, "wrap", Instead::Own),
    (Some('d'), "dependency", Instead::Own),
    (Some('p'), "partition", Instead::Setting("partition")),
    (Some('A'), "account", Instead::Setting("account")),
    (Some('q'), "qos", Instead::Setting("qos")),
    (Some('C'), "constraint", Instead::Setting("constraint")),
    (Some('t'), "time", Instead::Setting("time")),
    (Some('c'), "cpus-per-task", Instead::Setting("cpus")),
    (None, "mem", Instead::Setting("memory")),
    (
        Some('M'),
        "clusters",
        Instead::Never("jobs are looked for in the cluster of this machine"),
    ),
    (
        None,
        "test-only",
        Instead::Never("no job would be submitted"),
    ),
    (
        Some('V'),
        "version",
        Instead::Never("no job would be submitted"),
    ),
    (
        Some('h'),
        "help",
        Instead::Never("no job would be submitted"),
    ),
    (None, "usage", Instead::Never("no job would be submitted")),
];

/// The short options without a value: further ones may follow in the same word.
const FLAGS: &str = "hHIkOQsvVW";

/// Why a word cannot be added, and what to do, as half a sentence.
pub(super) fn refused(word: &str) -> Option<String> {
    let (option, instead) = match word.strip_prefix("--") {
        Some("") => return Some(no_option(word)),
        Some(long) => long_option(long)?,
        None => match word.strip_prefix('-') {
            Some("") | None => return Some(no_option(word)),
            Some(letters) => short_option(letters)?,
        },
    };
    let why = match instead {
        Instead::Own => "the program sets this option itself; leave it out".to_owned(),
        Instead::Setting(key) => format!("this option follows from `{key}`; set that instead"),
        Instead::Never(why) => format!("{why}; leave it out"),
    };
    // The word may be much longer than its option.
    Some(format!("`{option}`: {why}"))
}

fn no_option(word: &str) -> String {
    format!(
        "`{word}` is no option, and `sbatch` would take it for a script; write an option and its \
         value as one word, such as \"--exclude=n7\""
    )
}

/// The option that `--name` or `--name=value` stands for; its name may be cut short.
fn long_option(long: &str) -> Option<(String, Instead)> {
    let name = long.split('=').next().unwrap_or(long);
    let exact = REFUSED.iter().find(|(_, known, _)| *known == name);
    let shortened = || {
        let may_be = |known: &str| name.len() > 2 && known.starts_with(name);
        REFUSED.iter().find(|(_, known, _)| may_be(known))
    };
    let (_, known, instead) = exact.or_else(shortened)?;
    Some((format!("--{known}"), *instead))
}

/// The first refused option among the letters of a word such as `-HW` or `-J8`.
fn short_option(letters: &str) -> Option<(String, Instead)> {
    for letter in letters.chars() {
        let known = REFUSED.iter().find(|(short, ..)| *short == Some(letter));
        if let Some((_, _, instead)) = known {
            return Some((format!("-{letter}"), *instead));
        }
        if !FLAGS.contains(letter) {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_sets_is_refused_in_every_spelling() {
        for word in [
            "--array=0-3",
            "--array",
            "-a0-3",
            "--requeue",
            "--no-requeue",
            "--signal=TERM@9",
            "--sig=TERM@9",
            "-J",
            "-Jname",
            "--job-name=x",
            "-o",
            "-ox.log",
            "--output=x",
            "--error=x",
            "-e",
            "-D/",
            "--chdir=/",
            "--parsable",
            "--pars",
            "--wait",
            "-W",
            "-HW",
            "--open-mode=truncate",
            "--wrap=hostname",
            "-d",
            "--dependency=afterok:1",
            "-t4",
            "--time=60",
            "--partition=gpu",
            "--mem=3G",
            "-M",
            "--test-only",
        ] {
            assert!(refused(word).is_some(), "{word}");
        }
        for word in [
            "--exclude=gpu07",
            "-x",
            "-xgpu07",
            "--nice",
            "--wait-all-nodes=1",
            "--time-min=10",
            "--mem-per-cpu=2G",
            "--gres=gpu:a100:1",
            "--exclusive",
            "--reservation=lab",
            "--comment=a=--array",
            "-H",
            "-Lmatlab",
            "--export=NONE",
            "--mail-type=END",
            "--nodelist=n1",
            "-wn1",
        ] {
            assert_eq!(refused(word), None, "{word}");
        }
    }

    #[test]
    fn a_refusal_names_the_option_and_what_to_do() {
        let of = |word| refused(word).unwrap();
        assert!(
            of("--job-n=x").starts_with("`--job-name`: the program sets"),
            "{}",
            of("--job-n")
        );
        assert!(of("-t60").contains("`time`; set that"), "{}", of("-t60"));
        for word in ["n7", "", "-", "--"] {
            assert!(of(word).contains("would take it for a script"), "{word}");
        }
    }
}
