//! Which file uses which: the paths in source texts, resolved to the files that define what they
//! name.
//!
//! A path through a `use` leads to the file of what is used. Hence a file that only passes on the
//! names of others (`pub use`) uses none of them. Comments and strings are left out; `mod tests` is
//! part of its file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The files of a crate, and what each uses.
pub struct SourceGraph {
    files: Vec<File>,
}

/// One source file.
struct File {
    /// From the folder of sources, with `/`.
    path: String,
    /// The modules it is in, from the crate's root; none for `lib.rs`.
    module: Vec<String>,
    /// The modules it declares that are files, in their order.
    children: Vec<String>,
    /// Names that a `use` gives it, with their paths from the crate's root.
    names: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names a `use` gives it.
    globs: Vec<Vec<String>>,
    /// Paths from the crate's root that its text uses.
    paths: BTreeSet<Vec<String>>,
    /// What it defines itself.
    items: BTreeSet<String>,
}

impl SourceGraph {
    /// Of all files that `lib.rs` in `folder` declares, directly or not.
    pub fn read(folder: &Path) -> Self {
        let mut graph = Self { files: Vec::new() };
        graph.add(folder, "lib.rs".to_owned(), Vec::new());
        graph
    }

    fn add(&mut self, folder: &Path, path: String, module: Vec<String>) {
        let text = fs::read_to_string(folder.join(&path)).unwrap();
        let file = File::parse(path, module.clone(), &text);
        let children = file.children.clone();
        self.files.push(file);
        for child in children {
            let module: Vec<String> = module.iter().cloned().chain([child]).collect();
            let base = module.join("/");
            let candidates = [format!("{base}.rs"), format!("{base}/mod.rs")];
            let found = candidates.into_iter().find(|p| folder.join(p).exists());
            self.add(folder, found.unwrap_or_else(|| panic!("{base}")), module);
        }
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The modules that the file at `path` declares, in their order.
    pub fn children(&self, path: &str) -> &[String] {
        let file = self.files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("{path}")).children
    }

    /// Each file with the others that it uses.
    pub fn uses(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let uses = |file: &File| {
            let found = file.paths.iter().map(|path| self.resolve(path, 0));
            let found = found.map(|at| self.files[at].path.as_str());
            found.filter(|path| *path != file.path).collect()
        };
        let files = self.files.iter();
        files.map(|file| (file.path.as_str(), uses(file))).collect()
    }

    /// Files each of which uses all others of its group, directly or not.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let uses = self.uses();
        let reached: BTreeMap<&str, BTreeSet<&str>> = uses
            .keys()
            .map(|start| {
                let (mut seen, mut left) = (BTreeSet::new(), vec![*start]);
                while let Some(file) = left.pop() {
                    left.extend(uses[file].iter().filter(|next| seen.insert(**next)));
                }
                (*start, seen)
            })
            .collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            if others.contains(file) {
                let back = others.iter().filter(|other| reached[*other].contains(file));
                circles.insert(back.copied().collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }

    /// The file that defines what a path from the crate's root names.
    fn resolve(&self, path: &[String], depth: usize) -> usize {
        assert!(depth < 32, "a name leads to itself: {path:?}");
        let mut at = 0;
        for (i, name) in path.iter().enumerate() {
            let file = &self.files[at];
            if file.children.contains(name) {
                let child: Vec<&String> = file.module.iter().chain([name]).collect();
                let is_child = |file: &File| file.module.iter().eq(child.iter().copied());
                at = self.files.iter().position(is_child).unwrap();
            } else if let Some(target) = file.names.get(name) {
                return self.resolve(&[target, &path[i + 1..]].concat(), depth + 1);
            } else {
                let modules = file.globs.iter();
                let has = |module: &&Vec<String>| {
                    let from = &self.files[self.resolve(module, depth + 1)];
                    from.items.contains(name) || from.names.contains_key(name)
                };
                return match modules.filter(|_| !file.items.contains(name)).find(has) {
                    Some(module) => self.resolve(&[module, &path[i..]].concat(), depth + 1),
                    None => at,
                };
            }
        }
        at
    }
}

impl File {
    fn parse(path: String, module: Vec<String>, text: &str) -> Self {
        let tokens = tokens(text);
        let at = |i: usize| tokens.get(i).map_or("", String::as_str);
        let mut file = Self {
            path,
            module,
            children: Vec::new(),
            names: BTreeMap::new(),
            globs: Vec::new(),
            paths: BTreeSet::new(),
            items: BTreeSet::new(),
        };
        // Modules in the text: their names, and at which depth of braces they end.
        let (mut inline, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
        let (mut local, mut passed_on, mut words) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut i = 0;
        while i < tokens.len() {
            match at(i) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inline.pop_if(|(_, end)| *end == depth);
                }
                "mod" if at(i + 2) == ";" => {
                    i += 1;
                    file.children.push(at(i).to_owned());
                }
                "mod" if at(i + 2) == "{" => inline.push((at(i + 1).to_owned(), depth)),
                // The place from which something is visible.
                "pub" if at(i + 1) == "(" && PLACES.contains(&at(i + 2)) => {
                    while at(i) != ")" {
                        i += 1;
                    }
                }
                "use" if is_word(at(i + 1)) || at(i + 1) == "{" => {
                    let is_public = at(i - 1) == "pub" || at(i - 1) == ")";
                    let mut leaves = Vec::new();
                    i = tree(&tokens, i + 1, &mut Vec::new(), &mut leaves);
                    let inside: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
                    for (path, name) in leaves {
                        let to = if is_public {
                            &mut passed_on
                        } else {
                            &mut local
                        };
                        to.push((inside.clone(), path, name));
                    }
                }
                word if is_word(word) => {
                    words.insert(word.to_owned());
                    if ITEMS.contains(&word) {
                        file.items.insert(at(i + 1).to_owned());
                    }
                    if word == "macro_rules" {
                        file.items.insert(at(i + 2).to_owned());
                    }
                    if at(i + 1) == "::" && at(i.wrapping_sub(1)) != "::" {
                        let mut path = vec![word.to_owned()];
                        while at(i + 1) == "::" && is_word(at(i + 2)) {
                            path.push(at(i + 2).to_owned());
                            i += 2;
                        }
                        let inside = inline.iter().map(|(name, _)| name.clone()).collect();
                        local.push((inside, path, None));
                    }
                }
                _ => {}
            }
            i += 1;
        }
        // Names first: paths may begin with them.
        for (inside, path, name) in passed_on.iter().chain(&local) {
            let Some(name) = name else { continue };
            if let Some(path) = file.absolute(inside, path) {
                match name.as_str() {
                    "*" if path != file.module => file.globs.push(path),
                    "*" => {}
                    name if path != [&file.module[..], &[name.to_owned()]].concat() => {
                        file.names.insert(name.to_owned(), path);
                    }
                    _ => {}
                }
            }
        }
        // A name that is passed on counts where the file uses it, too.
        let used = |name: &Option<String>| name.as_ref().is_some_and(|name| words.contains(name));
        let passed_on = passed_on.iter().filter(|(_, _, name)| used(name));
        for (inside, path, _) in local.iter().chain(passed_on) {
            if let Some(path) = file.absolute(inside, path) {
                file.paths.insert(path);
            }
        }
        file
    }

