//! `refrain diagram`: a picture of a saga.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use saga_config::{
    diagnostic::{Diagnostic, Source, sort},
    diagram,
    saga::Saga,
    yaml::read_file,
};

use super::{Format, ask::failed, print, show};

#[derive(Debug, Args)]
pub(super) struct DiagramArgs {
    /// The saga's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The files of the sagas that it runs as parts of itself
    #[arg(value_name = "PART")]
    parts: Vec<PathBuf>,
    /// In which language
    #[arg(long, value_enum, default_value_t = Language::Mermaid)]
    format: Language,
    /// Where it is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    /// A flowchart, for pages that draw Mermaid themselves
    Mermaid,
    /// A graph, for Graphviz
    Dot,
    /// A picture
    Svg,
}

/// Nothing is said of the upstreams: a saga can be drawn without a configuration.
pub(super) fn run(args: &DiagramArgs) -> ExitCode {
    let saga = match saga(&args.file, &args.parts) {
        Ok(saga) => saga,
        Err(mistakes) => {
            show(&mistakes, Format::Human);
            return ExitCode::from(2);
        }
    };
    let drawn = match args.format {
        Language::Mermaid => diagram::mermaid(&saga),
        Language::Dot => diagram::dot(&saga),
        Language::Svg => diagram::svg(&saga),
    };
    match &args.output {
        None => print(&drawn),
        Some(path) => match fs::write(path, drawn) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&format!("{} cannot be written: {error}", path.display())),
        },
    }
}

/// Reads a saga, and those that it runs as parts of itself.
fn saga(file: &Path, parts: &[PathBuf]) -> Result<Saga, Vec<Diagnostic>> {
    let files = std::iter::once(file).chain(parts.iter().map(PathBuf::as_path));
    let mut mistakes = Vec::new();
    let mut sources: Vec<Arc<Source>> = Vec::new();
    for file in files {
        match read_file(file) {
            Ok(source) => sources.push(source),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut first = None;
    for (index, loaded) in Saga::load_all(&sources, None).into_iter().enumerate() {
        match loaded {
            Ok(loaded) if index == 0 => first = Some(loaded.saga),
            Ok(_) => {}
            Err(found) => mistakes.extend(found),
        }
    }
    match first {
        Some(saga) if mistakes.is_empty() => Ok(saga),
        _ => {
            sort(&mut mistakes);
            Err(mistakes)
        }
    }
}
