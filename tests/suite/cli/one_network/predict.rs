//! Masks of images, and what a single network is refused.

use std::fs;

use expertgrid::{artefact::parse_predictions, data::nifti};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{export, some_cases, trained};
use crate::support::{common::*, nifti_file::NiftiFile};

#[test]
fn predicted_masks_are_those_of_the_grid_and_lie_over_their_images() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let validation = phantom().join("Validation");
    let said = run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "2",
            validation.to_str().unwrap(),
            "-o",
            "masks",
            "--probabilities",
            "--logits",
        ],
        0,
    );
    assert!(said.out.contains("5 masks for expert 2"), "{}", said.out);
    assert!(said.err.contains("synthetic"), "{}", said.err);
    let stored = format!(
        "results/store/pretrain/{}/{digest}/predictions.safetensors",
        &digest[..2]
    );
    let stored = parse_predictions(&fs::read(folder.path().join(stored)).unwrap()).unwrap();
    let (_, of_expert) = stored
        .iter()
        .find(|(branch, _)| branch == "expert2")
        .unwrap();
    assert_eq!(of_expert.len(), 5);
    for prediction in of_expert {
        let file = |ending: &str| {
            folder
                .path()
                .join(format!("masks/{}{ending}.nii.gz", prediction.case))
        };
        let mask = nifti::read_mask(&file("")).unwrap();
        assert_eq!(mask.mask, prediction.mask(), "{}", prediction.case);
        let image = validation.join(&prediction.case).join("image.nii.gz");
        let (image, header) = nifti::read_image(&image).unwrap();
        assert_eq!(
            written_affine(&image, &mask.header),
            written_affine(&image, &header)
        );
        assert_eq!(mask.header.spacing(), header.spacing());
        assert_eq!(mask.header.dims(), header.dims());
        let (probability, _) = nifti::read_image(&file("_probability")).unwrap();
        let inside = probability.pixels.iter().zip(&mask.mask.pixels);
        // The mask is cut from bytes, so a probability near one half may fall on either side.
        for (probability, inside) in inside {
            assert!((0.0..=1.0).contains(probability));
            assert!((probability - 0.5).abs() < 0.01 || (*probability > 0.5) == *inside);
        }
        let logits = fs::metadata(file("_logits")).unwrap();
        assert!(logits.len() > 1000);
    }
    let again = run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "2",
            validation.to_str().unwrap(),
            "-o",
            "masks",
        ],
        2,
    );
    assert_eq!(
        again.err.matches("exists already").count(),
        5,
        "{}",
        again.err
    );
}

#[test]
fn an_overlay_is_written_beside_each_mask() {
    let (folder, digest) = trained();
    let at = folder.path();
    export(at, &digest);
    let image = phantom().join("Validation/case35/image.nii.gz");
    let weights = ["--weights", "pretrained.safetensors", "--expert", "2"];
    let what = [image.to_str().unwrap(), "-o", "masks", "--overlay"];
    run(at, &[&["predict"][..], &weights, &what].concat(), 0);
    let files = files(&at.join("masks"));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["case35.nii.gz", "case35_overlay.png"]);
    assert!(files["case35_overlay.png"].starts_with(b"\x89PNG"));
    // It is not written over either.
    fs::remove_file(at.join("masks/case35.nii.gz")).unwrap();
    let said = run(at, &[&["predict"][..], &weights, &what].concat(), 2).err;
    assert!(said.contains("case35_overlay.png exists already"), "{said}");
}

#[test]
fn two_outputs_of_one_name_are_refused_before_any_is_written() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let image = phantom().join("Validation/case35/image.nii.gz");
    for name in ["x", "x_probability", "X_Logits"] {
        fs::copy(&image, folder.path().join(format!("{name}.nii.gz"))).unwrap();
    }
    let predict = |images: &[&str], more: &[&str], code: i32| {
        let weights = ["--weights", "pretrained.safetensors", "--expert", "2"];
        let out = ["-o", "masks"];
        let all = [&["predict"][..], &weights, images, &out, more].concat();
        run(folder.path(), &all, code)
    };
    let two = ["x.nii.gz", "x_probability.nii.gz"];
    let said = predict(&two, &["--probabilities"], 2).err;
    assert!(
        said.contains("would both be written to masks/x_probability.nii.gz"),
        "{said}"
    );
    // Also where a disk ignores case.
    let said = predict(&["x.nii.gz", "X_Logits.nii.gz"], &["--logits"], 2).err;
    assert!(said.contains("would both be written to"), "{said}");
    assert!(!folder.path().join("masks").exists());
    // Without the other outputs there is nothing that they share.
    predict(&two, &[], 0);
}

