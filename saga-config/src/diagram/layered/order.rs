//! The order within layers: that of the file, changed where lines cross less.

use super::Grid;

/// How often all layers are gone over.
const SWEEPS: usize = 12;

/// Reorders the rows. What is kept is the order with the fewest crossings; of those, the first found.
pub(super) fn improve(grid: &mut Grid) {
    let mut best = grid.rows.clone();
    let mut fewest = crossings(grid);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let down = sweep % 2 == 0;
        let count = grid.rows.len();
        for nth in 1..count {
            let layer = if down { nth } else { count - 1 - nth };
            arrange(grid, layer, down);
        }
        swap_neighbours(grid);
        let crossed = crossings(grid);
        if crossed < fewest {
            fewest = crossed;
            best.clone_from(&grid.rows);
        }
    }
    grid.rows = best;
}

/// By spot: its place in its row.
fn places(grid: &Grid) -> Vec<usize> {
    let mut places = vec![0; grid.spots.len()];
    for row in &grid.rows {
        row.iter().enumerate().for_each(|(place, spot)| places[*spot] = place);
    }
    places
}

/// Sorts a layer by the mean place of what its spots are joined to, above or below; what is joined to nothing keeps its place.
fn arrange(grid: &mut Grid, layer: usize, by_upper: bool) {
    let places = places(grid);
    let mut means: Vec<(f64, usize)> = Vec::new();
    for spot in &grid.rows[layer] {
        let others = grid.lines.iter().filter_map(|(upper, lower)| match by_upper {
            true => (lower == spot).then_some(*upper),
            false => (upper == spot).then_some(*lower),
        });
        let others: Vec<usize> = others.map(|other| places[other]).collect();
        let mean = match others.len() {
            0 => places[*spot] as f64,
            count => others.iter().sum::<usize>() as f64 / count as f64,
        };
        means.push((mean, *spot));
    }
    means.sort_by(|a, b| a.0.total_cmp(&b.0));
    grid.rows[layer] = means.into_iter().map(|(_, spot)| spot).collect();
}

/// Swaps neighbours wherever that alone makes fewer crossings; once over all layers.
fn swap_neighbours(grid: &mut Grid) {
    let places = places(grid);
    let mut joined: Vec<[Vec<usize>; 2]> = vec![[Vec::new(), Vec::new()]; grid.spots.len()];
    for (upper, lower) in &grid.lines {
        joined[*lower][0].push(*upper);
        joined[*upper][1].push(*lower);
    }
    let mut places = places;
    for row in &mut grid.rows {
        for left in 1..row.len() {
            let (a, b) = (row[left - 1], row[left]);
            let crossed = |first: usize, second: usize| -> usize {
                let side = |side: usize| {
                    let pairs = joined[first][side].iter().flat_map(|x| joined[second][side].iter().map(move |y| (x, y)));
                    pairs.filter(|(x, y)| places[**x] > places[**y]).count()
                };
                side(0) + side(1)
            };
            if crossed(b, a) < crossed(a, b) {
                row.swap(left - 1, left);
                places.swap(a, b);
            }
        }
    }
}

/// How many pairs of lines cross.
fn crossings(grid: &Grid) -> usize {
    let places = places(grid);
    let mut by_layer: Vec<Vec<(usize, usize)>> = vec![Vec::new(); grid.rows.len()];
    for (upper, lower) in &grid.lines {
        by_layer[grid.spots[*upper].layer].push((places[*upper], places[*lower]));
    }
    let mut crossed = 0;
    for lines in &mut by_layer {
        lines.sort_unstable();
        for (nth, (_, lower)) in lines.iter().enumerate() {
            let (upper, _) = lines[nth];
            crossed += lines[..nth].iter().filter(|other| other.0 < upper && other.1 > *lower).count();
        }
    }
    crossed
}
