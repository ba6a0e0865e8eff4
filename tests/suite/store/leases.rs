//! Leases of stages, as several processes on one store take them.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use expertgrid::{
    exec::StoreLeases,
    manifest,
    plan::{self, Inventory, Plan},
    schedule::{LeaseReply, Leases, Release},
    store::Store,
};

use crate::support::common::TINY;

fn tiny_plan() -> Plan {
    let experiment = manifest::parse(Path::new("tiny.toml"), TINY, "paper", &[]).unwrap();
    let inventory = Inventory::assumed(&experiment.cohort);
    plan::build(vec![experiment], &inventory)
}

#[test]
fn a_stage_is_leased_to_one_and_shared_files_stay_until_nobody_uses_leases() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::within(folder.path());
    let (plan, claims) = (tiny_plan(), folder.path().join("store/claims"));
    let stage = &plan.stages[0];
    let file = claims.join(stage.digest.to_string());
    let of_one = || {
        StoreLeases::new(store.clone())
            .unwrap()
            .shared_by_machines()
    };
    let (mut one, mut other) = (of_one(), of_one());
    assert_eq!(one.claim(stage), LeaseReply::Ours);
    assert_eq!(other.claim(stage), LeaseReply::Theirs);
    assert_eq!(store.leased(|_| true), [stage.digest]);
    assert!(store.leased(|digest| *digest != stage.digest).is_empty());
    one.release(stage, &Release::Stopped);
    assert!(file.exists());
    assert!(store.leased(|_| true).is_empty());
    assert_eq!(other.claim(stage), LeaseReply::Ours);
    // Whoever ends first leaves it to the others.
    drop(one);
    assert!(file.exists());
    drop(other);
    assert!(!file.exists());
    // What a process that was killed has left goes at the next beginning.
    fs::write(&file, "").unwrap();
    let next = of_one();
    assert!(!file.exists());
    drop(next);
}

/// On the disks of test machines; where a disk is not known to be local, files stay.
#[test]
#[cfg(target_os = "linux")]
fn on_a_disk_of_one_machine_a_file_goes_with_its_lease_and_stages_stay_exclusive() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::within(folder.path());
    let (plan, claims) = (tiny_plan(), folder.path().join("store/claims"));
    let stage = &plan.stages[0];
    let file = claims.join(stage.digest.to_string());
    let mut one = StoreLeases::new(store.clone()).unwrap();
    assert_eq!(one.claim(stage), LeaseReply::Ours);
    assert!(file.exists());
    one.release(stage, &Release::Stopped);
    assert!(!file.exists());
    // Many processes at once, some of which keep files: never two have it.
    let (held, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (store, held, taken) = (store.clone(), &held, &taken);
            scope.spawn(move || {
                let leases = StoreLeases::new(store).unwrap();
                let mut leases = match i % 2 {
                    0 => leases,
                    _ => leases.shared_by_machines(),
                };
                while taken.load(SeqCst) < 500 {
                    if leases.claim(stage) == LeaseReply::Ours {
                        assert_eq!(held.fetch_add(1, SeqCst), 0);
                        taken.fetch_add(1, SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(1, SeqCst);
                        leases.release(stage, &Release::Stopped);
                    }
                }
            });
        }
    });
}

#[test]
#[cfg(unix)]
fn what_is_listed_and_not_yet_found_by_its_name_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::within(folder.path());
    let plan = tiny_plan();
    let stage = &plan.stages[0];
    // A network file system that remembers that a name was not there: it is in the list, and to
    // look it up finds nothing.
    let place = store.path(stage.spec.kind(), &stage.digest);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("nowhere", &place).unwrap();
    let mut leases = StoreLeases::new(store.clone()).unwrap();
    assert_eq!(leases.claim(stage), LeaseReply::Theirs);
    // The lease is not kept: another process that sees more may need it.
    assert!(store.leased(|_| true).is_empty());
    fs::remove_file(&place).unwrap();
    assert_eq!(leases.claim(stage), LeaseReply::Ours);
}
