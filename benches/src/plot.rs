//! Curves as pictures.

use plotters::prelude::*;

use crate::error::Error;
use crate::report::All;
use crate::results::{Measure, Results};

/// Of every picture, in pixels.
const SIZE: (u32, u32) = (900, 420);

/// Every picture of the results, under its name.
pub(crate) fn all(all: &All) -> Result<Vec<(String, String)>, Error> {
    let Some(results) = all.get("curves") else { return Ok(Vec::new()) };
    let mut curves: Vec<&str> = results.rows.iter().map(|row| &*row.shape).collect();
    curves.dedup();
    curves.sort_unstable();
    curves.dedup();
    let drawn = curves.into_iter().filter(|curve| is_drawn(curve));
    drawn.map(|curve| Ok((file(curve), draw(results, curve)?))).collect()
}

/// Two points are a table, not a curve.
pub(crate) fn is_drawn(curve: &str) -> bool {
    curve != "workers"
}

/// The picture of a curve.
pub(crate) fn file(curve: &str) -> String {
    format!("{}.svg", curve.replace(", ", "-").replace(' ', "-"))
}

/// What a curve shows.
pub(crate) fn measure(curve: &str) -> Measure {
    if curve.ends_with("body") { Measure::BytesPerSecond } else { Measure::RequestsPerSecond }
}

/// Of what a curve shows.
pub(crate) fn unit(measure: Measure) -> &'static str {
    if measure == Measure::BytesPerSecond { "MB/s" } else { "requests/s" }
}

fn draw(results: &Results, curve: &str) -> Result<String, Error> {
    let shown = measure(curve);
    let scale = if shown == Measure::BytesPerSecond { 1e-6 } else { 1.0 };
    let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for row in results.rows.iter().filter(|row| row.shape == curve) {
        let (Some(at), Some(value)) = (row.at, row.median(shown)) else { continue };
        // Nothing has no logarithm: it is drawn at one.
        let point = (at.max(1.0), value * scale);
        match series.iter_mut().find(|(name, _)| *name == row.contender) {
            Some((_, points)) => points.push(point),
            None => series.push((&row.contender, vec![point])),
        }
    }
    let points = || series.iter().flat_map(|(_, points)| points);
    let right = points().map(|(x, _)| *x).fold(10.0, f64::max);
    let top = points().map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let mut svg = String::new();
    let wrong = |error: &dyn std::fmt::Display| Error::Invalid(format!("cannot draw {curve}: {error}"));
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| wrong(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(curve, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d((1.0..right).log_scale(), 0.0..top)
            .map_err(|error| wrong(&error))?;
        let described = if curve.ends_with("body") { "bytes" } else { curve };
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(format!("{described} (0 is drawn at 1)")).y_desc(unit(shown)).light_line_style(BLACK.mix(0.05));
        mesh.x_label_formatter(&|x| short(*x)).y_label_formatter(&|y| short(*y));
        mesh.draw().map_err(|error| wrong(&error))?;
        for (at, (name, points)) in series.iter().enumerate() {
            let style = Palette99::pick(at).stroke_width(2);
            let line = LineSeries::new(points.iter().copied(), style).point_size(3);
            let drawn = chart.draw_series(line).map_err(|error| wrong(&error))?;
            drawn.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::LowerLeft).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
        labels.draw().map_err(|error| wrong(&error))?;
        area.present().map_err(|error| wrong(&error))?;
    }
    Ok(svg)
}

/// Of an axis.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{} M", value / 1e6),
        _ if value >= 1e3 => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}
