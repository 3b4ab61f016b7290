//! The command line: `run`, `check`, `simulate`, `schema`, `diagram`, `ready`, `records`, `sagas`.

mod ask;
mod check;
mod diagram;
mod ready;
mod records;
mod run;
mod sagas;
mod simulate;

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, parser::ValueSource};
use saga_config::diagnostic::{Colour, Diagnostic, render, to_json_lines};

use crate::config::load::{Given, Overrides};

/// A sidecar proxy that makes requests with an Idempotency-Key happen once
///
/// Refrain stands in front of an HTTP service, in any language. It passes traffic through untouched. A request that carries an
/// Idempotency-Key is sent once: its response is recorded, and replayed to every request with the same key.
#[derive(Debug, Parser)]
#[command(name = "refrain", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  refrain run --upstream http://127.0.0.1:3000      protect a service; listens on 127.0.0.1:8080
  refrain run --config refrain.yaml                 the same, and more, from a file
  refrain run --config refrain.yaml --upstream billing=http://10.0.0.7:8002
                                                    the same, with one of its upstreams elsewhere
  refrain check --config refrain.yaml               say everything that is wrong with a file; opens no port
  refrain check sagas/*.yaml                        the same of sagas; with refrain.yaml beside them, against its upstreams
  refrain simulate sagas/create-order.yaml          what comes of a saga, whatever goes wrong
  refrain schema config > refrain.schema.json       for editors that complete YAML
  refrain diagram saga.yaml --format svg            a picture of a saga
  refrain records list                              requests whose outcome nobody knows
  refrain sagas list --state quarantined            sagas that wait for an operator

Logs go to standard error; REFRAIN_LOG=debug shows more.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM
    ///
    /// SIGTERM and Ctrl-C drain: no new connections, requests under way are finished; a second one stops at once. SIGHUP, or a
    /// change of the file, reads the configuration again; a bad one is refused and the old one stays.
    Run(ConfigArgs),
    /// Check sagas and the configuration without opening a port; exit code 2 if something is wrong
    ///
    /// Without FILE, the configuration is checked, and the sagas that it names. A FILE with `saga:` at its top is a saga, another is a
    /// configuration. All mistakes of all files are told in one run.
    Check(check::CheckArgs),
    /// A saga's failure table: what comes of it whatever goes wrong, without any network
    ///
    /// The saga's own machine decides, before services that are simulated: each call is done, refused, not sent, of unknown outcome, or
    /// its driver is lost. Answers are made up, or those of the file's `test`. Exit code 2 if the file is wrong.
    Simulate(simulate::SimulateArgs),
    /// Print a JSON Schema, so that editors complete and check
    Schema {
        /// Of which file
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Draw a saga: the way forward, the way back, and what undoes each step
    Diagram(diagram::DiagramArgs),
    /// Whether a running Refrain takes requests; exit code 1 if not
    ///
    /// Asks its admin side. For the health check of a container that has no other program.
    Ready(ready::ReadyArgs),
    /// See and decide about requests whose outcome nobody knows
    Records(records::RecordsArgs),
    /// See sagas, and decide about those that wait for an operator
    Sagas(sagas::SagasArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// For programs: on standard output one JSON object for each mistake, a line each
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// refrain.yaml
    Config,
    /// A saga's file
    Saga,
}

/// What to run with. A flag counts before its variable, and that before the file.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, env = "REFRAIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "REFRAIN_LISTEN", value_name = "ADDR")]
    listen: Option<String>,
    /// The service that this sidecar stands beside; NAME=URL: where an upstream of the file is
    ///
    /// Repeatable: several for one upstream are endpoints of the same service. The variable has them with blanks between them, and is
    /// not looked at if there is such a flag.
    #[arg(long, env = "REFRAIN_UPSTREAM", value_name = "[NAME=]URL")]
    upstream: Vec<String>,
    /// Where records are kept: memory: | embedded:PATH | redis://HOST | rediss://HOST [default: embedded:, in the state folder]
    #[arg(long, env = "REFRAIN_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Where the admin side listens: health, metrics, records [default: 127.0.0.1:9090]
    #[arg(long, env = "REFRAIN_ADMIN", value_name = "ADDR")]
    admin: Option<String>,
    /// Whose customs keyed requests follow: ietf | stripe | idempot-js [default: ietf]
    #[arg(long, env = "REFRAIN_PRESET", value_name = "NAME")]
    preset: Option<String>,
    /// How many cores serve: a number, or auto [default: auto, from the CPU quota]
    #[arg(long, env = "REFRAIN_WORKERS", value_name = "N")]
    workers: Option<String>,
}

/// Runs the program with these arguments, the program's name first. Exit codes: 0 done, 1 could not be done, 2 wrong arguments or
/// configuration.
pub fn main_from<I, T>(args: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Nothing is left to do if even the error cannot be shown.
            let _shown = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => {
            let _shown = error.print();
            return ExitCode::from(2);
        }
    };
    let given = matches.subcommand().map(|(_, given)| given);
    match cli.command {
        Command::Run(args) => run::run(args.config.clone(), args.overrides(given)),
        Command::Check(args) => check::run(&args, given),
        Command::Simulate(args) => simulate::run(&args),
        Command::Schema { of: SchemaOf::Config } => print(&format!("{:#}\n", crate::config::schema())),
        Command::Schema { of: SchemaOf::Saga } => print(&format!("{:#}\n", crate::config::saga_schema())),
        Command::Diagram(args) => diagram::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Records(args) => records::run(args),
        Command::Sagas(args) => sagas::run(args),
    }
}

impl ConfigArgs {
    /// What a flag overrides, `config` aside.
    const OVERRIDES: [&str; 6] = ["listen", "upstream", "store", "admin", "preset", "workers"];

    /// Whether this was given as a flag, and not as a variable.
    fn is_flag(matches: Option<&clap::ArgMatches>, id: &str) -> bool {
        matches.and_then(|matches| matches.value_source(id)) == Some(ValueSource::CommandLine)
    }

    /// Whether a flag says something of the configuration.
    fn has_flags(matches: Option<&clap::ArgMatches>) -> bool {
        Self::OVERRIDES.iter().any(|id| Self::is_flag(matches, id))
    }

    /// What was given, each with where it came from.
    fn overrides(&self, matches: Option<&clap::ArgMatches>) -> Overrides {
        let is_variable = |id: &str| matches.and_then(|matches| matches.value_source(id)) == Some(ValueSource::EnvVariable);
        let origin = |id: &str| if is_variable(id) { format!("REFRAIN_{}", id.to_uppercase()) } else { format!("--{id}") };
        let given = |value: &Option<String>, id: &str| value.clone().map(|text| Given { text, origin: origin(id) });
        let upstreams = if is_variable("upstream") { words(&self.upstream) } else { self.upstream.clone() };
        Overrides {
            listen: given(&self.listen, "listen"),
            upstreams: upstreams.into_iter().map(|text| Given { text, origin: origin("upstream") }).collect(),
            store: given(&self.store, "store"),
            admin: given(&self.admin, "admin"),
            preset: given(&self.preset, "preset"),
            workers: given(&self.workers, "workers"),
        }
    }
}

/// What stands between blanks. A variable that is set to nothing else is a mistake, as an empty one is: it stays as it is.
fn words(given: &[String]) -> Vec<String> {
    let words: Vec<_> = given.iter().flat_map(|text| text.split_ascii_whitespace()).map(str::to_owned).collect();
    if words.is_empty() { given.to_owned() } else { words }
}

/// Shows mistakes: to people on standard error, to programs on standard output.
fn show(diagnostics: &[Diagnostic], format: Format) {
    // Whoever closed the stream does not want to know.
    let _shown = match format {
        Format::Human => {
            // As no-color.org has it: any value but an empty one.
            let is_plain = environment("NO_COLOR").is_some_and(|value| !value.is_empty()) || !std::io::stderr().is_terminal();
            let colour = if is_plain { Colour::Never } else { Colour::Ansi };
            std::io::stderr().write_all(render(diagnostics, colour).as_bytes())
        }
        Format::Json => std::io::stdout().write_all(to_json_lines(diagnostics).as_bytes()),
    };
}

/// Prints on standard output.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The process's environment.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
