//! The one-dimensional transforms of Winograd's minimal filtering (Lavin and Gray, arXiv
//! 1509.09308) for kernels of three taps, `y = A^T [(G g) * (B^T d)]`, and the adjoints that its
//! gradient by g takes. In two dimensions each is applied to columns, then to rows. Every lane of a
//! vector is a tile of its own, so a transform is plain arithmetic on registers.

#![expect(unsafe_code, reason = "register code, and slices shared by tasks")]

use crate::engine::lanes::machine::Vector;

/// Which transform: outputs of a tile, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tile {
    /// F(3, 3): 25 products for nine pixels. For images of three or six pixels, where larger tiles
    /// would be cut off.
    Three,
    /// F(4, 3): 36 products for sixteen pixels.
    Four,
}

impl Tile {
    pub(super) const ALL: [Self; 2] = [Self::Three, Self::Four];

    /// Output pixels, each way.
    pub(super) fn out(self) -> usize {
        match self {
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Input pixels, each way.
    pub(super) fn side(self) -> usize {
        self.out() + 2
    }

    /// Products of a tile.
    pub(super) fn points(self) -> usize {
        self.side() * self.side()
    }

    /// Whether a product is zero for planes of half the size, see [`Four::half_input`].
    pub(super) fn vanishes(self, point: usize) -> bool {
        let side = self.side();
        let present = |at: usize| Four::HALF.contains(&at);
        self == Self::Four && !(present(point / side) && present(point % side))
    }
}

/// Calls a function, generic over the vector and the transform, for a [`Tile`].
macro_rules! by_tile {
    ($tile:expr, $call:ident::<$vector:ident>($($argument:expr),* $(,)?)) => {
        match $tile {
            Tile::Three => $call::<$vector, Three, 5, 3>($($argument),*),
            Tile::Four => $call::<$vector, Four, 6, 4>($($argument),*),
        }
    };
}
pub(super) use by_tile;

/// The transforms of one tile size: `IN` inputs and products, `OUT` outputs.
pub(super) trait Transform<const IN: usize, const OUT: usize> {
    /// `B^T d`.
    fn input<V: Vector>(d: [V; IN]) -> [V; IN];
    /// `A^T m`.
    fn output<V: Vector>(m: [V; IN]) -> [V; OUT];
    /// `G g`.
    fn filter<V: Vector>(g: [V; 3]) -> [V; IN];
    /// `A d`, the adjoint of [`Self::output`].
    fn output_adjoint<V: Vector>(d: [V; OUT]) -> [V; IN];
    /// `G^T u`, the adjoint of [`Self::filter`].
    fn filter_adjoint<V: Vector>(u: [V; IN]) -> [V; 3];
}

/// A number in all lanes; `_` proves that the instruction set is available.
#[inline(always)]
fn constant<V: Vector>(_: V, value: f32) -> V {
    // SAFETY: a vector exists, so the instruction set is available.
    unsafe { V::splat(value) }
}

/// F(3, 3), with points 0, 1, -1, 2 and infinity.
pub(super) struct Three;

impl Transform<5, 3> for Three {
    #[inline(always)]
    fn input<V: Vector>(d: [V; 5]) -> [V; 5] {
        let (two, three) = (constant(d[0], 2.0), constant(d[0], 3.0));
        let (outer, middle) = (d[3].sub(d[1]), d[3].sub(d[2]));
        [
            d[0].sub(d[2]).fma(two, outer),
            d[1].fnma(two, middle),
            d[2].fnma(three, d[1].fma(two, d[3])),
            outer,
            outer.fnma(two, d[4].sub(d[2])),
        ]
    }

    #[inline(always)]
    fn output<V: Vector>(m: [V; 5]) -> [V; 3] {
        let (two, four) = (constant(m[0], 2.0), constant(m[0], 4.0));
        let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        [
            m[0].add(sum).add(m[3]),
            m[3].fma(two, difference),
            m[3].fma(four, sum.add(m[4])),
        ]
    }

    #[inline(always)]
    fn filter<V: Vector>(g: [V; 3]) -> [V; 5] {
        let (half, sixth) = (constant(g[0], 0.5), constant(g[0], 1.0 / 6.0));
        let (two, four) = (constant(g[0], 2.0), constant(g[0], 4.0));
        let outer = g[0].add(g[2]);
        [
            g[0].mul(half),
            outer.add(g[1]).mul(constant(g[0], -0.5)),
            g[1].sub(outer).mul(sixth),
            g[2].fma(four, g[1].fma(two, g[0])).mul(sixth),
            g[2],
        ]
    }

    #[inline(always)]
    fn output_adjoint<V: Vector>(d: [V; 3]) -> [V; 5] {
        let (two, four) = (constant(d[0], 2.0), constant(d[0], 4.0));
        let outer = d[0].add(d[2]);
        [
            d[0],
            outer.add(d[1]),
            outer.sub(d[1]),
            d[2].fma(four, d[1].fma(two, d[0])),
            d[2],
        ]
    }

    #[inline(always)]
    fn filter_adjoint<V: Vector>(u: [V; 5]) -> [V; 3] {
        let (half, third) = (constant(u[0], 0.5), constant(u[0], 1.0 / 3.0));
        let sixth = constant(u[0], 1.0 / 6.0);
        let half1 = u[1].mul(half);
        let difference = u[3].sub(u[2]);
        [
            difference.fma(sixth, u[0].mul(half).sub(half1)),
            u[3].fma(third, u[2].mul(sixth).sub(half1)),
            u[3].fma(half, difference.fma(sixth, u[4].sub(half1))),
        ]
    }
}

/// F(4, 3), with points 0, 1, -1, 2, -2 and infinity.
pub(super) struct Four;

impl Four {
    /// The points that planes of half the size have.
    pub(super) const HALF: [usize; 5] = [0, 1, 3, 4, 5];

    /// [`Transform::input`] of pixels each of which is there twice, `B^T (a, b, b, c, c, d)` for a
    /// tile whose outputs start between a and b. At the point -1 it is zero, whatever the
    /// pixels: 25 products are left of 36.
    #[inline(always)]
    pub(super) fn half_input<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 5] {
        let [two, three, four, five] = [2.0, 3.0, 4.0, 5.0].map(|value| constant(a, value));
        [
            b.fnma(five, a.fma(four, c)),
            b.fnma(four, c).mul(two),
            c.sub(b).mul(three),
            b.sub(c),
            c.fnma(five, b.fma(four, d)),
        ]
    }

    /// [`Transform::output`] summed over pairs of pixels, the adjoint of reading each twice. It
    /// uses no product at the point -1.
    #[inline(always)]
    pub(super) fn half_output<V: Vector>(m: [V; 5]) -> [V; 2] {
        let [two, three, four] = [2.0, 3.0, 4.0].map(|value| constant(m[0], value));
        let inner = m[2].mul(three).sub(m[3]);
        [
            m[1].fma(two, m[0]).add(inner),
            inner.fma(four, m[1].fma(two, m[4])),
        ]
    }
}

impl Transform<6, 4> for Four {
    #[inline(always)]
    fn input<V: Vector>(d: [V; 6]) -> [V; 6] {
        let [two, four, five] = [2.0, 4.0, 5.0].map(|value| constant(d[0], value));
        let (even, odd) = (d[2].fnma(four, d[4]), d[1].fnma(four, d[3]));
        let (difference, twice) = (d[4].sub(d[2]), d[3].sub(d[1]));
        [
            d[2].fnma(five, d[0].fma(four, d[4])),
            even.add(odd),
            even.sub(odd),
            twice.fma(two, difference),
            twice.fnma(two, difference),
            d[3].fnma(five, d[1].fma(four, d[5])),
        ]
    }

