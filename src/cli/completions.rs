//! `expertgrid completions` and `expertgrid man`: what shells and `man` need to know of the command
//! line.

use std::{io, path::PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done, Failure, output::print};

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
    print(String::from_utf8_lossy(&script).trim_end());
    Ok(Done::Whole)
}

pub(super) fn man_pages(arguments: &ManPages) -> Result<Done, Failure> {
    let ManPages { out } = arguments;
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(out)?;
        clap_mangen::generate_to(Cli::command(), out)
    };
    write()
        .with_context(|| format!("writing the pages to {}", out.display()))
        .map_err(Failure::Input)?;
    print(format_args!("written to {}", out.display()));
    Ok(Done::Whole)
}
