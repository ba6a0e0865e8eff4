//! Files of weights that cannot be used, or not as they are: values that are not finite, other
//! precisions, other names, other kinds of files.

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{export, some_cases, tensors, trained};
use crate::support::common::*;

/// A tensor of a file that a test makes.
type MadeTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// Writes the tensors of a checkpoint otherwise: each as `change` makes it.
fn rewrite(from: &Path, to: &Path, keep_about: bool, change: impl Fn(MadeTensor) -> MadeTensor) {
    let bytes = fs::read(from).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let made: Vec<MadeTensor> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            (
                name,
                view.dtype(),
                view.shape().to_vec(),
                view.data().to_vec(),
            )
        })
        .map(change)
        .collect();
    let views = made.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let about = header.metadata().clone().filter(|_| keep_about);
    fs::write(to, safetensors::serialize(views, about).unwrap()).unwrap();
}

/// The same with one value in a tensor replaced.
fn with_value(from: &Path, to: &Path, tensor: &str, value: f32) {
    rewrite(from, to, true, |(name, dtype, shape, mut bytes)| {
        if name == tensor {
            bytes[4..8].copy_from_slice(&value.to_le_bytes());
        }
        (name, dtype, shape, bytes)
    });
}

/// A tensor in another precision.
fn in_precision(wanted: Dtype) -> impl Fn(MadeTensor) -> MadeTensor {
    move |(name, _, shape, bytes)| {
        let values = bytes.chunks_exact(4);
        let values: Vec<f32> = values
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        let bytes = match wanted {
            // The upper half of a single's bits.
            Dtype::BF16 => {
                let halves = values.iter().map(|value| (value.to_bits() >> 16) as u16);
                halves.flat_map(u16::to_le_bytes).collect()
            }
            Dtype::F64 => {
                let doubles = values.iter().map(|value| f64::from(*value));
                doubles.flat_map(f64::to_le_bytes).collect()
            }
            Dtype::F16 => {
                let tensor = Tensor::from_vec(values.clone(), values.len(), &Device::Cpu).unwrap();
                let half = tensor.to_dtype(DType::F16).unwrap();
                let mut written = Vec::new();
                half.write_bytes(&mut written).unwrap();
                written
            }
            other => panic!("{other:?}"),
        };
        (name, wanted, shape, bytes)
    }
}

const IMAGE: &str = "Validation/case35/image.nii.gz";

fn predict(folder: &Path, weights: &str, out: &str, code: i32) -> Said {
    let image = phantom().join(IMAGE);
    let image = image.to_str().unwrap();
    let arguments = [
        "predict",
        "--weights",
        weights,
        "--expert",
        "1",
        image,
        "-o",
        out,
    ];
    run(folder, &arguments, code)
}

fn from_file(folder: &Path, weights: &str, code: i32) -> Said {
    let from = format!("pretrain.from={weights}");
    run(folder, &tiny_run(&["--set", &from]), code)
}

#[test]
fn weights_that_are_not_finite_are_refused_with_the_tensors_name() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    some_cases(folder.path(), &["case03"]);
    let first = "encoder.conv1.weight";
    for (name, tensor, value, shown) in [
        ("nan", first, f32::NAN, "NaN"),
        (
            "infinity",
            "decoder.blocks.0.conv1.0.weight",
            f32::INFINITY,
            "inf",
        ),
        ("branch", "encoder.bn1.bias", f32::NEG_INFINITY, "-inf"),
    ] {
        let file = format!("{name}.safetensors");
        with_value(&path, &folder.path().join(&file), tensor, value);
        let expected = format!("tensor {tensor} holds {shown} (1 of its ");
        let predicted = predict(folder.path(), &file, "masks", 2).err;
        assert!(predicted.contains(&expected), "{predicted}");
        assert!(!folder.path().join("masks").exists());
        let adapt = [
            "adapt",
            "--weights",
            &file,
            "--cases",
            "cases",
            "--expert",
            "7",
            "-o",
            "out.st",
        ];
        let adapted = run(folder.path(), &adapt, 2).err;
        assert!(adapted.contains(&expected), "{adapted}");
        let pretrained = from_file(folder.path(), &file, 2).err;
        assert!(
            pretrained.contains(&expected) && pretrained.contains("`pretrain.from`"),
            "{pretrained}"
        );
    }
    // A tensor that an import leaves out may hold anything.
    rewrite(
        &path,
        &folder.path().join("mask.safetensors"),
        false,
        |(name, dtype, shape, mut bytes)| match name == "segmentation_head.0.bias" {
            true => {
                bytes.copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
                ("attention.mask".to_owned(), dtype, shape, bytes)
            }
            false => (name, dtype, shape, bytes),
        },
    );
    let imported = from_file(folder.path(), "mask.safetensors", 0).err;
    assert!(imported.contains("attention.mask"), "{imported}");
}