    #[inline(always)]
    fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
        let [two, four, eight] = [2.0, 4.0, 8.0].map(|value| constant(m[0], value));
        let (sum1, difference1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum1).add(sum2),
            difference2.fma(two, difference1),
            sum2.fma(four, sum1),
            difference2.fma(eight, difference1).add(m[5]),
        ]
    }

    #[inline(always)]
    fn filter<V: Vector>(g: [V; 3]) -> [V; 6] {
        let [quarter, sixth, twelfth] =
            [1.0 / 4.0, 1.0 / 6.0, 1.0 / 12.0].map(|value| constant(g[0], value));
        let inner2 = g[1].mul(twelfth);
        let (outer, inner) = (
            g[0].add(g[2]).mul(constant(g[0], -1.0 / 6.0)),
            g[1].mul(sixth),
        );
        let outer2 = g[0].fma(constant(g[0], 1.0 / 24.0), g[2].mul(sixth));
        [
            g[0].mul(quarter),
            outer.sub(inner),
            outer.add(inner),
            outer2.add(inner2),
            outer2.sub(inner2),
            g[2],
        ]
    }

    #[inline(always)]
    fn output_adjoint<V: Vector>(d: [V; 4]) -> [V; 6] {
        let [two, four, eight] = [2.0, 4.0, 8.0].map(|value| constant(d[0], value));
        let (even, odd) = (d[0].add(d[2]), d[1].add(d[3]));
        let (even2, odd2) = (d[2].fma(four, d[0]), d[3].fma(eight, d[1].mul(two)));
        [
            d[0],
            even.add(odd),
            even.sub(odd),
            even2.add(odd2),
            even2.sub(odd2),
            d[3],
        ]
    }

    #[inline(always)]
    fn filter_adjoint<V: Vector>(u: [V; 6]) -> [V; 3] {
        let [quarter, sixth] = [1.0 / 4.0, 1.0 / 6.0].map(|value| constant(u[0], value));
        let [twelfth, twentyfourth] = [1.0 / 12.0, 1.0 / 24.0].map(|value| constant(u[0], value));
        let (sum1, difference1) = (u[1].add(u[2]), u[2].sub(u[1]));
        let (sum2, difference2) = (u[3].add(u[4]), u[3].sub(u[4]));
        [
            sum2.fma(twentyfourth, sum1.fnma(sixth, u[0].mul(quarter))),
            difference2.fma(twelfth, difference1.mul(sixth)),
            sum2.sub(sum1).fma(sixth, u[5]),
        ]
    }
}