#[test]
fn a_prediction_keeps_an_anisotropic_header_with_a_third_axis() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let image = phantom().join("Validation/case35/image.nii.gz");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(fs::File::open(image).unwrap()),
        &mut plain,
    )
    .unwrap();
    // dim = 3, 256, 256, 1 and pixdim = 0.5, 0.8: nifti1.h has them at bytes 40 and 76.
    plain[40..42].copy_from_slice(&3_i16.to_le_bytes());
    plain[80..84].copy_from_slice(&0.5_f32.to_le_bytes());
    plain[84..88].copy_from_slice(&0.8_f32.to_le_bytes());
    // The affine says the same.
    plain[280..284].copy_from_slice(&0.5_f32.to_le_bytes());
    plain[300..304].copy_from_slice(&0.8_f32.to_le_bytes());
    fs::write(folder.path().join("a.b.nii"), plain).unwrap();
    run(
        folder.path(),
        &[
            "predict",
            "--weights",
            "pretrained.safetensors",
            "--expert",
            "1",
            "a.b.nii",
            "-o",
            "masks",
        ],
        0,
    );
    let mask = nifti::read_mask(&folder.path().join("masks/a.b.nii.gz")).unwrap();
    assert_eq!(mask.header.dims(), [256, 256, 1]);
    let spacing = mask.header.spacing().unwrap();
    assert_eq!([spacing.x_mm, spacing.y_mm], [0.5_f32, 0.8].map(f64::from));
}

