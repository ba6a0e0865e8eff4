//! One reader of folders: what a data set, `adapt`, `predict` and `metric` find in the same folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use expertgrid::data::{self, DataProblem, DataProblems, Severity, folder};
use tempfile::TempDir;

use expertgrid::manifest::FileReading;

use crate::support::nifti_file::*;

/// The folder of a case of 4 x 4 pixels with the masks of experts 1 and 2.
fn case(folder: &Path, number: u8) {
    fs::create_dir_all(folder).unwrap();
    let image: Vec<u8> = (0..16).map(|i| i + number).collect();
    NiftiFile::new(&[4, 4], &image).write(folder.join("image.nii"));
    for expert in [1, 2] {
        let values: Vec<u8> = (0..16).map(|i| u8::from(i % 3 == expert)).collect();
        NiftiFile::new(&[4, 4], &values).write(folder.join(format!("task01_seg0{expert}.nii")));
    }
}

/// Cases 1, 2 and 10 for training, and 3 for testing.
fn set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for number in [10, 2, 1] {
        case(&dir.path().join(format!("Training/case{number}")), number);
    }
    case(&dir.path().join("Validation/case3"), 3);
    dir
}

/// What each reader finds in a folder of cases: the names, and all problems.
type Found = Result<(Vec<String>, Vec<DataProblem>), DataProblems>;

/// As a data set's training cases, for `adapt`, for `predict` and for `metric`.
fn by_every_reader(dir: &TempDir) -> [Found; 4] {
    let training = dir.path().join("Training");
    [
        data::open(dir.path()).map(|set| {
            let names = set.training.iter().map(|case| case.name.clone());
            (names.collect(), set.warnings)
        }),
        of_adapt(&training),
        of_predict(&training),
        of_metric(&training),
    ]
}

fn of_adapt(dir: &Path) -> Found {
    folder::annotated(dir, 1, &FileReading::default()).map(|found| {
        let names = found.cases.iter().map(|case| case.name.clone());
        (names.collect(), found.warnings)
    })
}

fn of_predict(dir: &Path) -> Found {
    folder::images(&[dir.to_owned()], &FileReading::default()).map(|found| {
        let names = found.images.iter().map(|image| image.name.clone());
        (names.collect(), found.warnings)
    })
}

fn of_metric(dir: &Path) -> Found {
    folder::masks(dir, Some(1)).map(|found| {
        let names = found.masks.into_iter().map(|(name, _)| name);
        (names.collect(), found.warnings)
    })
}

/// The paths of all warnings below a folder.
fn told(dir: &TempDir, warnings: &[DataProblem]) -> Vec<PathBuf> {
    let below = |problem: &DataProblem| problem.path.strip_prefix(dir.path()).unwrap().to_owned();
    let mut paths: Vec<PathBuf> = warnings.iter().map(below).collect();
    paths.sort();
    paths
}

#[test]
fn all_commands_read_the_same_names_in_the_same_order() {
    let dir = set();
    let at = |name: &str| dir.path().join("Training").join(name);
    fs::rename(at("case1/image.nii"), at("case1/image.NII")).unwrap();
    fs::rename(at("case1/task01_seg01.nii"), at("case1/task01_seg1.nii")).unwrap();
    fs::rename(
        at("case2/task01_seg01.nii"),
        at("case2/task01_seg001.Nii.Gz"),
    )
    .unwrap();
    // Gzip is told by the bytes.
    fs::write(at("case2/._image.nii"), "the system's").unwrap();
    fs::write(at(".DS_Store"), "the system's").unwrap();
    for found in by_every_reader(&dir) {
        let (names, warnings) = found.unwrap();
        assert_eq!(names, ["case1", "case2", "case10"]);
        assert_eq!(warnings, []);
    }
}

#[test]
fn what_one_command_leaves_out_all_tell_of() {
    let dir = set();
    let at = |name: &str| dir.path().join("Training").join(name);
    fs::create_dir(at("case4")).unwrap();
    fs::create_dir(at("case1/old")).unwrap();
    fs::write(at("notes.txt"), "").unwrap();
    fs::write(at("case1/image.png"), "").unwrap();
    fs::write(at("case2/expert1.nii.gz"), "").unwrap();
    let odd = [
        "case1/image.png",
        "case1/old",
        "case2/expert1.nii.gz",
        "case4",
        "notes.txt",
    ];
    let odd = odd.map(|name| Path::new("Training").join(name));
    for found in by_every_reader(&dir) {
        let (names, warnings) = found.unwrap();
        assert_eq!(names, ["case1", "case2", "case10"]);
        assert_eq!(told(&dir, &warnings), odd);
        let of = |name: &str| {
            let mut all = warnings.iter().filter(|w| w.path == at(name));
            all.next().unwrap().to_string()
        };
        assert!(of("case1/image.png").contains("convert it"), "{warnings:?}");
        assert!(
            of("case2/expert1.nii.gz").contains("rename it"),
            "{warnings:?}"
        );
        assert!(
            of("case1/old").contains("is a folder within a case"),
            "{warnings:?}"
        );
        assert!(of("case4").contains("is an empty folder"), "{warnings:?}");
    }
}

