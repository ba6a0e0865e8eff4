//! An SVG that the program drew, read by its tags, and what the masks say it must show.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use expertgrid::data::{self, Case, Dataset};

use crate::support::common::{Said, run};

/// An element: its name, attributes, and what is in it, in order.
#[derive(Debug, Default)]
pub struct Node {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub children: Vec<Node>,
    pub text: String,
}

/// A text of XML as it was before it was escaped.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';').expect("every & begins an entity");
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        plain.push_str(rest);
    }
    plain
}

impl Node {
    /// Reads a document, in which every element is closed in its order.
    pub fn parse(text: &str) -> Self {
        let mut open = vec![Self::default()];
        let mut rest = text;
        while let Some((before, tag)) = rest.split_once('<') {
            open.last_mut().unwrap().text += &unescaped(before);
            let (tag, after) = tag.split_once('>').expect("every < ends with >");
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                let closed = open.pop().unwrap();
                assert_eq!(closed.name, name);
                open.last_mut().expect("one is open").children.push(closed);
                continue;
            }
            assert!(!tag.ends_with('/'), "{tag}");
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let mut node = Self {
                name: name.to_owned(),
                ..Self::default()
            };
            let mut words = attributes.split('"');
            while let (Some(key), Some(value)) = (words.next(), words.next()) {
                let key = key.trim().trim_end_matches('=').to_owned();
                let twice = node.attributes.insert(key, unescaped(value));
                assert_eq!(twice, None, "{tag}");
            }
            open.push(node);
        }
        assert_eq!(open.len(), 1, "every element is closed");
        let [svg] = <[Self; 1]>::try_from(open.remove(0).children).unwrap();
        assert_eq!(svg.name, "svg");
        svg
    }

    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    pub fn number(&self, key: &str) -> f64 {
        self.get(key)
            .parse()
            .unwrap_or_else(|_| panic!("{key} of {self:?}"))
    }

    /// All elements below it, in the order of the document.
    pub fn all(&self) -> Vec<&Self> {
        let below = self.children.iter();
        below
            .flat_map(|child| std::iter::once(child).chain(child.all()))
            .collect()
    }

    /// The elements of a name below it.
    pub fn named(&self, name: &str) -> Vec<&Self> {
        let all = self.all().into_iter();
        all.filter(|node| node.name == name).collect()
    }

    /// The groups of a class below it.
    pub fn groups(&self, class: &str) -> Vec<&Self> {
        let all = self.all().into_iter();
        all.filter(|node| node.get("class") == class).collect()
    }

    /// The groups of a class that it holds itself.
    pub fn own(&self, class: &str) -> Vec<&Self> {
        let own = self.children.iter();
        own.filter(|node| node.get("class") == class).collect()
    }

    /// The one group of a class and owner below it.
    pub fn group(&self, class: &str, of: &str) -> &Self {
        let found = self.groups(class).into_iter();
        let found: Vec<&Self> = found.filter(|node| node.get("data-of") == of).collect();
        assert_eq!(found.len(), 1, "{class} {of}");
        found[0]
    }

    pub fn panel(&self, letter: &str) -> &Self {
        self.group("panel", letter)
    }

    /// What its texts say.
    pub fn texts(&self) -> Vec<&str> {
        let texts = self.named("text").into_iter();
        texts.map(|node| node.text.as_str()).collect()
    }

    /// The bounds of a path's points, `[left, top, right, bottom]`.
    pub fn bounds(&self) -> [f64; 4] {
        let path = self.get("d").replace(['M', 'L', 'Z'], " ");
        let numbers = path.split_whitespace().map(|word| word.parse().unwrap());
        let numbers: Vec<f64> = numbers.collect();
        let far = f64::INFINITY;
        let points = numbers.chunks(2);
        points.fold([far, far, -far, -far], |[left, top, right, bottom], at| {
            let [x, y] = [at[0], at[1]];
            [left.min(x), top.min(y), right.max(x), bottom.max(y)]
        })
    }
}

/// The pixels of a picture within an SVG: its width, and three bytes of each or one.
pub fn pixels(image: &Node) -> (usize, Vec<Vec<u8>>) {
    let data = image.get("href").strip_prefix("data:image/png;base64,");
    let bytes = STANDARD.decode(data.unwrap()).unwrap();
    decoded(&bytes)
}

/// The width of a PNG and its pixels.
pub fn decoded(bytes: &[u8]) -> (usize, Vec<Vec<u8>>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut values = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut values).unwrap();
    let each = info.line_size / info.width as usize;
    (
        info.width as usize,
        values.chunks(each).map(<[u8]>::to_vec).collect(),
    )
}

/// `#rrggbb` as three bytes.
pub fn colour(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix('#').unwrap();
    let bytes = (0..3).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap());
    bytes.collect()
}

/// The part of an image that the notes say is shown: left, top, width, height.
pub fn shown(svg: &Node, case: &Case) -> [usize; 4] {
    let notes = svg.children.iter().filter(|node| node.name == "text");
    let notes: Vec<&str> = notes.map(|node| node.text.as_str()).collect();
    let notes = notes.join(" ");
    let (_, notes) = notes.split_once("Image of ").unwrap();
    if notes.contains("all of them are shown") {
        return [0, 0, case.image.width, case.image.height];
    }
    let part = notes
        .split("; ")
        .nth(1)
        .unwrap_or_else(|| panic!("{notes}"));
    let numbers = part.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<usize> = numbers.filter_map(|word| word.parse().ok()).collect();
    [numbers[2] - 1, numbers[3] - 1, numbers[0], numbers[1]]
}

/// Draws a case as SVG; also what the program said.
pub fn draw(set: &Path, more: &[&str]) -> (Node, Said) {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["data", "show", set.to_str().unwrap(), "-o", "drawn.svg"];
    arguments.extend(more);
    let said = run(folder.path(), &arguments, 0);
    let text = fs::read_to_string(folder.path().join("drawn.svg")).unwrap();
    (Node::parse(&text), said)
}

pub fn case<'a>(set: &'a Dataset, name: &str) -> &'a Case {
    set.cases().find(|case| case.name == name).unwrap()
}

/// Opens a folder whose warnings do not matter.
pub fn open(dir: &Path) -> Dataset {
    data::open(dir).unwrap()
}

/// Dice in per cent from its definition; 100 for two empty masks.
pub fn dice(case: &Case, a: u8, b: u8) -> f64 {
    let [a, b] = [a, b].map(|expert| &case.mask(expert).unwrap().pixels);
    let count = |of: &mut dyn Iterator<Item = bool>| of.filter(|inside| *inside).count() as f64;
    let both = count(&mut a.iter().zip(b).map(|(a, b)| *a && *b));
    let areas = count(&mut a.iter().copied()) + count(&mut b.iter().copied());
    if areas == 0.0 {
        100.0
    } else {
        200.0 * both / areas
    }
}