#[test]
fn wrong_use_of_one_network_is_refused_clearly() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    some_cases(folder.path(), &["case03"]);
    let image = phantom().join("Validation/case35/image.nii.gz");
    let image = image.to_str().unwrap();
    let mask = phantom().join("Validation/case35/task01_seg01.nii.gz");
    let mask = mask.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let said = run(folder.path(), arguments, 2);
        assert!(said.err.starts_with("error: "), "{}", said.err);
        said.err
    };
    let predict = |more: &[&str]| {
        let mut arguments = vec![
            "predict",
            "--weights",
            "pretrained.safetensors",
            "-o",
            "out",
        ];
        arguments.extend(more);
        refused(&arguments)
    };
    let adapt = |more: &[&str]| {
        let mut arguments = vec![
            "adapt",
            "--weights",
            "pretrained.safetensors",
            "-o",
            "out.safetensors",
        ];
        arguments.extend(more);
        refused(&arguments)
    };
    let whose = predict(&[image]);
    assert!(
        whose.contains("experts 1, 2; choose one with `--expert N`"),
        "{whose}"
    );
    let unknown = predict(&["--expert", "5", image]);
    assert!(
        unknown.contains("no branch for expert 5, it has 1, 2"),
        "{unknown}"
    );
    let of_mask = predict(&["--expert", "1", mask]);
    assert!(of_mask.contains("looks like a mask"), "{of_mask}");
    let absent = predict(&["--expert", "1", "absent.nii.gz"]);
    assert!(absent.contains("absent.nii.gz"), "{absent}");
    let twice = predict(&["--expert", "1", image, image]);
    assert!(twice.contains("same name"), "{twice}");
    let nobody = adapt(&["--cases", "cases", "--expert", "9"]);
    assert!(
        nobody.contains("has no mask of expert 9, only of experts"),
        "{nobody}"
    );
    let whole = adapt(&["--cases", phantom().to_str().unwrap(), "--expert", "6"]);
    assert!(whole.contains("is a whole data set"), "{whole}");
    let idle = adapt(&["--cases", "cases", "--expert", "6", "--steps", "0"]);
    assert!(idle.contains("`--steps`: it must be from 1 to"), "{idle}");
    for (option, value, must) in [
        ("--lr", "0", "a number greater than 0"),
        ("--expert-lr-factor", "inf", "from 0 to 1000"),
        ("--average", "2", "from 0 to 1"),
    ] {
        let said = adapt(&["--cases", "cases", "--expert", "6", option, value]);
        let expected = format!("`{option}`: it must be {must}");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(!folder.path().join("out").exists() && !folder.path().join("out.safetensors").exists());

    // A file that contradicts itself: it says width 4 and its first layer is another's.
    let bytes = fs::read(folder.path().join("pretrained.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let wide = vec![0; 4 * 8 * 49];
    let views =
        file.tensors()
            .into_iter()
            .map(|(name, view)| match name == "encoder.conv1.weight" {
                true => (
                    name,
                    TensorView::new(Dtype::F32, vec![8, 1, 7, 7], &wide).unwrap(),
                ),
                false => (name, view),
            });
    let forged = safetensors::serialize(views, header.metadata().clone()).unwrap();
    fs::write(folder.path().join("forged.safetensors"), forged).unwrap();
    let forged = refused(&[
        "predict",
        "--weights",
        "forged.safetensors",
        "--expert",
        "1",
        image,
        "-o",
        "out",
    ]);
    assert!(
        forged.contains("its description has width 4") && forged.contains("have width 8"),
        "{forged}"
    );
}

#[test]
fn a_folder_of_images_is_predicted_whole_and_what_is_left_out_is_told() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    let at = |name: &str| folder.path().join(name);
    for name in ["flat", "mixed/case1", "mixed/empty"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let image = phantom().join("Validation/case35/image.nii.gz");
    for name in [
        "flat/a.nii.gz",
        "flat/b.nii.gz",
        "mixed/a.nii.gz",
        "mixed/case1/image.nii.gz",
    ] {
        fs::copy(&image, at(name)).unwrap();
    }
    for name in ["flat/._a.nii.gz", "mixed/notes.txt"] {
        fs::write(at(name), "no image").unwrap();
    }
    let predict = |images: &str, code: i32| {
        let out = format!("masks-of-{images}");
        let mut arguments = vec!["predict", "--weights", "pretrained.safetensors"];
        arguments.extend(["--expert", "1", images, "-o", &out]);
        let said = run(folder.path(), &arguments, code);
        let written = fs::read_dir(at(&out)).map_or_else(
            |_| Vec::new(),
            |files| {
                files
                    .map(|file| file.unwrap().file_name().into_string().unwrap())
                    .collect()
            },
        );
        let mut written: Vec<String> = written;
        written.sort();
        (said, written)
    };
    let (_, written) = predict("flat", 0);
    assert_eq!(written, ["a.nii.gz", "b.nii.gz"]);
    let (said, written) = predict("mixed", 0);
    assert_eq!(written, ["a.nii.gz", "case1.nii.gz"]);
    for left_out in [
        "mixed/notes.txt: is neither a NIfTI file",
        "mixed/empty: is an empty folder",
    ] {
        assert!(said.err.contains(left_out), "{}", said.err);
    }
    let (said, _) = predict("results", 2);
    assert!(said.err.contains("holds no image"), "{}", said.err);
    assert!(!said.err.contains("phantom --out"), "{}", said.err);
}

#[test]
fn images_smaller_than_the_crop_are_padded_and_told() {
    let (folder, digest) = trained();
    export(folder.path(), &digest);
    for part in ["Training", "Validation"] {
        for case in 1..=4 {
            let to = folder.path().join(format!("small/{part}/case{case}"));
            fs::create_dir_all(&to).unwrap();
            let pixels: Vec<u8> = (0..40 * 33).map(|i| (i % 89) as u8 + case).collect();
            NiftiFile::new(&[40, 33], &pixels).write(to.join("image.nii"));
            for expert in 1..=6 {
                NiftiFile::disc([40, 33], [20, 16], 5)
                    .write(to.join(format!("task01_seg0{expert}.nii")));
            }
        }
    }
    let told = "the image is 40 x 33 pixels, smaller than the crop of 192 x 192, and is padded \
                with background on the right and at the bottom";
    let padded = |arguments: &[&str], count: &str| {
        let said = run(folder.path(), arguments, 0).err;
        assert_eq!(said.matches(told).count(), 1, "{said}");
        assert!(said.contains(count), "{said}");
        said
    };
    let weights = ["--weights", "pretrained.safetensors"];
    let predict = ["--expert", "1", "small/Training", "-o", "masks"];
    padded(
        &[&["predict"], &weights[..], &predict].concat(),
        "note: 4 cases (",
    );
    let masks: Vec<_> = fs::read_dir(folder.path().join("masks")).unwrap().collect();
    assert_eq!(masks.len(), 4);
    for mask in masks {
        let mask = nifti::read_mask(&mask.unwrap().path()).unwrap().mask;
        assert_eq!((mask.width, mask.height), (40, 33));
    }
    let adapt = [
        "--expert",
        "6",
        "--cases",
        "small/Training",
        "--steps",
        "2",
        "-o",
        "out.safetensors",
    ];
    padded(
        &[&["adapt"], &weights[..], &adapt].concat(),
        "note: 4 cases (",
    );
    let tiny = [
        "run",
        "tiny.toml",
        "--dataset",
        "small",
        "--set",
        "dataset.training=4",
    ];
    let more = [
        "--set",
        "dataset.test=4",
        "--set",
        "grid.samples=2",
        "--set",
        "grid.starts=1",
    ];
    let said = padded(&[&tiny[..], &more].concat(), "8 cases (");
    let crop = "every image fills `image.crop = 32` with `image.reduce = 1`";
    assert!(said.contains(crop), "{said}");
    // The crop is reduced by six: of two pixels nothing is left, of six one is.
    for (file, side) in [("dot", 2), ("block", 6)] {
        let path = folder.path().join(format!("{file}.nii"));
        let pixels: Vec<u8> = (0..side * 6).map(|i| i as u8).collect();
        NiftiFile::new(&[side, 6], &pixels).write(path);
    }
    let predict = ["--expert", "1", "dot.nii", "block.nii", "-o", "tiny"];
    let arguments = [&["predict"], &weights[..], &predict].concat();
    let said = run(folder.path(), &arguments, 2).err;
    let told = "dot.nii: the image is 2 x 6 pixels, less than the 6 x 6 that are averaged";
    assert!(said.contains(told), "{said}");
    assert!(
        !said.contains("block.nii: the image is 6 x 6 pixels, less"),
        "{said}"
    );
    // What is advised fits.
    let fits = ["--set", "image.crop=32", "--set", "image.reduce=1"];
    let cut = ["--set", "image.cut_masks=allow"];
    let said = run(folder.path(), &[&tiny[..], &more, &fits, &cut].concat(), 0).err;
    assert!(!said.contains("is padded"), "{said}");
}