#[test]
fn other_precisions_are_read_and_told() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    for (dtype, name) in [
        (Dtype::F16, "F16"),
        (Dtype::BF16, "BF16"),
        (Dtype::F64, "F64"),
    ] {
        let file = format!("{name}.safetensors");
        rewrite(&path, &folder.path().join(&file), true, in_precision(dtype));
        let told = format!("{file}: 92 tensors are {name}, converted to single precision");
        let predicted = predict(folder.path(), &file, name, 0).err;
        assert!(predicted.contains(&told), "{predicted}");
        let imported = from_file(folder.path(), &file, 0).err;
        assert!(imported.contains(&told), "{imported}");
        assert!(imported.contains("92 tensors loaded"), "{imported}");
    }
    // Doubles hold every single: the same network, the same mask.
    predict(folder.path(), "pretrained.safetensors", "own", 0);
    let mask = |folder_of: &str| fs::read(folder.path().join(folder_of).join("case35.nii.gz"));
    assert!(mask("own").unwrap() == mask("F64").unwrap());

    // What holds no real numbers is named as such, not as missing.
    rewrite(
        &path,
        &folder.path().join("whole.safetensors"),
        true,
        |(name, _, shape, bytes)| (name, Dtype::I32, shape, bytes),
    );
    let whole = predict(folder.path(), "whole.safetensors", "no", 2).err;
    assert!(
        whole.contains("tensor encoder.conv1.weight holds I32"),
        "{whole}"
    );
}

#[test]
fn a_prefix_of_names_is_taken_off_or_the_file_refused() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    let renamed = |to: &str, rename: &dyn Fn(&str) -> String| {
        let to = folder.path().join(to);
        rewrite(&path, &to, false, |(name, dtype, shape, bytes)| {
            (rename(&name), dtype, shape, bytes)
        });
    };
    let encoder = |before: &'static str| {
        move |name: &str| match name.starts_with("encoder") {
            true => format!("{before}{name}"),
            false => name.to_owned(),
        }
    };
    renamed("encoder.safetensors", &encoder("model."));
    let said = from_file(folder.path(), "encoder.safetensors", 0).err;
    assert!(said.contains("`model.` is taken off the names"), "{said}");
    assert!(said.contains("92 tensors loaded"), "{said}");
    // Under any name they are the same weights: nothing is trained again.
    renamed("plain.safetensors", &str::to_owned);
    from_file(folder.path(), "plain.safetensors", 0);
    renamed("all.safetensors", &|name| format!("module.net.{name}"));
    let said = from_file(folder.path(), "all.safetensors", 0);
    assert!(
        said.err.contains("`module.net.` is taken off"),
        "{}",
        said.err
    );
    assert_eq!(said.counts(), None, "{}", said.err);

    // The decoder alone has a prefix: the network's names differ from the file's.
    renamed(
        "decoder.safetensors",
        &|name| match name.starts_with("decoder") {
            true => format!("unet.{name}"),
            false => name.to_owned(),
        },
    );
    let said = from_file(folder.path(), "decoder.safetensors", 2).err;
    assert!(
        said.contains("is not there, but unet.decoder.blocks.0.conv1.0.weight is; 30 names"),
        "{said}"
    );
    let said = predict(folder.path(), "encoder.safetensors", "masks", 2).err;
    assert!(
        said.contains("tensor encoder.conv1.weight is missing, but model.encoder.conv1.weight"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_checkpoint_is_named_for_what_it_is() {
    let folder = tiny();
    let path = folder.path().join("x.safetensors");
    let cases: [(&[u8], &str, &str); 9] = [
        (b"\x80\x02}q\x00X\x05", "a Python pickle", "save_file"),
        (
            b"PK\x03\x04\0\0\0\0\0\0",
            "a zip archive, as PyTorch",
            "save_file",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        (
            b"<!doctype html>\n<title>Sign in",
            "an HTML page",
            "download",
        ),
        (b"", "an empty file", "again"),
        (
            b"\x08\x07\x12\x07pytorch\x1a",
            "an ONNX model",
            "numpy.save_file",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0\0",
            "an HDF5 file",
            "numpy.save_file",
        ),
        (
            b"{\"abcd\":{\"weight_map\": 1}}",
            "JSON",
            "name the file of the weights",
        ),
        (
            b"# a text of no kind at all",
            "not a safetensors checkpoint",
            "check that it is the file that was meant",
        ),
    ];
    for (bytes, what, remedy) in cases {
        fs::write(&path, bytes).unwrap();
        for said in [
            from_file(folder.path(), "x.safetensors", 2),
            predict(folder.path(), "x.safetensors", "masks", 2),
        ] {
            let said = said.err;
            assert!(said.contains("x.safetensors"), "{said}");
            assert!(said.contains(what) && said.contains(remedy), "{said}");
        }
    }
}

#[test]
fn a_checkpoint_that_ends_too_early_says_so() {
    let (folder, digest) = trained();
    let path = export(folder.path(), &digest);
    assert_eq!(tensors(&path).len(), 92);
    let bytes = fs::read(&path).unwrap();
    fs::write(
        folder.path().join("half.safetensors"),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    let said = predict(folder.path(), "half.safetensors", "masks", 2).err;
    assert!(said.contains("its end is missing"), "{said}");
}
