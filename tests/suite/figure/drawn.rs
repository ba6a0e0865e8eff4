//! What a figure shows, held against the masks of its case.

use std::{collections::BTreeSet, fs, path::Path};

use expertgrid::data::Case;

use super::drawing::*;
use crate::support::common::{phantom, repository, run};

/// Every expert's contour is there, where the mask is, in a pen that the legend explains.
fn assert_contours(svg: &Node, case: &Case) {
    let panel = svg.panel("a");
    let image = panel
        .children
        .iter()
        .find(|node| node.name == "image")
        .unwrap();
    let [left, top, width, height] = shown(svg, case).map(|n| n as f64);
    let place = |x: f64, y: f64| {
        [
            image.number("x") + (x - left) * image.number("width") / width,
            image.number("y") + (y - top) * image.number("height") / height,
        ]
    };
    let contours = panel.own("contour");
    let marked = case
        .annotations
        .iter()
        .filter(|(_, a)| a.mask.area_px() > 0);
    let marked: Vec<_> = marked.collect();
    assert_eq!(contours.len(), marked.len());
    let mut pens = BTreeSet::new();
    for (contour, (expert, annotation)) in contours.iter().zip(&marked) {
        assert_eq!(contour.get("data-of"), expert.to_string());
        let [path] = contour.named("path")[..] else {
            panic!("{contour:?}");
        };
        let pen = ["stroke", "stroke-dasharray"].map(|key| path.get(key));
        pens.insert(pen[0]);
        pens.insert(if pen[1].is_empty() { "solid" } else { pen[1] });
        // The sample in the legend is drawn last, over its halo.
        let row = panel.group("expert", &expert.to_string());
        let sample = *row.named("path").last().unwrap();
        assert_eq!(
            ["stroke", "stroke-dasharray"].map(|key| sample.get(key)),
            pen
        );
        let area = annotation.mask.area_px();
        let told = row.texts()[1].replace([',', ' '], "");
        assert_eq!(told, format!("{area}px"), "expert {expert}");
        // The outermost pixels of the mask.
        let mask = &annotation.mask;
        let inside = mask
            .pixels
            .iter()
            .enumerate()
            .filter(|(_, inside)| **inside);
        let inside: Vec<[usize; 2]> = inside
            .map(|(i, _)| [i % mask.width, i / mask.width])
            .collect();
        let low = [0, 1].map(|axis| inside.iter().map(|at| at[axis]).min().unwrap() as f64);
        let high = [0, 1].map(|axis| inside.iter().map(|at| at[axis] + 1).max().unwrap() as f64);
        let [first, last] = [low, high].map(|[x, y]| place(x, y));
        let wanted = [first, last].concat();
        for (found, wanted) in path.bounds().into_iter().zip(wanted) {
            assert!(
                (found - wanted).abs() < 0.11,
                "expert {expert}: {found} for {wanted}"
            );
        }
    }
    assert_eq!(pens.len(), 2 * contours.len(), "{pens:?}");
}

/// The picture's colours and the scale's numbers are those that the masks give.
fn assert_agreement(svg: &Node, case: &Case) {
    let panel = svg.panel("b");
    let all = case.annotations.len();
    let rows = panel.groups("count");
    assert_eq!(rows.len(), all + 1);
    let colours: Vec<Vec<u8>> = (0..=all)
        .map(|count| colour(panel.group("count", &count.to_string()).named("rect")[0].get("fill")))
        .collect();
    assert_eq!(colours.iter().collect::<BTreeSet<_>>().len(), all + 1);
    let counts: Vec<usize> = (0..case.image.pixels.len())
        .map(|i| {
            case.annotations
                .values()
                .filter(|a| a.mask.pixels[i])
                .count()
        })
        .collect();
    for count in 1..=all {
        let found = counts.iter().filter(|found| **found == count).count();
        let texts = panel.group("count", &count.to_string()).texts().join(" ");
        let label = if count == all {
            format!("all {all}")
        } else {
            count.to_string()
        };
        let told = match found {
            0 => format!("{label} empty"),
            found => format!("{label} {found} px"),
        };
        assert_eq!(texts.replace(',', ""), told);
    }
    let (columns, drawn) = pixels(panel.named("image")[0]);
    let [left, top, width, height] = shown(svg, case);
    assert_eq!((columns, drawn.len()), (width, width * height));
    for (i, pixel) in drawn.iter().enumerate() {
        let (x, y) = (left + i % width, top + i / width);
        let count = counts[y * case.image.width + x];
        assert_eq!(pixel, &colours[count], "pixel {x}, {y}");
    }
}

