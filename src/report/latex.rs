//! Documents as LaTeX: one file that compiles as it is, with the package booktabs.
//!
//! The rule: it compiles whatever a label, a reason or a title holds: what LaTeX reads as a command
//! is escaped, what its fonts lack is written as a code point.

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

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
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
            other => {
                let _ = write!(escaped, "[U+{:04X}]", u32::from(other));
            }
        }
    }
    escaped
}
