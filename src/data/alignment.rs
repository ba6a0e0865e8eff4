//! A mask on the grid of the image that it is held against: equal places are equal pixels.
//!
//! The rule: wherever two images meet, their headers are compared here. A header that says nothing
//! contradicts nothing; a mask that is stored in another order of pixels is turned; a mask that
//! lies elsewhere or has pixels of another size is refused.

use itertools::Itertools;

use super::{
    Mask,
    nifti::{Fault, Header, PixelGrid, SpacingMm, rounded, same_spacing},
};

/// A mask on another image's grid.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The mask, of the other image's shape.
    pub mask: Mask,
    /// What had to be done to it, where anything had.
    pub turned: Option<String>,
}

/// Brings a mask with its header to the grid of another header. `other` is a word for what that
/// one belongs to: `image`.
///
/// # Errors
/// The two differ in shape, or their headers contradict each other.
pub fn align(mask: Mask, its: &Header, onto: &Header, other: &str) -> Result<Aligned, Fault> {
    let shape = [mask.width, mask.height];
    let wanted = onto.shape()?;
    let (found, expected) = (its.geometry(), onto.geometry());
    let as_it_is = |mask| Aligned { mask, turned: None };
    if shape == wanted && found.says_the_same_as(&expected) {
        return Ok(as_it_is(mask));
    }
    let same_shape = || match shape == wanted {
        true => Ok(()),
        false => Err(Fault::new(
            format!(
                "has {} x {} pixels, its {other} {} x {}",
                shape[0], shape[1], wanted[0], wanted[1]
            ),
            format!("export the mask on the grid of its {other}"),
        )),
    };
    let of_other = |fault: Fault| {
        let header = format!("cannot be placed, as the header of its {other}");
        let what = fault.what.replacen("has a header that", &header, 1);
        Fault::new(what, fault.remedy)
    };
    let grids = (found.grid()?, expected.grid().map_err(of_other)?);
    let turn = match grids {
        (Some(grid), Some(target)) => {
            let fits = |turn: &GridTurn| {
                turn.shape(shape) == wanted
                    && target.agrees(&turn.grid(&grid, shape), turn.moved(shape))
            };
            let Some(turn) = GridTurn::all().find(fits) else {
                same_shape()?;
                return Err(elsewhere(&grid, &target, other));
            };
            turn
        }
        _ => {
            same_shape()?;
            GridTurn::default()
        }
    };
    let size = found.stated_size().map(|size| turn.spacing(size));
    if let (Some(size), Some(expected)) = (size, expected.stated_size())
        && !same_spacing(size, expected)
    {
        return Err(Fault::new(
            format!(
                "has pixels of {} x {} mm by its header, its {other} {} x {} mm",
                rounded(size.x_mm),
                rounded(size.y_mm),
                rounded(expected.x_mm),
                rounded(expected.y_mm)
            ),
            remedy(other),
        ));
    }
    Ok(match turn == GridTurn::default() {
        true => as_it_is(mask),
        false => Aligned {
            turned: Some(format!(
                "is stored in another order of pixels than its {other} ({}), by its header, and \
                 is turned to it",
                turn.words().format(", ")
            )),
            mask: turn.apply(&mask),
        },
    })
}

fn remedy(other: &str) -> String {
    format!(
        "export it on the grid of its {other}; where its pixels are those of the {other} already, \
         write it with that header"
    )
}

fn elsewhere(grid: &PixelGrid, target: &PixelGrid, other: &str) -> Fault {
    let point = |p: [f64; 3]| format!("({})", p.iter().map(|v| rounded(*v)).format(", "));
    let lies = |grid: &PixelGrid| {
        format!(
            "first pixel {}, along x {}, along y {}",
            point(grid.first),
            point(grid.along_x),
            point(grid.along_y)
        )
    };
    Fault::new(
        format!(
            "lies elsewhere than its {other} by its header: {} mm, its {other} {} mm",
            lies(grid),
            lies(target)
        ),
        remedy(other),
    )
}

/// One of the eight ways in which the pixels of a plane can be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct GridTurn {
    /// Whether rows become columns.
    transposed: bool,
    /// Whether the stored columns run backwards.
    reversed_x: bool,
    /// Whether the stored rows run backwards.
    reversed_y: bool,
}

impl GridTurn {
    /// All of them, the one that changes nothing first.
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            transposed: bits & 4 != 0,
            reversed_x: bits & 1 != 0,
            reversed_y: bits & 2 != 0,
        })
    }

    /// Width and height after the turn.
    fn shape(self, [width, height]: [usize; 2]) -> [usize; 2] {
        match self.transposed {
            true => [height, width],
            false => [width, height],
        }
    }

    /// The stored pixel that becomes the first.
    fn first(self, [width, height]: [usize; 2]) -> [usize; 2] {
        let last = |reversed: bool, n: usize| if reversed { n - 1 } else { 0 };
        [last(self.reversed_x, width), last(self.reversed_y, height)]
    }

    /// How many steps lie between the stored first pixel and the one that becomes the first.
    fn moved(self, shape: [usize; 2]) -> usize {
        self.first(shape).iter().sum()
    }

    /// The grid of the turned image.
    fn grid(self, grid: &PixelGrid, shape: [usize; 2]) -> PixelGrid {
        let [x, y] = self.first(shape).map(|n| n as f64);
        let first =
            std::array::from_fn(|i| grid.first[i] + x * grid.along_x[i] + y * grid.along_y[i]);
        let step = |reversed: bool, step: [f64; 3]| step.map(|v| if reversed { -v } else { v });
        let steps = [
            step(self.reversed_x, grid.along_x),
            step(self.reversed_y, grid.along_y),
        ];
        let [along_x, along_y] = match self.transposed {
            true => [steps[1], steps[0]],
            false => steps,
        };
        PixelGrid {
            first,
            along_x,
            along_y,
        }
    }

    fn spacing(self, SpacingMm { x_mm, y_mm }: SpacingMm) -> SpacingMm {
        match self.transposed {
            true => SpacingMm {
                x_mm: y_mm,
                y_mm: x_mm,
            },
            false => SpacingMm { x_mm, y_mm },
        }
    }

    fn apply(self, mask: &Mask) -> Mask {
        let stored = [mask.width, mask.height];
        let [width, height] = self.shape(stored);
        let first = self.first(stored);
        let pixel = |(y, x): (usize, usize)| {
            let [u, v] = match self.transposed {
                true => [y, x],
                false => [x, y],
            };
            let (column, row) = (u.abs_diff(first[0]), v.abs_diff(first[1]));
            mask.pixels[row * mask.width + column]
        };
        Mask {
            height,
            width,
            pixels: (0..height).cartesian_product(0..width).map(pixel).collect(),
        }
    }

    /// What differs between the two orders.
    fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.transposed, "rows and columns exchanged"),
            (self.reversed_x, "x reversed"),
            (self.reversed_y, "y reversed"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }
}
