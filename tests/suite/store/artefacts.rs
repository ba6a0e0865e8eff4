//! Predictions as they are written, and as nobody writes them.

use std::collections::HashMap;

use expertgrid::{
    artefact::{parse_predictions, predictions},
    data::prepare::{Frame, Prediction, Region},
};
use safetensors::{Dtype, tensor::TensorView};

/// A prediction of 32 x 32 pixels of 2 x 2 in an image of 100 x 80.
fn prediction(case: &str) -> Prediction {
    Prediction {
        threshold: Prediction::HALF,
        case: case.into(),
        frame: Frame {
            original: [100, 80],
            reduce: 2,
        },
        region: Region {
            origin: [18, 8],
            size: [32, 32],
        },
        probability: (0..1024_u32).map(|i| (i % 256) as u8).collect(),
    }
}

#[test]
fn predictions_read_back_in_the_order_of_their_branches() {
    let two = |branch: &str| (branch.to_owned(), vec![prediction("b"), prediction("a")]);
    let branches = [two("expert7"), two("expert10"), two("expert6")];
    assert_eq!(
        parse_predictions(&predictions(&branches)).unwrap(),
        branches
    );
}

#[test]
fn a_whole_image_may_be_padded_to_a_multiple_of_32_and_no_further() {
    let mut whole = prediction("a");
    whole.frame.reduce = 1;
    let read = |whole: &Prediction| {
        parse_predictions(&predictions(&[("expert6".into(), vec![whole.clone()])]))
    };
    for (size, fits) in [
        ([128, 96], true),
        ([129, 96], false),
        ([128, 97], false),
        ([0, 96], false),
    ] {
        whole.region = Region {
            origin: [0, 0],
            size,
        };
        whole.probability = vec![0; size[0] * size[1]];
        let found = read(&whole);
        assert_eq!(found.is_ok(), fits, "{size:?}: {found:?}");
    }
}

#[test]
fn a_prediction_that_does_not_lie_in_its_image_is_refused() {
    let frames = [
        // Would overflow, or take all memory, where the mask is drawn.
        ([usize::MAX, 80], 2, [18, 8]),
        ([1 << 40, 1 << 40], 2, [18, 8]),
        ([16_385, 80], 2, [18, 8]),
        ([16_384, 16_384], 2, [18, 8]),
        ([100, 80], usize::MAX, [18, 8]),
        ([100, 80], 0, [18, 8]),
        ([0, 80], 2, [18, 8]),
        ([100, 80], 2, [usize::MAX, 8]),
        ([100, 80], 2, [18, usize::MAX - 31]),
        ([100, 80], 2, [50, 8]),
        ([100, 80], 2, [18, 33]),
    ];
    for (original, reduce, origin) in frames {
        let mut wild = prediction("a");
        wild.frame = Frame { original, reduce };
        wild.region.origin = origin;
        let bytes = predictions(&[("expert6".into(), vec![wild])]);
        let why = parse_predictions(&bytes).unwrap_err();
        assert!(
            why.contains("expert6/a does not lie in its image"),
            "{original:?} / {reduce} at {origin:?}: {why}"
        );
    }
}

#[test]
fn one_tensor_is_not_many_predictions() {
    // Each would be a copy of the tensor: together, as large as the square of the file.
    let place = r#"{"branch":"expert6","case":"a","image":[64,64],"reduce":1,"origin":[0,0]}"#;
    let file = |placements: &[&str]| {
        let placements = format!("[{}]", placements.join(","));
        let metadata = HashMap::from([("placements".to_owned(), placements)]);
        let plane = TensorView::new(Dtype::U8, vec![64, 64], &[7; 4096]).unwrap();
        safetensors::serialize([("expert6/a", plane)], Some(metadata)).unwrap()
    };
    assert_eq!(parse_predictions(&file(&[place])).unwrap()[0].1.len(), 1);
    let why = parse_predictions(&file(&[place, place])).unwrap_err();
    assert!(why.contains("expert6 has two predictions of a"), "{why}");
}