#[test]
fn a_folder_beside_those_of_training_and_test_is_told_of() {
    let dir = set();
    case(&dir.path().join("Testing/case5"), 5);
    fs::create_dir(dir.path().join(".cache")).unwrap();
    fs::write(dir.path().join("LICENCE"), "").unwrap();
    let set = data::open(dir.path()).unwrap();
    assert_eq!(told(&dir, &set.warnings), [Path::new("Testing")]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_those_that_lead_nowhere_are_errors() {
    use std::os::unix::fs::symlink;

    let dir = set();
    let at = |name: &str| dir.path().join("Training").join(name);
    // A case that lies elsewhere has the name of its link.
    case(&dir.path().join("elsewhere/scan7"), 7);
    symlink("../elsewhere/scan7", at("case7")).unwrap();
    symlink(".", at("same")).unwrap();
    for found in by_every_reader(&dir) {
        let (names, warnings) = found.unwrap();
        assert_eq!(names, ["case1", "case2", "case7", "case10"]);
        let loops = warnings
            .iter()
            .filter(|w| w.path == at("same"))
            .collect::<Vec<_>>();
        assert_eq!(loops.len(), 1, "{warnings:?}");
        assert!(loops[0].what.contains("a folder that it lies in itself"));
    }
    symlink("nowhere", at("case8")).unwrap();
    symlink("round", at("round")).unwrap();
    symlink("gone.nii", at("case2/task01_seg03.nii")).unwrap();
    for found in by_every_reader(&dir) {
        let problems = found.unwrap_err().0;
        let errors = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        assert_eq!(errors.len(), 3, "{errors:#?}");
        for (path, what) in [
            ("case8", "is a link to nowhere, which does not exist"),
            ("round", "is a link to round, which leads nowhere"),
            (
                "case2/task01_seg03.nii",
                "is a link to gone.nii, which does not exist",
            ),
        ] {
            let expected = format!("{}: {what}", at(path).display());
            assert!(
                errors.iter().any(|error| error.contains(&expected)),
                "{errors:#?}"
            );
        }
    }
}

#[test]
fn two_files_of_one_meaning_are_an_error_for_every_command() {
    let dir = set();
    let at = |name: &str| dir.path().join("Training/case1").join(name);
    fs::copy(at("task01_seg01.nii"), at("task01_seg1.NII.GZ")).unwrap();
    fs::copy(at("image.nii"), at("image.nii.gz")).unwrap();
    for found in by_every_reader(&dir) {
        let said = found.unwrap_err().to_string();
        let mask = "task01_seg1.NII.GZ: is a mask of expert 1, and so is `task01_seg01.nii`";
        assert!(said.contains(mask), "{said}");
        let image = "image.nii.gz: is an image of the case, and so is `image.nii`";
        assert!(said.contains(image), "{said}");
    }
}

#[test]
fn the_folder_of_one_case_and_a_whole_data_set_are_what_they_are_for_every_command() {
    let dir = set();
    let one = dir.path().join("Training/case2");
    for found in [of_adapt(&one), of_predict(&one), of_metric(&one)] {
        let (names, warnings) = found.unwrap();
        assert_eq!((names, warnings), (vec!["case2".to_owned()], Vec::new()));
    }
    for found in [
        of_adapt(dir.path()),
        of_predict(dir.path()),
        of_metric(dir.path()),
    ] {
        let said = found.unwrap_err().to_string();
        assert!(said.contains("is a whole data set"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn files_beside_the_folders_of_cases_are_read_or_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    case(&at("case2"), 2);
    let image: Vec<u8> = (0..16).collect();
    NiftiFile::new(&[4, 4], &image).write(at("b10.nii"));
    NiftiFile::new(&[4, 4], &image).write(at("b9.NII"));
    let (names, warnings) = of_predict(dir.path()).unwrap();
    assert_eq!(
        (names, warnings),
        (["b9", "b10", "case2"].map(str::to_owned).into(), Vec::new())
    );
    let (names, warnings) = of_metric(dir.path()).unwrap();
    assert_eq!(
        (names, warnings),
        (["b9", "b10", "case2"].map(str::to_owned).into(), Vec::new())
    );
    let unasked = folder::masks(dir.path(), None).unwrap();
    assert_eq!(unasked.masks.len(), 2);
    assert_eq!(told(&dir, &unasked.warnings), [Path::new("case2")]);
    let (names, warnings) = of_adapt(dir.path()).unwrap();
    assert_eq!(names, ["case2"]);
    assert_eq!(told(&dir, &warnings), ["b10.nii", "b9.NII"].map(Path::new));
}

#[test]
fn a_folder_that_is_none_is_refused_for_what_it_is() {
    let dir = set();
    let file = dir.path().join("Training/case1/image.nii");
    let nowhere = dir.path().join("nowhere");
    for found in [
        of_adapt(&nowhere),
        of_predict(&nowhere),
        of_metric(&nowhere),
    ] {
        let said = found.unwrap_err().to_string();
        assert!(
            said.ends_with("nowhere: does not exist; check the path"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    for found in [of_adapt(&file), of_metric(&file)] {
        let said = found.unwrap_err().to_string();
        assert!(
            said.ends_with("image.nii: is not a folder; give a folder of cases"),
            "{said}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt;

    let dir = set();
    let closed = dir.path().join("Training/case2");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&closed).is_ok();
    let found = by_every_reader(&dir);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    if readable {
        eprintln!("skipped: this user may read every folder");
        return;
    }
    for found in found {
        let said = found.unwrap_err().to_string();
        let expected = "case2: is a folder that you may not read; check its permissions";
        assert!(said.contains(expected), "{said}");
    }
}