/// Both numbers of every pair are the Dice of its masks.
fn assert_dice(svg: &Node, case: &Case) {
    let experts: Vec<u8> = case.annotations.keys().copied().collect();
    let groups = svg.panel("c").groups("dice");
    let mut pairs = 0;
    for (i, a) in experts.iter().enumerate() {
        for b in &experts[i + 1..] {
            let number = format!("{:.1}", dice(case, *a, *b));
            let cells = svg.panel("c").group("dice", &format!("{a} {b}"));
            assert_eq!(cells.texts(), [&number, &number], "{a} and {b}");
            pairs += 1;
        }
    }
    assert_eq!(groups.len(), pairs);
}

fn assert_all(svg: &Node, case: &Case) {
    assert_contours(svg, case);
    assert_agreement(svg, case);
    assert_dice(svg, case);
}

#[test]
fn a_case_of_the_phantom_is_drawn_as_its_masks_are() {
    let set = open(phantom());
    let (svg, said) = draw(phantom(), &["--case", "case20"]);
    assert_all(&svg, case(&set, "case20"));
    let title = svg.texts()[..2].join("\n");
    assert!(
        title.starts_with("case20, phantom (synthetic, seed 1)\nSynthetic data: "),
        "{title}"
    );
    assert!(
        said.out
            .starts_with("case20 of phantom (synthetic, seed 1), 7 experts"),
        "{said:?}"
    );
}

/// The folder, if this checkout has it beside it.
fn fetal() -> Option<&'static Path> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/fetal"));
    if !dir.is_dir() {
        eprintln!("skipped: {} is absent", dir.display());
        return None;
    }
    Some(dir)
}

#[test]
fn cases_of_real_anatomy_are_drawn_as_their_masks_are() {
    let Some(dir) = fetal() else { return };
    let set = open(dir);
    for name in ["case01", "case20", "case39"] {
        let (svg, _) = draw(dir, &["--case", name]);
        assert_all(&svg, case(&set, name));
        assert!(
            svg.texts()
                .iter()
                .any(|text| text.starts_with("Simulated experts: "))
        );
    }
}

#[test]
fn without_a_name_it_is_the_first_test_case_and_is_told() {
    let (svg, said) = draw(phantom(), &[]);
    assert!(
        said.out
            .starts_with("case35, the first test case of phantom"),
        "{said:?}"
    );
    assert!(svg.texts()[0].starts_with("case35, "));
}

/// `make figure1` draws it. Whoever has another processor gets the same bytes.
#[test]
fn the_committed_figure_is_drawn_again_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    run(folder.path(), &["data", "show", set, "-o", "new.svg"], 0);
    let found = fs::read(folder.path().join("new.svg")).unwrap();
    let committed = fs::read(repository().join("results/figure1.svg")).unwrap();
    assert!(found == committed, "`make figure1` draws it anew");
}

