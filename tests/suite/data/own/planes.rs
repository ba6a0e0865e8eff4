//! Files of several channels and of several slices.

use std::path::Path;

use expertgrid::data::{self, Case, Dataset, survey::survey};

use crate::support::{common::written_affine, nifti_file::*, own_sets::*};

const PATTERNS: &str = "images = \"{case}.nii\"\nmasks = \"{case}_{expert}.nii\"\n\
                        split = { test = [\"v3\"] }\n";

/// A manifest of one expert; only the data set is read here.
fn keys(more: &str) -> String {
    format!("training = 6\ntest = 2\nexperts = 3\n{PATTERNS}{more}")
}

fn open(root: &Path, more: &str) -> Dataset {
    let spec = experiment(&keys(more)).data;
    data::open_as(root, &spec).unwrap_or_else(|why| panic!("{more}\n{why}"))
}

fn told(root: &Path, more: &str) -> String {
    let survey = survey(root, &experiment(&keys(more)).data);
    survey
        .problems()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// The value of a voxel.
fn value(case: usize, [x, y, z]: [usize; 3]) -> u8 {
    (1 + (x * 3 + y * 5 + z * 7 + case) % 120) as u8
}

/// Volumes of 5 x 4 x 3 voxels, in the order of their file.
const SHAPE: [usize; 3] = [5, 4, 3];

fn volume(of: impl Fn([usize; 3]) -> u8) -> Vec<u8> {
    let [nx, ny, nz] = SHAPE;
    let mut values = Vec::new();
    for z in 0..nz {
        for y in 0..ny {
            values.extend((0..nx).map(|x| of([x, y, z])));
        }
    }
    values
}

/// Three volumes with a mask that has pixels in two of three slices along z.
fn volumes(root: &Path, rows: Option<[[f32; 4]; 3]>) {
    for case in 1..=3 {
        let dims = SHAPE.map(|n| n as i16);
        let with = |file: NiftiFile| match rows {
            Some(rows) => file.sform(rows),
            None => file,
        };
        with(NiftiFile::new(&dims, &volume(|at| value(case, at))))
            .write(root.join(format!("v{case}.nii")));
        let mask = volume(|[x, y, z]| u8::from(z > 0 && x < 1 + z && y == 1));
        with(NiftiFile::new(&dims, &mask)).write(root.join(format!("v{case}_1.nii")));
    }
}

fn names(cases: &[Case]) -> String {
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.join(" ")
}

#[test]
fn each_slice_with_a_mask_is_a_case_and_a_volume_is_on_one_side() {
    let dir = tempfile::tempdir().unwrap();
    volumes(dir.path(), None);
    let set = open(dir.path(), "slice = { axis = \"z\" }");
    assert_eq!(names(&set.training), "v1_z1 v1_z2 v2_z1 v2_z2");
    assert_eq!(names(&set.test), "v3_z1 v3_z2");
    let case = &set.training[1];
    assert_eq!((case.image.width, case.image.height), (5, 4));
    let expected: Vec<f32> = (0..4)
        .flat_map(|y| (0..5).map(move |x| f32::from(value(1, [x, y, 2]))))
        .collect();
    assert_eq!(case.image.pixels, expected);
    assert_eq!(case.mask(1).unwrap().area_px(), 3);
    assert_eq!(
        set.preparation.as_deref(),
        Some("the slices with a mask along z")
    );
    let all = open(dir.path(), "slice = { axis = \"z\", keep = \"all\" }");
    assert_eq!(names(&all.test), "v3_z0 v3_z1 v3_z2");

    // Along x, the planes are of y and z.
    let set = open(dir.path(), "slice = { axis = \"x\" }");
    assert_eq!(names(&set.test), "v3_x0 v3_x1 v3_x2");
    let case = &set.test[1];
    assert_eq!((case.image.width, case.image.height), (4, 3));
    let expected: Vec<f32> = (0..3)
        .flat_map(|z| (0..4).map(move |y| f32::from(value(3, [1, y, z]))))
        .collect();
    assert_eq!(case.image.pixels, expected);
}

#[test]
fn a_volume_without_a_mask_in_any_slice_is_left_out_and_told() {
    let dir = tempfile::tempdir().unwrap();
    volumes(dir.path(), None);
    let dims = SHAPE.map(|n| n as i16);
    NiftiFile::new(&dims, &volume(|_| 0)).write(dir.path().join("v2_1.nii"));
    let said = told(dir.path(), "slice = { axis = \"z\" }");
    assert!(
        said.contains("v2.nii: has no slice with a mask and is left out"),
        "{said}"
    );
}

#[test]
fn a_third_axis_that_is_read_as_channels_is_told_until_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for case in 1..=3 {
        let image = volume(|at| value(case, at));
        NiftiFile::new(&[5, 4, 3], &image).write(dir.path().join(format!("v{case}.nii")));
        let mask: Vec<u8> = (0..20).map(|i| u8::from(i % 3 == 0)).collect();
        NiftiFile::new(&[5, 4], &mask).write(dir.path().join(format!("v{case}_1.nii")));
    }
    let said = told(dir.path(), "channel = 0");
    assert_eq!(
        said.matches("its third is read as that of channels")
            .count(),
        3,
        "{said}"
    );
    assert_eq!(told(dir.path(), "channel = 0\nchannel_axis = \"z\""), "");
}

