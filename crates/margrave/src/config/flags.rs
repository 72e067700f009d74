//! The settings as flags of `margrave dev` and `margrave serve`, made from the table.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::setting::{SETTINGS, Setting};

/// Settings given as flags, by key.
#[derive(Debug, Clone, Default)]
pub struct Flags(pub BTreeMap<&'static str, String>);

fn arg(setting: &Setting) -> Option<Arg> {
    let flag = setting.flag()?;
    let default = match setting.default {
        "" => String::new(),
        default => format!(", default: {default}"),
    };
    let help = format!("{} [env: {}{default}]", setting.help, setting.env());
    let heading = if setting.key.starts_with("listen.") { "Ports" } else { "Settings" };
    let arg = Arg::new(setting.key).long(flag).value_name(setting.shape()).help(help);
    // The last one counts, so that a script's flags can be covered by its caller's.
    Some(arg.help_heading(heading).overrides_with(setting.key))
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().filter_map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS.iter().filter(|setting| setting.flag().is_some()) {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.0.insert(setting.key, text.clone());
            }
        }
        Ok(())
    }
}