#[test]
fn the_detail_is_the_square_in_which_most_pixels_are_disputed() {
    let set = open(phantom());
    let case = case(&set, "case20");
    let (svg, _) = draw(phantom(), &["--case", "case20"]);
    let panel = svg.panel("a");
    let image = panel
        .children
        .iter()
        .find(|node| node.name == "image")
        .unwrap();
    let [left, top, width, height] = shown(&svg, case);
    let (side, _) = pixels(panel.groups("detail")[0].named("image")[0]);
    let disputed = |x0: usize, y0: usize| {
        let places = (y0..y0 + side).flat_map(|y| (x0..x0 + side).map(move |x| (x, y)));
        let masks = || {
            case.annotations
                .values()
                .map(|annotation| &annotation.mask.pixels)
        };
        let is_disputed = |(x, y): &(usize, usize)| {
            let at = y * case.image.width + x;
            masks().any(|mask| mask[at]) && masks().any(|mask| !mask[at])
        };
        places.filter(is_disputed).count()
    };
    let starts = (top..=top + height - side).step_by(3);
    let places = starts.flat_map(|y| (left..=left + width - side).step_by(3).map(move |x| (x, y)));
    let most = places.map(|(x, y)| disputed(x, y)).max().unwrap();
    let frame = panel.groups("frame")[0].named("path")[0].bounds();
    let scale = image.number("width") / width as f64;
    let x = left + ((frame[0] - image.number("x")) / scale).round() as usize;
    let y = top + ((frame[1] - image.number("y")) / scale).round() as usize;
    assert!(
        most > 0 && disputed(x, y) >= most,
        "{} < {most}",
        disputed(x, y)
    );
}

#[test]
fn a_png_shows_what_the_svg_shows() {
    let folder = tempfile::tempdir().unwrap();
    let set = phantom().to_str().unwrap();
    let said = run(folder.path(), &["data", "show", set, "-o", "drawn.PNG"], 0);
    assert!(!said.err.contains("note"), "{said:?}");
    let (width, pixels) = decoded(&fs::read(folder.path().join("drawn.PNG")).unwrap());
    let (svg, _) = draw(phantom(), &[]);
    let scale = width as f64 / svg.number("width");
    assert_eq!(scale, 2.0);
    let at = |x: f64, y: f64| &pixels[(y * scale) as usize * width + (x * scale) as usize];
    // The colours of the scale, and of the solid line in the legend.
    for row in svg.panel("b").groups("count") {
        let swatch = row.named("rect")[0];
        let [x, y, w, h] = ["x", "y", "width", "height"].map(|key| swatch.number(key));
        assert_eq!(at(x + w / 2.0, y + h / 2.0), &colour(swatch.get("fill")));
    }
    let sample = *svg.group("expert", "1").named("path").last().unwrap();
    let [left, y, right, _] = sample.bounds();
    assert_eq!(at((left + right) / 2.0, y), &colour(sample.get("stroke")));
    // The picture of agreement, pixel by pixel.
    let image = svg.panel("b").named("image")[0];
    let (columns, drawn) = super::drawing::pixels(image);
    let size = image.number("width") / columns as f64;
    for (i, pixel) in drawn.iter().enumerate() {
        let [x, y] = [i % columns, i / columns].map(|n| (n as f64 + 0.5) * size);
        assert_eq!(at(image.number("x") + x, image.number("y") + y), pixel);
    }
    // Every text leaves ink, and within its line only.
    for text in svg.named("text") {
        let [x, y, size] = ["x", "y", "font-size"].map(|key| text.number(key));
        let (from, to) = match text.get("text-anchor") {
            "" => (x, x + size / 2.0),
            "end" => (x - size / 2.0, x),
            _ => (x - size / 4.0, x + size / 4.0),
        };
        let strip = |top: f64, bottom: f64| {
            let steps = |low: f64, high: f64| {
                (0..=40).map(move |i| low + (high - low) * f64::from(i) / 40.0)
            };
            let places = steps(top, bottom).flat_map(|y| steps(from, to).map(move |x| (x, y)));
            places
                .map(|(x, y)| at(x, y).clone())
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert!(strip(y - 0.7 * size, y) > 3, "{text:?}");
    }
}
