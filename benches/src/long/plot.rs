//! The run as a picture: memory and descriptors of each Refrain over time.

use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea as _;
use plotters::prelude::{BLACK, Color as _, LineSeries, PathElement, RGBColor, SVGBackend, WHITE};

use super::sample::Sample;
use super::{OfStore, Run};
use crate::error::Error;
use crate::settings::Settings;

const SIZE: (u32, u32) = (900, 640);
const COLOURS: [RGBColor; 2] = [RGBColor(0x1f, 0x6f, 0xb4), RGBColor(0xd9, 0x5f, 0x02)];

/// Writes `long.svg` beside the folder of results.
pub(super) fn draw(settings: &Settings, run: &Run) -> Result<(), Error> {
    type Measure = (&'static str, fn(&Sample) -> f64);
    let folder = settings.results.parent().unwrap_or(&settings.results);
    let path = folder.join("long.svg");
    let failed = |error: &dyn std::fmt::Display| Error::Invalid(format!("{} cannot be drawn: {error}", path.display()));
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let parts = area.split_evenly((3, 1));
    let measures: [Measure; 3] = [
        ("memory, MiB", |sample| sample.rss_bytes as f64 / 1_048_576.0),
        ("descriptors", |sample| sample.descriptors as f64),
        ("store, MiB", |sample| sample.store_bytes as f64 / 1_048_576.0),
    ];
    let minutes = run.minutes as f64;
    for (part, (title, value)) in parts.iter().zip(measures) {
        let most = run.stores.iter().flat_map(|of| &of.samples).map(value).fold(1.0, f64::max) * 1.2;
        let mut chart = ChartBuilder::on(part);
        chart.margin(8).caption(title, ("sans-serif", 15)).x_label_area_size(24).y_label_area_size(56);
        let mut chart = chart.build_cartesian_2d(0.0..minutes, 0.0..most).map_err(|error| failed(&error))?;
        chart.configure_mesh().light_line_style(WHITE).y_labels(5).draw().map_err(|error| failed(&error))?;
        for (of, colour) in run.stores.iter().zip(COLOURS) {
            let points = of.samples.iter().map(|sample| (sample.seconds / 60.0, value(sample)));
            let series = chart.draw_series(LineSeries::new(points, &colour)).map_err(|error| failed(&error))?;
            series.label(label(of)).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.filled()));
        }
        let mut labels = chart.configure_series_labels();
        labels.border_style(BLACK).background_style(WHITE).draw().map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

fn label(of: &OfStore) -> String {
    format!("refrain, {}", of.store)
}