#[test]
fn a_slice_lies_where_it_lies_in_its_volume() {
    let dir = tempfile::tempdir().unwrap();
    // Steps of 2 mm along z, 1 and 1.5 in the plane.
    let rows = [
        [1.0, 0.0, 0.0, 10.0],
        [0.0, 1.5, 0.0, 20.0],
        [0.0, 0.0, 2.0, 30.0],
    ];
    volumes(dir.path(), Some(rows));
    let set = open(dir.path(), "slice = { axis = \"z\" }");
    let affine = |case: &Case| written_affine(&case.image, &case.header).unwrap();
    let place = |case: &Case| [3, 7, 11].map(|i| affine(case)[i]);
    assert_eq!(place(&set.training[0]), [10.0, 20.0, 32.0]);
    assert_eq!(place(&set.training[1]), [10.0, 20.0, 34.0]);
    // A mask whose header puts it elsewhere along z is refused, as in the plane.
    let moved = [
        [1.0, 0.0, 0.0, 10.0],
        [0.0, 1.5, 0.0, 20.0],
        [0.0, 0.0, 2.0, 32.0],
    ];
    let mask = volume(|[_, y, _]| u8::from(y == 1));
    let dims = SHAPE.map(|n| n as i16);
    NiftiFile::new(&dims, &mask)
        .sform(moved)
        .write(dir.path().join("v1_1.nii"));
    let said = told(dir.path(), "slice = { axis = \"z\" }");
    assert!(said.contains("lies elsewhere than its image"), "{said}");
}

#[test]
fn one_channel_or_their_sum_or_mean_is_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let [nx, ny, channels] = SHAPE;
    for case in 1..=3 {
        let image = volume(|at| value(case, at));
        // Channels as a fourth axis, as a third, and before the others.
        let dims: &[i16] = match case {
            1 => &[5, 4, 1, 3],
            _ => &[5, 4, 3],
        };
        NiftiFile::new(dims, &image).write(dir.path().join(format!("v{case}.nii")));
        let mask: Vec<u8> = (0..nx * ny).map(|i| u8::from(i % 3 == 0)).collect();
        NiftiFile::new(&[5, 4], &mask).write(dir.path().join(format!("v{case}_1.nii")));
    }
    let pixel = |set: &Dataset, case: usize, [x, y]: [usize; 2]| {
        let image = &set.cases().nth(case - 1).unwrap().image;
        assert_eq!((image.width, image.height), (nx, ny));
        image.pixels[y * nx + x]
    };
    let at = |case, c| f32::from(value(case, [2, 3, c]));
    for channel in 0..channels {
        let set = open(dir.path(), &format!("channel = {channel}"));
        for case in 1..=3 {
            assert_eq!(pixel(&set, case, [2, 3]), at(case, channel));
        }
    }
    let sum = open(dir.path(), "channel = \"sum\"");
    assert_eq!(pixel(&sum, 1, [2, 3]), at(1, 0) + at(1, 1) + at(1, 2));
    let mean = open(dir.path(), "channel = \"mean\"");
    assert_eq!(
        pixel(&mean, 3, [2, 3]),
        (at(3, 0) + at(3, 1) + at(3, 2)) / 3.0
    );

    let said = told(dir.path(), "channel = 3");
    assert!(
        said.contains("has 3 channels") && said.contains("count from 0"),
        "{said}"
    );
    let said = told(dir.path(), "");
    assert!(
        said.contains("choose one, with `channel = 0` under `[dataset]`"),
        "{said}"
    );
    assert!(said.contains("slice = { axis"), "{said}");

    // Channels first: the axis is named.
    let first = dir.path().join("first");
    std::fs::create_dir(&first).unwrap();
    for case in 1..=3 {
        let image: Vec<u8> = (0..3 * 5 * 4)
            .map(|i| value(case, [i / 3 % 5, i / 15, i % 3]))
            .collect();
        NiftiFile::new(&[3, 5, 4], &image).write(first.join(format!("v{case}.nii")));
        let mask: Vec<u8> = (0..nx * ny).map(|i| u8::from(i % 3 == 0)).collect();
        NiftiFile::new(&[5, 4], &mask).write(first.join(format!("v{case}_1.nii")));
    }
    let set = open(&first, "channel = 2\nchannel_axis = \"x\"");
    assert_eq!(pixel(&set, 2, [2, 3]), at(2, 2));
}

