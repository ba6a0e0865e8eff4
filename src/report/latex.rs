//! Documents as LaTeX: one file that compiles as it is, with the package booktabs.
//!
//! The rule: it compiles whatever a label, a reason or a title holds: what LaTeX reads as a command
//! is escaped, Greek and the usual signs are set in mathematics, what its fonts lack is written as
//! a code point.

use std::fmt::Write;

use itertools::Itertools;

use super::document::{Align, Column, Document, Element, Mark, MarkedText, Tabular};

const PREAMBLE: &str = r"% Compiles as it is: pdflatex FILE.tex
% In a paper: copy the tabular environments; they need \usepackage{booktabs}.
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage[margin=2cm]{geometry}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\begin{document}
";

/// All documents in one file.
pub fn latex(documents: &[Document]) -> String {
    let mut text = PREAMBLE.to_owned();
    for document in documents {
        let _ = writeln!(text, "\n\\section*{{{}}}", escaped(&document.title));
        for element in &document.elements {
            text.push('\n');
            text.push_str(&match element {
                Element::Paragraph(words) => format!("{}\n", marked(words)),
                Element::Heading(heading) => format!("\\subsection*{{{}}}\n", escaped(heading)),
                Element::List(items) => list(items),
                Element::Tabular(grid) => tabular(grid),
            });
        }
    }
    text.push_str("\n\\end{document}\n");
    text
}

fn list(items: &[MarkedText]) -> String {
    let items = items
        .iter()
        .map(|item| format!("\\item {}\n", marked(item)));
    format!("\\begin{{itemize}}\n{}\\end{{itemize}}\n", items.format(""))
}

