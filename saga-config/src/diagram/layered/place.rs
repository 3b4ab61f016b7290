//! Places along the layers: every spot as near as its neighbours in the row allow to the middle of what it is joined to.

use super::{Grid, Spot};

const SWEEPS: usize = 25;
/// How much it counts where something stands that only the way back leads to.
const ASIDE: f64 = 1e-4;

/// By spot: where its middle is.
pub(super) fn along(grid: &Grid) -> Vec<f64> {
    let mut centres = packed(grid);
    let joined = joined(grid);
    for sweep in 0..SWEEPS {
        let (above, below) = match sweep {
            // At last both sides count; and then what is below follows what is above, so that a row of single boxes is straight.
            sweep if sweep + 1 == SWEEPS => (true, false),
            sweep if sweep + 5 >= SWEEPS => (true, true),
            sweep => (sweep % 2 == 0, sweep % 2 == 1),
        };
        let count = grid.rows.len();
        for nth in 0..count {
            let row = &grid.rows[if above { nth } else { count - 1 - nth }];
            let wanted: Vec<f64> = row.iter().map(|spot| wanted(&joined[*spot], &centres, *spot, above, below)).collect();
            let weights: Vec<f64> = row.iter().map(|spot| weight(grid.spots[*spot])).collect();
            for (spot, centre) in row.iter().zip(fit(grid, row, &wanted, &weights)) {
                centres[*spot] = centre;
            }
        }
    }
    centres
}

/// How much it counts that a spot is where it wants to be.
fn weight(spot: Spot) -> f64 {
    match spot {
        Spot { is_aside: true, .. } => ASIDE,
        Spot { is_line: true, .. } => 0.5,
        Spot { .. } => 1.0,
    }
}

/// What a spot is joined to, and how much that counts.
struct Joined {
    above: Vec<(usize, f64)>,
    below: Vec<(usize, f64)>,
}

fn joined(grid: &Grid) -> Vec<Joined> {
    let mut joined: Vec<Joined> = grid.spots.iter().map(|_| Joined { above: Vec::new(), below: Vec::new() }).collect();
    for (upper, lower) in &grid.lines {
        // Long lines are to be straight.
        let weight = match (grid.spots[*upper].is_line, grid.spots[*lower].is_line) {
            (true, true) => 8.0,
            (true, false) | (false, true) => 2.0,
            (false, false) => 1.0,
        };
        let weight = if grid.spots[*upper].is_aside || grid.spots[*lower].is_aside { ASIDE } else { weight };
        joined[*lower].above.push((*upper, weight));
        joined[*upper].below.push((*lower, weight));
    }
    joined
}

fn wanted(joined: &Joined, centres: &[f64], spot: usize, above: bool, below: bool) -> f64 {
    let others = joined.above.iter().filter(|_| above).chain(joined.below.iter().filter(|_| below));
    let (sum, weight) = others.fold((0.0, 0.0), |(sum, total), (other, weight)| (sum + centres[*other] * weight, total + weight));
    if weight > 0.0 { sum / weight } else { centres[spot] }
}

/// Every row side by side, its middle at 0.
fn packed(grid: &Grid) -> Vec<f64> {
    let mut centres = vec![0.0; grid.spots.len()];
    for row in &grid.rows {
        for pair in row.windows(2) {
            centres[pair[1]] = centres[pair[0]] + grid.apart(pair[0], pair[1]);
        }
        let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
        let middle = f64::midpoint(centres[*first], centres[*last]);
        row.iter().for_each(|spot| centres[*spot] -= middle);
    }
    centres
}

/// The places nearest to those wanted (least squares) that keep the order and the distances: runs of spots that push each other are moved
/// as one (pool adjacent violators).
fn fit(grid: &Grid, row: &[usize], wanted: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(row.len());
    for (nth, spot) in row.iter().enumerate() {
        if let Some(left) = nth.checked_sub(1) {
            offset += grid.apart(row[left], *spot);
        }
        offsets.push(offset);
    }
    // Runs: where they want to be, their weight, how many they are.
    let mut runs: Vec<(f64, f64, usize)> = Vec::with_capacity(row.len());
    for ((wanted, offset), weight) in wanted.iter().zip(&offsets).zip(weights) {
        let mut run = (wanted - offset, *weight, 1);
        while let Some(left) = runs.last().copied().filter(|left| left.0 > run.0) {
            runs.pop();
            let weight = left.1 + run.1;
            run = ((left.0 * left.1 + run.0 * run.1) / weight, weight, left.2 + run.2);
        }
        runs.push(run);
    }
    let starts = runs.iter().flat_map(|run| std::iter::repeat_n(run.0, run.2));
    starts.zip(&offsets).map(|(start, offset)| start + offset).collect()
}
