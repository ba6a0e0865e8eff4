//! Errors of the command line: what was meant by a mistyped command, and no advice that is none.

use clap::{
    CommandFactory,
    builder::StyledStr,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::Cli;
use crate::suggestion::nearest_of;

/// The error with the command that was meant, and without the advice to pass an unknown option as a
/// value.
pub(super) fn told(mut error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let Some(ContextValue::String(found)) = error.get(ContextKind::InvalidSubcommand)
            else {
                return error;
            };
            // The group of commands that the words before it lead to.
            let mut group = Cli::command();
            for word in std::env::args().skip(1).take_while(|word| word != found) {
                if let Some(inner) = group.find_subcommand(&word) {
                    group = inner.clone();
                }
            }
            let known = group.get_subcommands().filter(|sub| !sub.is_hide_set());
            let known: Vec<&str> = known.map(clap::Command::get_name).collect();
            if let Some(meant) = nearest_of(found, &known) {
                let meant = ContextValue::Strings(vec![meant.to_owned()]);
                error.insert(ContextKind::SuggestedSubcommand, meant);
            }
        }
        ErrorKind::UnknownArgument => {
            if let Some(ContextValue::StyledStrs(tips)) = error.get(ContextKind::Suggested) {
                let is_advice = |tip: &&StyledStr| !tip.to_string().contains("as a value");
                let kept: Vec<StyledStr> = tips.iter().filter(is_advice).cloned().collect();
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(kept));
            }
        }
        _ => {}
    }
    error
}