fn tabular(grid: &Tabular) -> String {
    let aligns = grid.columns.iter().map(|column| match column.align {
        Align::Left => "l",
        Align::Right => "r",
    });
    let mut text = format!(
        "\\begin{{center}}\n\\textbf{{{}}}\\\\[4pt]\n\\begin{{tabular}}{{r{}}}\n\\toprule\n{}\
         \\midrule\n",
        escaped(&grid.heading),
        aligns.format(""),
        head(grid),
    );
    for row in &grid.rows {
        let entries = row.entries.iter().map(|entry| marked(&entry.text));
        let _ = writeln!(
            text,
            "{} & {} \\\\",
            escaped(&row.head),
            entries.format(" & ")
        );
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n\\end{center}\n");
    text
}

/// The head: one line, or two where a column has an upper and a lower head.
fn head(grid: &Tabular) -> String {
    let corner = escaped(&grid.corner);
    if grid.columns.iter().all(|column| column.under.is_empty()) {
        let names = grid.columns.iter().map(|column| escaped(&column.over));
        return format!("{corner} & {} \\\\\n", names.format(" & "));
    }
    let groups = grid.columns.iter().chunk_by(|column| &column.over);
    let (mut over, mut rules, mut next) = (Vec::new(), String::new(), 2);
    for (name, columns) in &groups {
        let count = columns.count();
        over.push(format!(
            "\\multicolumn{{{count}}}{{c}}{{{}}}",
            escaped(name)
        ));
        if !name.is_empty() {
            let _ = write!(rules, "\\cmidrule(lr){{{next}-{}}}", next + count - 1);
        }
        next += count;
    }
    let under = |column: &Column| escaped(&column.under);
    format!(
        " & {} \\\\\n{rules}\n{corner} & {} \\\\\n",
        over.iter().format(" & "),
        grid.columns.iter().map(under).format(" & "),
    )
}

fn marked(text: &MarkedText) -> String {
    let spans = text.0.iter().map(|span| {
        let words = escaped(&span.text);
        match span.mark {
            Mark::Plain => words,
            Mark::Bold => format!("\\textbf{{{words}}}"),
            Mark::Underlined => format!("\\underline{{{words}}}"),
            Mark::Both => format!("\\textbf{{\\underline{{{words}}}}}"),
            Mark::Code => format!("\\texttt{{{words}}}"),
        }
    });
    spans.collect()
}

/// Pairs of characters that LaTeX's fonts join.
const JOINED: [[char; 2]; 6] = [
    ['-', '-'],
    ['\'', '\''],
    ['`', '`'],
    [',', ','],
    ['?', '`'],
    ['!', '`'],
];

/// Signs beyond Latin 1: commands of mathematics, and what is written with plain letters.
const SIGNS: &[(char, &str)] = &[
    ('α', "\\alpha"),
    ('β', "\\beta"),
    ('γ', "\\gamma"),
    ('δ', "\\delta"),
    ('ε', "\\varepsilon"),
    ('ζ', "\\zeta"),
    ('η', "\\eta"),
    ('θ', "\\theta"),
    ('ι', "\\iota"),
    ('κ', "\\kappa"),
    ('λ', "\\lambda"),
    ('μ', "\\mu"),
    ('ν', "\\nu"),
    ('ξ', "\\xi"),
    ('ο', "o"),
    ('π', "\\pi"),
    ('ρ', "\\rho"),
    ('σ', "\\sigma"),
    ('ς', "\\varsigma"),
    ('τ', "\\tau"),
    ('υ', "\\upsilon"),
    ('φ', "\\varphi"),
    ('χ', "\\chi"),
    ('ψ', "\\psi"),
    ('ω', "\\omega"),
    ('ϵ', "\\epsilon"),
    ('ϕ', "\\phi"),
    ('Α', "A"),
    ('Β', "B"),
    ('Γ', "\\Gamma"),
    ('Δ', "\\Delta"),
    ('Ε', "E"),
    ('Ζ', "Z"),
    ('Η', "H"),
    ('Θ', "\\Theta"),
    ('Ι', "I"),
    ('Κ', "K"),
    ('Λ', "\\Lambda"),
    ('Μ', "M"),
    ('Ν', "N"),
    ('Ξ', "\\Xi"),
    ('Ο', "O"),
    ('Π', "\\Pi"),
    ('Ρ', "P"),
    ('Σ', "\\Sigma"),
    ('Τ', "T"),
    ('Υ', "\\Upsilon"),
    ('Φ', "\\Phi"),
    ('Χ', "X"),
    ('Ψ', "\\Psi"),
    ('Ω', "\\Omega"),
    ('₀', "_0"),
    ('₁', "_1"),
    ('₂', "_2"),
    ('₃', "_3"),
    ('₄', "_4"),
    ('₅', "_5"),
    ('₆', "_6"),
    ('₇', "_7"),
    ('₈', "_8"),
    ('₉', "_9"),
    ('⁰', "^0"),
    ('⁴', "^4"),
    ('⁵', "^5"),
    ('⁶', "^6"),
    ('⁷', "^7"),
    ('⁸', "^8"),
    ('⁹', "^9"),
    ('⁻', "^-"),
    ('→', "\\rightarrow"),
    ('←', "\\leftarrow"),
    ('↔', "\\leftrightarrow"),
    ('≈', "\\approx"),
    ('≠', "\\neq"),
    ('≪', "\\ll"),
    ('≫', "\\gg"),
    ('∞', "\\infty"),
    ('∈', "\\in"),
    ('∑', "\\sum"),
    ('√', "\\surd"),
    ('∆', "\\Delta"),
    ('…', "..."),
    ('—', "---"),
    ('‘', "`"),
    ('’', "'"),
    ('“', "``"),
    ('”', "''"),
    ('„', ",,"),
    ('‐', "-"),
    ('‑', "-"),
];

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut before = ' ';
    for c in text.chars() {
        // LaTeX joins these two into a dash or another sign.
        if JOINED.contains(&[before, c]) {
            escaped.push_str("{}");
        }
        before = c;
        match c {
            '#' | '$' | '%' | '&' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' | '>' | '|' => {
                let _ = write!(
                    escaped,
                    "${}$",
                    if c == '|' {
                        "\\vert"
                    } else if c == '<' {
                        "<"
                    } else {
                        ">"
                    }
                );
            }
            '↑' => escaped.push_str("$\\uparrow$"),
            '↓' => escaped.push_str("$\\downarrow$"),
            '†' => escaped.push_str("\\dag{}"),
            '–' => escaped.push_str("--"),
            '−' => escaped.push_str("$-$"),
            '±' => escaped.push_str("$\\pm$"),
            '≥' => escaped.push_str("$\\geq$"),
            '≤' => escaped.push_str("$\\leq$"),
            '×' => escaped.push_str("$\\times$"),
            '\u{a1}'..='\u{ff}' | ' '..='~' => escaped.push(c),
            c if c.is_whitespace() => escaped.push(' '),
            other => match SIGNS.iter().find(|(sign, _)| *sign == other) {
                Some((_, name)) if name.starts_with('\\') || name.starts_with(['_', '^']) => {
                    let _ = write!(escaped, "${name}$");
                }
                Some((_, letters)) => escaped.push_str(letters),
                None => {
                    let _ = write!(escaped, "[U+{:04X}]", u32::from(other));
                }
            },
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_title_holds_is_set_as_it_is() {
        for (text, expected) in [
            (
                "α = 0.05, β₂ → 0.99, n ≥ 5",
                r"$\alpha$ = 0.05, $\beta$$_2$ $\rightarrow$ 0.99, n $\geq$ 5",
            ),
            ("--set a=b ''c'' ?`", "-{}-set a=b '{}'c'{}' ?{}`"),
            ("---", "-{}-{}-"),
            ("“a” — b", "``a'' --- b"),
            ("日 w_1", "[U+65E5] w\\_1"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