    /// From the crate's root; nothing for a path into another crate.
    fn absolute(&self, inside: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut from = [&self.module[..], inside].concat();
        let mut rest = path;
        match rest[0].as_str() {
            "crate" => (from, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    from.pop();
                    rest = &rest[1..];
                }
            }
            first if self.children.iter().any(|child| child == first) => from = self.module.clone(),
            first => (from, rest) = (self.names.get(first)?.clone(), &rest[1..]),
        }
        Some([&from[..], rest].concat())
    }
}

/// What begins the place in `pub(...)`.
const PLACES: [&str; 4] = ["crate", "super", "self", "in"];

/// The words before the name of an item.
const ITEMS: [&str; 8] = [
    "fn", "struct", "enum", "union", "trait", "type", "const", "static",
];

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A path, and the name it is used under; `*` for all.
type Leaf = (Vec<String>, Option<String>);

/// The leaves of the tree of a `use` that begins at token `i`; returns where it ends.
fn tree(tokens: &[String], mut i: usize, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) -> usize {
    let kept = path.len();
    loop {
        match tokens[i].as_str() {
            "{" => {
                while tokens[i] != "}" {
                    i += 1;
                    if tokens[i] != "}" {
                        i = tree(tokens, i, path, leaves);
                    }
                }
                i += 1;
                break;
            }
            "*" => {
                leaves.push((path.clone(), Some("*".to_owned())));
                i += 1;
                break;
            }
            "::" => i += 1,
            word => {
                // `self` at the end names what is before it.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                i += 1;
                if tokens[i] != "::" {
                    let mut name = path.last().cloned();
                    if tokens[i] == "as" {
                        name = Some(tokens[i + 1].clone());
                        i += 2;
                    }
                    leaves.push((path.clone(), name));
                    break;
                }
            }
        }
    }
    path.truncate(kept);
    i
}

/// Words, `::` and single characters, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                while !(at(i) == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            '"' => {
                i += 1;
                while at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            'r' if at(i + 1) == '"' || at(i + 1) == '#' && "#\"".contains(at(i + 2)) => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                i += hashes + 2;
                let closes = |i: usize| at(i) == '"' && (1..=hashes).all(|h| at(i + h) == '#');
                while !closes(i) {
                    i += 1;
                }
                i += 1 + hashes;
            }
            '\'' => {
                i += 1;
                if at(i) == '\\' || at(i + 1) == '\'' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                    while at(i) != '\'' {
                        i += 1;
                    }
                    i += 1;
                } else {
                    while is_part(at(i)) {
                        i += 1;
                    }
                }
            }
            ':' if at(i + 1) == ':' => {
                tokens.push("::".to_owned());
                i += 2;
            }
            c if is_part(c) => {
                while is_part(at(i)) {
                    i += 1;
                }
                // The prefix of a string of bytes is no word.
                if !(at(i) == '"' || c == 'b' && i == start + 1 && at(i) == '\'') {
                    tokens.push(chars[start..i].iter().collect());
                }
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    tokens
}
