//! Where the time goes: a flame graph of Refrain under each load, out of the kernel's own sampling, drawn to `docs/benchmarks`.
//!
//! It wants a `refrain` with symbols and frame pointers, as `scripts/bench flames` builds it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options as Folding};
use inferno::flamegraph;
use tokio::process::Command;

use crate::contender::Contender;
use crate::error::Error;
use crate::load::{Load, Shape};
use crate::origin::Origin;
use crate::peers::refrain::{self, Store};
use crate::process::Process;
use crate::results::{Measure, Results, Sample};
use crate::rounds;
use crate::settings::Settings;

/// Samples a second of each core: no multiple of a timer's.
const FREQUENCY: &str = "997";

/// Frames that take less than this share of the picture, in percent, are left out: it keeps pictures small.
const MIN_SHARE: f64 = 0.3;

/// The largest picture that is kept.
const MAX_BYTES: usize = 512 * 1024;

/// Draws all of them and writes `flames.json`, which says how the samples are divided.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let settings = &Settings { refrain: settings.profiled.clone(), ..settings.clone() };
    let mut results = Results::new("flames", settings);
    let origin = Origin::start(settings).await?;
    let bare = refrain::bare(settings, &origin).await?;
    let memory = refrain::keyed(settings, &origin, Store::Memory).await?;
    let redis = refrain::keyed(settings, &origin, Store::Redis).await?;
    let embedded = refrain::keyed(settings, &origin, Store::Embedded).await?;
    let key = crate::clock::nonce();
    let paths = [
        ("pass", "passed through", &bare, Shape::Post(1024)),
        ("first-memory", "first under a key, memory", &memory, Shape::First),
        ("first-redis", "first under a key, Redis", &redis, Shape::First),
        ("first-embedded", "first under a key, embedded", &embedded, Shape::First),
        ("replay-memory", "replay, memory", &memory, Shape::Same(key.clone())),
        ("replay-redis", "replay, Redis", &redis, Shape::Same(key)),
    ];
    for (file, title, contender, shape) in paths {
        if let Shape::Same(key) = &shape {
            rounds::store(contender, key).await?;
        }
        let load = Load { url: contender.url(), shape, connections: 64, time: settings.measure.max(Duration::from_secs(3)) };
        if let Err(error) = one(settings, &mut results, contender, &load, file, title).await {
            results.skip(format!("flame graph: {title}"), error);
        }
    }
    results.write(&settings.results)
}

async fn one(
    settings: &Settings,
    results: &mut Results,
    contender: &Contender,
    load: &Load,
    file: &str,
    title: &str,
) -> Result<(), Error> {
    Load { time: Duration::from_secs(1), ..load.clone() }.run(settings).await?;
    let [process, ..] = &contender.processes[..] else { return Err(Error::Invalid("there is nothing to look at".to_owned())) };
    let data = settings.work.join(format!("{file}.perf"));
    let recording = record(settings, process, &data, load.time).await?;
    let (sample, _) = rounds::sample(settings, contender, load).await?;
    recording.wait().await?;
    rounds::tell(title, 0, &sample);
    results.add(title, &contender.name, None, sample);
    let folded = fold(settings, &data).await?;
    for (frame, share) in widest(&folded) {
        results.add(&format!("{title}: widest"), &frame, None, Sample::from([(Measure::Share, share)]));
    }
    let picture = draw(&folded, title)?;
    let name = format!("flame-{file}.svg");
    let path = settings.pictures().join(&name);
    results.settings.insert(format!("picture of {title}"), name);
    fs::create_dir_all(settings.pictures()).and_then(|()| fs::write(&path, picture)).map_err(Error::io("write a flame graph"))
}

/// Samples a process while a load runs.
async fn record(settings: &Settings, process: &Process, data: &Path, time: Duration) -> Result<Recording, Error> {
    let mut command = Command::new(settings.program("perf")?);
    command.args(["record", "-e", "cpu-clock", "-F", FREQUENCY, "-g", "-o"]).arg(data);
    // One second less than the load, so that all of it is under load.
    let seconds = time.as_secs().saturating_sub(1).max(1).to_string();
    command.args(["-p", &process.id().to_string(), "--", "sleep", &seconds]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = command.kill_on_drop(true).spawn().map_err(Error::io("run perf"))?;
    Ok(Recording { child, limit: time + Duration::from_secs(20) })
}

/// `perf record`, until it has written its file.
struct Recording {
    child: tokio::process::Child,
    limit: Duration,
}

impl Recording {
    async fn wait(mut self) -> Result<(), Error> {
        let ended = tokio::time::timeout(self.limit, self.child.wait()).await;
        let status = ended.map_err(|_| Error::program("perf record", "does not end"))?.map_err(Error::io("wait for perf"))?;
        if status.success() { Ok(()) } else { Err(Error::program("perf record", status.to_string())) }
    }
}

/// The stacks, one a line with how often each was met.
async fn fold(settings: &Settings, data: &Path) -> Result<String, Error> {
    let mut command = Command::new(settings.program("perf")?);
    command.args(["script", "--no-inline", "-i"]).arg(data).kill_on_drop(true);
    let output = command.output().await.map_err(Error::io("run perf script"))?;
    if !output.status.success() {
        return Err(Error::program("perf script", String::from_utf8_lossy(&output.stderr)));
    }
    let mut options = Folding::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    Folder::from(options).collapse(&output.stdout[..], &mut folded).map_err(Error::io("fold what perf has seen"))?;
    String::from_utf8(folded).map_err(|error| Error::program("perf script", error.to_string()))
}

/// The functions that most samples were in themselves, with their share in percent; first of all, the kernel as a whole.
fn widest(folded: &str) -> Vec<(String, f64)> {
    let (mut all, mut kernel, mut selves) = (0.0, 0.0, std::collections::BTreeMap::<String, f64>::new());
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else { continue };
        let Ok(count) = count.parse::<f64>() else { continue };
        all += count;
        if stack.contains("_[k]") {
            kernel += count;
        } else {
            *selves.entry(stack.rsplit(';').next().unwrap_or(stack).to_owned()).or_default() += count;
        }
    }
    let mut widest: Vec<_> = selves.into_iter().collect();
    widest.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    widest.truncate(7);
    widest.insert(0, ("(kernel)".to_owned(), kernel));
    widest.into_iter().map(|(frame, count)| (frame, count * 100.0 / f64::max(all, 1.0))).collect()
}

fn draw(folded: &str, title: &str) -> Result<Vec<u8>, Error> {
    let mut share = MIN_SHARE;
    loop {
        let mut options = flamegraph::Options::default();
        options.title = format!("Refrain: {title}");
        options.deterministic = true;
        options.min_width = share;
        options.image_width = Some(1400);
        let mut picture = Vec::new();
        flamegraph::from_lines(&mut options, folded.lines(), &mut picture).map_err(Error::io("draw a flame graph"))?;
        if picture.len() <= MAX_BYTES || share > 10.0 {
            return Ok(picture);
        }
        share *= 1.5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_are_those_that_samples_were_in_themselves() {
        let folded = "refrain;main;a 30\nrefrain;main;a;b 10\nrefrain;main;syscall_[k] 60\n";
        let widest = widest(folded);
        assert_eq!(widest, [("(kernel)".to_owned(), 60.0), ("a".to_owned(), 30.0), ("b".to_owned(), 10.0)]);
    }
}
