//! `expertgrid completions` and `expertgrid man`: what shells and `man` need to know of the command
//! line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory, builder::Resettable};
use clap_complete::Shell;
use clap_mangen::Man;
use itertools::Itertools;

use super::{Cli, Done, Failure, output::print};
use crate::manifest;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  expertgrid completions bash > ~/.local/share/bash-completion/completions/expertgrid
  expertgrid completions zsh > ~/.zfunc/_expertgrid         # with `fpath+=~/.zfunc` in .zshrc
  expertgrid completions fish > ~/.config/fish/completions/expertgrid.fish")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: expertgrid man -o ~/.local/share/man/man1")]
pub(super) struct ManPages {
    /// Folder to write to: one page for each command.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn completions(arguments: &Completions) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "expertgrid",
        &mut script,
    );
    let script = with_tables(arguments.shell, &String::from_utf8_lossy(&script));
    print(script.trim_end());
    Ok(Done::Whole)
}

/// A script that offers the names of the paper's tables, too, where a command takes manifests.
fn with_tables(shell: Shell, script: &str) -> String {
    const ZSH_END: &str = "if [ \"$funcstack[1]\" = \"_expertgrid\" ]";
    let tables = manifest::shipped_names().format(" ").to_string();
    match shell {
        // Words that a command knows count before files, which are offered where none fits.
        Shell::Bash => {
            let line = |line: &str| match line.trim_start().starts_with("opts=") {
                true if line.contains(" --profile ") => {
                    format!("{} {tables}\"", line.trim_end_matches('"'))
                }
                _ => line.to_owned(),
            };
            script.lines().map(line).join("\n")
        }
        Shell::Zsh => {
            let line = |line: &str| match line.starts_with("'*::manifests -- ") {
                true => line.replace(":_files'", ":_expertgrid_manifests'"),
                false => line.to_owned(),
            };
            let offered = format!(
                "_expertgrid_manifests() {{\n    _alternative 'tables:table:({tables})' \
                 'files:manifest:_files'\n}}\n\n"
            );
            let script = script.lines().map(line).join("\n");
            script.replace(ZSH_END, &format!("{offered}{ZSH_END}"))
        }
        Shell::Fish => {
            let command = Cli::command();
            let takes_manifests = |sub: &&Command| {
                let mut arguments = sub.get_arguments();
                !sub.is_hide_set() && arguments.any(|argument| argument.get_id() == "manifests")
            };
            let commands = command.get_subcommands().filter(takes_manifests);
            let names = commands.map(Command::get_name).join(" ");
            format!(
                "{script}complete -c expertgrid -n \"__fish_seen_subcommand_from {names}\" -a \
                 \"{tables}\"\n"
            )
        }
        _ => script.to_owned(),
    }
}

pub(super) fn man_pages(arguments: &ManPages) -> Result<Done, Failure> {
    let ManPages { out } = arguments;
    let write = || -> io::Result<()> {
        fs::create_dir_all(out)?;
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        write_pages(&command, out)
    };
    write()
        .with_context(|| format!("writing the pages to {}", out.display()))
        .map_err(Failure::Input)?;
    print(format_args!("written to {}", out.display()));
    Ok(Done::Whole)
}

/// Writes the page of a command and those of its commands.
fn write_pages(command: &Command, out: &Path) -> io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write_pages(sub, out)?;
    }
    let after = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command.clone().after_help(Resettable::Reset));
    let mut page = Vec::new();
    man.render(&mut page)?;
    page.extend(after_help(&after.unwrap_or_default()).into_bytes());
    fs::write(out.join(man.get_filename()), page)
}

/// What follows a command's help: notes as running text, examples line by line.
fn after_help(text: &str) -> String {
    let is_head = |line: &str| line.starts_with("Example");
    let (mut notes, mut examples, mut among_examples) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        // An example of one line, or several below a heading, up to an empty line.
        match (is_head(line), line.split_once(": ")) {
            (true, Some((_, example))) => examples.push(example),
            (true, None) => {}
            (false, _) if among_examples && !line.is_empty() => examples.push(line.trim_start()),
            (false, _) => notes.push(line),
        }
        among_examples = is_head(line) || (among_examples && !line.is_empty());
    }
    let roff = |line: &str| {
        let mut text = String::new();
        for c in line.chars() {
            match c {
                '\\' => text.push_str("\\e"),
                '-' => text.push_str("\\-"),
                // As they are typed, not as they are printed.
                '\'' => text.push_str("\\(aq"),
                '`' => text.push_str("\\(ga"),
                '^' => text.push_str("\\(ha"),
                '~' => text.push_str("\\(ti"),
                // At the beginning of a line it would be a command to the formatter.
                '.' if text.is_empty() => text.push_str("\\&."),
                c => text.push(c),
            }
        }
        text + "\n"
    };
    let mut page = String::new();
    if notes.iter().any(|line| !line.is_empty()) {
        page.push_str(".SH NOTES\n");
        let notes = notes.split(|line| line.is_empty());
        for paragraph in notes.filter(|paragraph| !paragraph.is_empty()) {
            page.push_str(".PP\n");
            page.extend(paragraph.iter().map(|line| roff(line)));
        }
    }
    if !examples.is_empty() {
        page.push_str(".SH EXAMPLES\n.nf\n");
        page.extend(examples.iter().map(|line| roff(line)));
        page.push_str(".fi\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_shown_line_by_line_and_notes_as_text() {
        let page = after_help(
            "It waits.\nThen it ends.\n\nExamples:\n  a --only 'n=5' \\d\n  .b ~/c\n\nSee `d`.",
        );
        let expected = ".SH NOTES\n.PP\nIt waits.\nThen it ends.\n.PP\nSee \\(gad\\(ga.\n\
            .SH EXAMPLES\n.nf\na \\-\\-only \\(aqn=5\\(aq \\ed\n\\&.b \\(ti/c\n.fi\n";
        assert_eq!(page, expected);
        assert_eq!(after_help("Example: a b"), ".SH EXAMPLES\n.nf\na b\n.fi\n");
    }
}
