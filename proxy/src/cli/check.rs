//! `refrain check`: everything that is wrong, and what would be right.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use saga_config::{
    diagnostic::{Diagnostic, Place, Severity, Source, has_errors},
    saga::Saga,
    yaml::{MAX_FILE_BYTES, decode},
};

use super::{ConfigArgs, Format, environment, print, show};
use crate::config::check::{Checked, Request, STANDARD_INPUT, check as check_files};

/// Which files, and how to tell what is wrong with them.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Sagas and a configuration, together or alone; `-` is standard input. Sagas without a configuration: nothing is said of upstreams
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How mistakes are shown
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub(super) fn run(args: &CheckArgs, given: Option<&clap::ArgMatches>) -> ExitCode {
    let input = args.files.iter().any(|file| file.as_os_str() == "-").then(standard_input);
    let request = Request {
        files: &args.files,
        input,
        config: args.config.config.as_deref(),
        config_gives_way: !ConfigArgs::is_flag(given, "config"),
        is_configured: args.files.is_empty() || ConfigArgs::has_flags(given),
    };
    let checked = check_files(request, &args.config.overrides(given), &environment);
    show(&checked.found, args.format);
    if matches!(args.format, Format::Human) {
        tell(args, &checked);
    }
    match has_errors(&checked.found) {
        true => ExitCode::from(2),
        false => ExitCode::SUCCESS,
    }
}

/// What came of it, on standard error where something is wrong.
fn tell(args: &CheckArgs, checked: &Checked) {
    if !has_errors(&checked.found) {
        print(&sound(args, checked));
        if args.files.is_empty() && checked.found.is_empty() {
            return;
        }
    }
    let summary = format!("{}\n", summary(&checked.found, checked.files));
    if has_errors(&checked.found) {
        // Whoever closed standard error does not want to know.
        let _shown = std::io::stderr().write_all(format!("\n{summary}").as_bytes());
    } else {
        print(&summary);
    }
}

/// What was found to be good.
fn sound(args: &CheckArgs, checked: &Checked) -> String {
    let mut text = String::new();
    if let Some(config) = &checked.config {
        let file = checked.config_file.as_ref();
        let what = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
        let (upstreams, routes, sagas) = (config.upstreams.len(), config.routes.len(), config.sagas.definitions.len());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what} is good: {upstreams} upstream(s), {routes} route(s), {sagas} saga(s)");
    }
    if !args.files.is_empty() {
        checked.sagas.iter().for_each(|saga| text.push_str(&line(saga)));
    }
    text
}

/// What tells this definition from others: sagas under way keep theirs.
fn line(saga: &Arc<Saga>) -> String {
    format!("{} {} sha256:{}\n", saga.name, saga.version, saga.hash)
}

/// How much is wrong.
fn summary(found: &[Diagnostic], files: usize) -> String {
    let errors = found.iter().filter(|found| found.severity() == Severity::Error).count();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let warnings = found.len() - errors;
    format!("{}, {} in {}", counted(errors, "error"), counted(warnings, "warning"), counted(files, "file"))
}

/// Never reads more than a file may have and one byte.
fn standard_input() -> Result<Arc<Source>, Diagnostic> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    match std::io::stdin().lock().take(limit).read_to_end(&mut bytes) {
        Ok(_) => decode(STANDARD_INPUT, bytes),
        Err(error) => {
            let message = format!("it cannot be read: {error}");
            Err(Diagnostic::error("unreadable", Place::elsewhere(STANDARD_INPUT), message))
        }
    }
}
