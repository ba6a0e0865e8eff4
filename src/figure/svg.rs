//! A drawing as SVG.
//!
//! The rule: the same drawing gives the same bytes on every machine. Text stays text, in whatever
//! font the viewer has.

use maud::{Markup, PreEscaped, html};

use super::{
    coordinate::px,
    outline,
    pen::Pen,
    sheet::{Anchor, Area, Shape, Sheet},
};

const FONTS: &str = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

impl Sheet {
    /// The drawing as the text of an SVG file.
    pub fn svg(&self) -> String {
        self.element(Some("http://www.w3.org/2000/svg"))
            .into_string()
            + "\n"
    }

    /// The drawing as an element of an HTML page, which knows SVG without its namespace.
    pub fn inline_svg(&self) -> Markup {
        self.element(None)
    }

    fn element(&self, namespace: Option<&str>) -> Markup {
        let Self {
            width,
            height,
            says,
            shapes,
        } = self;
        html! {
            svg xmlns=[namespace] width=(px(*width)) height=(px(*height))
                viewBox=(format!("0 0 {} {}", px(*width), px(*height))) role="img"
                font-family=(FONTS) {
                title { (allowed(says)) }
                rect width=(px(*width)) height=(px(*height)) fill="#ffffff" {}
                @for shape in shapes { (PreEscaped("\n")) (self::shape(shape)) }
            }
        }
    }
}

fn shape(shape: &Shape) -> Markup {
    match shape {
        Shape::Group {
            class,
            of,
            says,
            shapes,
        } => html! {
            g class=(class) data-of=[(!of.is_empty()).then(|| allowed(of))] {
                @if !says.is_empty() { title { (allowed(says)) } }
                @for part in shapes { (PreEscaped("\n")) (self::shape(part)) }
            }
        },
        Shape::Filled { area, colour } => {
            let [x, y, width, height] = sides(area);
            html! {
                rect x=(x) y=(y) width=(width) height=(height) fill=(colour.hex()) {}
            }
        }
        Shape::Picture {
            area,
            bitmap,
            has_edges,
        } => {
            let [x, y, width, height] = sides(area);
            let rendering = has_edges.then_some("image-rendering:pixelated");
            html! {
                image x=(x) y=(y) width=(width) height=(height) preserveAspectRatio="none"
                    image-rendering=[has_edges.then_some("optimizeSpeed")] style=[rendering]
                    href=(bitmap.data_uri()) {}
            }
        }
        Shape::Lines { lines, pen } => {
            let Pen {
                colour,
                width,
                dash,
            } = pen;
            let dash: Vec<String> = dash.iter().map(|length| px(*length)).collect();
            html! {
                path d=(outline::path(lines)) fill="none" stroke=(colour.hex())
                    stroke-width=(px(*width))
                    stroke-dasharray=[(!dash.is_empty()).then(|| dash.join(" "))] {}
            }
        }
        Shape::Text {
            at: [x, y],
            text,
            size,
            anchor,
            is_bold,
            colour,
        } => {
            let anchor = match anchor {
                Anchor::Start => None,
                Anchor::Middle => Some("middle"),
                Anchor::End => Some("end"),
            };
            html! {
                text x=(px(*x)) y=(px(*y)) font-size=(px(*size)) fill=(colour.hex())
                    text-anchor=[anchor] font-weight=[is_bold.then_some("bold")] {
                    (allowed(text))
                }
            }
        }
    }
}

fn sides(area: &Area) -> [String; 4] {
    [area.x, area.y, area.width, area.height].map(px)
}

/// A text without what XML forbids even where it is escaped.
fn allowed(text: &str) -> String {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let replaced = text.chars().map(|c| match is_forbidden(c) {
        true => '\u{fffd}',
        false => c,
    });
    replaced.collect()
}
