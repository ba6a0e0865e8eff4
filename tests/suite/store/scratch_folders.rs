//! Which folders of what is being written are swept: those whose owner is gone for certain.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use expertgrid::{pilots::SweepFolder, store::Store};

/// A folder as its owner leaves it, with something half-written in it.
fn left(parent: &Path, name: &str, unchanged_for: Duration) -> PathBuf {
    let folder = parent.join(name);
    fs::create_dir_all(folder.join("0-finetune")).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    let changed = SystemTime::now() - unchanged_for;
    File::open(&folder).unwrap().set_modified(changed).unwrap();
    folder
}

fn locked(folder: &Path) -> File {
    let lock = File::options()
        .write(true)
        .open(folder.join("lock"))
        .unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_folder_is_swept_when_its_lock_is_free_and_other_machines_have_a_month() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::within(results.path());
    let parent = results.path().join("store/tmp");
    let (owner, here) = {
        let scratch = store.scratch().unwrap();
        let owner = scratch.owner();
        let (_, here) = owner.rsplit_once("writing-").unwrap();
        let here = here.split_once('-').unwrap().1.to_owned();
        (owner, here)
    };
    assert!(!parent.join(&owner).exists());
    let day = 24 * 3600;
    let [none, minute, weeks, months] = [0, 60, 29 * day, 31 * day].map(Duration::from_secs);
    let other = "0123abcd-node17";
    let ours = |name: &str| format!("{name}-{here}");
    let swept = [
        left(&parent, &ours("writing-a"), none),
        left(&parent, &ours("beginning-b"), minute),
        left(&parent, &format!("writing-c-{other}"), months),
        left(&parent, &format!("beginning-d-{other}"), months),
        // This machine, before it was started again; and a name of an older program.
        left(
            &parent,
            &format!("writing-e-0123abcd{}", &here[8..]),
            months,
        ),
        left(&parent, "writing-f", months),
    ];
    let held = [
        left(&parent, &ours("writing-g"), months),
        left(&parent, &ours("beginning-n"), minute),
        left(&parent, &format!("writing-h-{other}"), months),
    ];
    let _locks = held.each_ref().map(|folder| locked(folder));
    let kept = [
        left(&parent, &ours("beginning-i"), none),
        left(&parent, &format!("writing-j-{other}"), weeks),
        left(&parent, &format!("beginning-k-{other}"), minute),
        left(&parent, &format!("writing-l-0123abcd{}", &here[8..]), none),
        left(&parent, "writing-m", none),
    ];
    let _scratch = store.scratch().unwrap();
    for folder in &swept {
        assert!(!folder.exists(), "{}", folder.display());
    }
    for folder in held.iter().chain(&kept) {
        assert!(folder.exists(), "{}", folder.display());
    }
}

#[test]
fn an_owner_is_alive_as_long_as_it_holds_its_folder() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::within(results.path());
    let scratch = store.scratch().unwrap();
    let owner = scratch.owner();
    assert!(store.is_alive(&owner));
    drop(scratch);
    assert!(!store.is_alive(&owner));
}

#[test]
fn what_machines_of_a_sweep_were_writing_is_removed_once_its_owners_have_ended() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::within(results.path());
    let parent = results.path().join("store/tmp");
    let sweep = SweepFolder::at(results.path().join("cluster/sweep"));
    sweep.prepare().unwrap();
    let at = |name: &str, machine: &str| format!("writing-{name}-0123abcd-{machine}");
    let [killed, alive] = ["a", "b"].map(|name| at(name, "node17"));
    let folder = |name: &str| left(&parent, name, Duration::ZERO);
    let gone = [folder(&killed), folder(&at("worker", "node17"))];
    let kept = [folder(&alive), folder(&at("c", "other-node17"))];
    let _lock = locked(&kept[0]);
    for owner in [&killed, &alive, "writing-gone"] {
        sweep.note_scratch(owner).unwrap();
    }
    sweep.remove_ended(&store);
    for folder in gone {
        assert!(!folder.exists(), "{}", folder.display());
    }
    for folder in kept {
        assert!(folder.exists(), "{}", folder.display());
    }
    // What is still there is asked for next time.
    let noted = fs::read_dir(sweep.path().join("scratch")).unwrap();
    let noted: Vec<_> = noted.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(noted, [alive.as_str()]);
}
