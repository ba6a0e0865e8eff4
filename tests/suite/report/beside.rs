//! What lies beside a table belongs to it, however the table is written anew.

use std::{fs, path::Path};

use crate::support::common::{phantom, run, tiny, tiny_run};

const VALUES: &str = "new_expert,method,experts,samples,dice_percent,assd,hd95\n6,w/,2,5,80,2,5\n";

/// Reads both documents beside the table.
fn beside(folder: &Path) -> [String; 2] {
    ["vs-paper", "claims"].map(|what| {
        let path = folder.join(format!("results/tiny/paper/tiny-{what}.md"));
        fs::read_to_string(path).unwrap()
    })
}

#[test]
fn documents_beside_a_table_are_written_again_with_it() {
    let folder = tiny();
    let manifest = folder.path().join("tiny.toml");
    let named = "\n[reference]\nvalues = \"values.csv\"\nsource = \"Somebody\"\n";
    let text = fs::read_to_string(&manifest).unwrap() + named;
    fs::write(&manifest, &text).unwrap();
    fs::write(folder.path().join("values.csv"), VALUES).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    // None is made where there is none.
    assert!(
        !folder
            .path()
            .join("results/tiny/paper/tiny-claims.md")
            .exists()
    );
    let dataset = phantom().to_str().unwrap();
    for what in ["--reference", "--claims"] {
        run(
            folder.path(),
            &["report", "tiny.toml", "--dataset", dataset, what],
            0,
        );
    }
    let before = beside(folder.path());
    assert!(
        before[0].contains("4 from random initialisation"),
        "{}",
        before[0]
    );

    // Other results in the same folder.
    fs::write(
        &manifest,
        text.replace("[scratch]\nsteps = 4", "[scratch]\nsteps = 9"),
    )
    .unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    let after = beside(folder.path());
    assert!(
        after[0].contains("9 from random initialisation"),
        "{}",
        after[0]
    );
    // They are what the commands write.
    for (what, written) in ["--reference", "--claims"].into_iter().zip(&after) {
        let arguments = ["report", "tiny.toml", "--dataset", dataset, what];
        let said = run(folder.path(), &arguments, 0);
        assert_eq!(said.out.trim_end(), written.trim_end());
    }
    // A run with nothing to do leaves them.
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(beside(folder.path()), after);

    // What cannot be made any more says so, once, and stays to be read.
    fs::write(&manifest, text.replace(named, "")).unwrap();
    for _ in 0..2 {
        run(folder.path(), &tiny_run(&[]), 0);
        let [old, _] = beside(folder.path());
        let (first, rest) = old.split_once("\n\n").unwrap();
        assert_eq!(
            first,
            "> **Of earlier results than the table beside it:** the manifest names no published \
             values any more."
        );
        assert_eq!(rest, after[0]);
    }
    // Named again, it is of the table again.
    fs::write(&manifest, &text).unwrap();
    run(folder.path(), &tiny_run(&[]), 0);
    assert_eq!(beside(folder.path())[0], before[0]);
}
