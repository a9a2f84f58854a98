//! `infeed completions` and `infeed man`: what shells and `man` want to know, from
//! the flags as clap has them.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{self, Cli};
use crate::{Exit, Outcome};

pub(crate) fn completions(args: &args::Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "infeed", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &args::Man) -> Outcome {
    let command = Cli::command().disable_help_subcommand(true);
    match &args.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::stdout().lock().write_all(&page)?;
        }
        Some(folder) => {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command, folder));
            written.map_err(|error| {
                format!("{}: the pages cannot be written: {error}", folder.display())
            })?;
        }
    }
    Ok(Exit::Done)
}
