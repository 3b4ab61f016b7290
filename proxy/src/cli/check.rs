//! `refrain check`: everything that is wrong, and what would be right.

use std::{path::Path, process::ExitCode};

use super::{Format, environment, print, show};
use crate::config::load::{Loaded, Overrides, load};

pub(super) fn check(file: Option<&Path>, overrides: &Overrides, format: Format) -> ExitCode {
    match load(file, overrides, &environment) {
        Err(mistakes) => {
            show(&mistakes, format);
            ExitCode::from(2)
        }
        Ok(Loaded { warnings, config }) => {
            show(&warnings, format);
            match format {
                Format::Json => ExitCode::SUCCESS,
                Format::Human => {
                    let what = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
                    let (routes, upstreams) = (config.routes.len(), config.upstreams.len());
                    let sagas = config.sagas.definitions.len();
                    print(&format!("{what} is good: {upstreams} upstream(s), {routes} route(s), {sagas} saga(s)\n"))
                }
            }
        }
    }
}