#[test]
fn channels_and_slices_lie_along_any_axis() {
    let dir = tempfile::tempdir().unwrap();
    // The value of a voxel in a file whose axes are of these lengths, of which `axis` is the
    // channels' or the slices'.
    let file = |dims: [usize; 4], case: usize| -> Vec<u8> {
        let count: usize = dims.iter().product();
        (0..count)
            .map(|i| (1 + (i * 7 + case) % 120) as u8)
            .collect()
    };
    let strides = |dims: [usize; 4]| [1, dims[0], dims[0] * dims[1], dims[0] * dims[1] * dims[2]];
    for (axis, word) in ["x", "y", "z", "t"].into_iter().enumerate() {
        let root = dir.path().join(word);
        std::fs::create_dir(&root).unwrap();
        // Planes of 5 x 4, three of them along the axis.
        let mut dims = [1; 4];
        let mut sides = [5, 4].into_iter();
        for (i, length) in dims.iter_mut().enumerate() {
            *length = match i == axis {
                true => 3,
                false => sides.next().unwrap_or(1),
            };
        }
        let shape = dims.map(|n| n as i16);
        for case in 1..=3 {
            NiftiFile::new(&shape, &file(dims, case)).write(root.join(format!("v{case}.nii")));
            let mask: Vec<u8> = (0..20).map(|i| u8::from(i % 3 == 0)).collect();
            NiftiFile::new(&[5, 4], &mask).write(root.join(format!("v{case}_1.nii")));
        }
        let plane: Vec<usize> = (0..4).filter(|i| *i != axis && dims[*i] > 1).collect();
        let expected = |case: usize, index: usize| -> Vec<f32> {
            let (values, steps) = (file(dims, case), strides(dims));
            let place = |y: usize, x: usize| {
                index * steps[axis] + x * steps[plane[0]] + y * steps[plane[1]]
            };
            let places = (0..4).flat_map(|y| (0..5).map(move |x| (y, x)));
            places
                .map(|(y, x)| f32::from(values[place(y, x)]))
                .collect()
        };
        let set = open(&root, &format!("channel = 2\nchannel_axis = \"{word}\""));
        assert_eq!(
            set.test[0].image.pixels,
            expected(3, 2),
            "channels along {word}"
        );
        if axis == 3 {
            continue;
        }
        // As slices, with masks that are volumes too.
        for case in 1..=3 {
            let mask = file(dims, case).into_iter().map(|v| u8::from(v % 2 == 0));
            NiftiFile::new(&shape, &mask.collect::<Vec<u8>>())
                .write(root.join(format!("v{case}_1.nii")));
        }
        let set = open(&root, &format!("slice = {{ axis = \"{word}\" }}"));
        assert_eq!(set.test.len(), 3);
        assert_eq!(
            set.test[1].image.pixels,
            expected(3, 1),
            "slices along {word}"
        );
        let inside = expected(3, 1).into_iter().map(|v| v % 2.0 == 0.0);
        assert_eq!(
            set.test[1].mask(1).unwrap().pixels,
            inside.collect::<Vec<bool>>()
        );
    }
}

#[test]
fn mistakes_in_these_keys_are_told_with_their_place() {
    for (more, wanted) in [
        (
            "slice = { axis = \"w\" }",
            "it is one of \"x\", \"y\", \"z\"",
        ),
        (
            "slice = { keep = \"all\" }",
            "`dataset.slice.axis` is missing",
        ),
        ("slice = { axis = \"z\", every = 2 }", "unknown key"),
        ("channel = \"red\"", "\"sum\" or \"mean\""),
        ("channel = -1", "not negative"),
        ("spacing_mm = 0", "from 0.001 to 1000"),
        ("spacing_mm = [1, 1, 1]", "its width and height"),
    ] {
        let said = problems(&keys(more));
        assert!(
            said.contains(wanted) && said.contains("own.toml:"),
            "{more}: {said}"
        );
    }
}
