//! Where boxes stand and how lines run between them: layers from the top to the bottom, few crossings, no line through a box.
//!
//! The usual four steps (Sugiyama, Tagawa, Toda: *Methods for Visual Understanding of Hierarchical System Structures*, 1981): every box
//! gets a layer below all that lead to it; lines over several layers get a place in each; the order within layers is improved until lines
//! cross little; and places along the layers are those that bend lines least.

mod order;
mod place;

/// Between two boxes of a layer.
pub(super) const BESIDE: f64 = 32.0;
/// Between two lines, and between a line and a box.
const LINE_BESIDE: f64 = 24.0;
/// Between the ends of lines at one box, and between a way forward and its way back.
const PORTS: f64 = 26.0;
/// The least between two layers; more where lines run far to the side.
const BELOW: f64 = 46.0;
const MOST_BELOW: f64 = 120.0;
/// How far a way forward and a way back are bent away from each other.
const BEND: f64 = 7.0;
/// What is no farther aside than this is straight.
const STRAIGHT: f64 = 3.0;

/// A box to be placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// From one box to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) forward: bool,
    pub(super) back: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A line, drawn from the upper box's lower edge to the lower box's upper edge. Between two points it runs straight down if they have the
/// same `x`, and otherwise from one layer to the next.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) link: usize,
    /// It is the way back: its arrow is at its beginning.
    pub(super) is_back: bool,
    pub(super) points: Vec<Point>,
}

impl Route {
    /// Where the handles of the curve from `from` to `to`, neighbours among the points, are. A way back is bent a little away from the way
    /// forward to its left, for where both run far to the side they would else lie on each other.
    pub(super) fn handles(&self, from: Point, to: Point) -> f64 {
        let bend = if (to.x > from.x) == self.is_back { -BEND } else { BEND };
        f64::midpoint(from.y, to.y) + bend.clamp((from.y - to.y) / 6.0, (to.y - from.y) / 6.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// By box: its upper left corner.
    pub(super) corners: Vec<Point>,
    /// By box: its layer.
    pub(super) layers: Vec<usize>,
    /// By layer: where it begins and ends.
    pub(super) bands: Vec<(f64, f64)>,
    pub(super) routes: Vec<Route>,
}

/// What has a place in a layer: a box, or a line on its way.
#[derive(Debug, Clone, Copy)]
struct Spot {
    layer: usize,
    width: f64,
    is_line: bool,
    /// No way forward leads to it or from it.
    is_aside: bool,
}

/// Spots, and lines between spots of neighbouring layers.
struct Grid {
    /// First the boxes, then the lines.
    spots: Vec<Spot>,
    /// By layer, from left to right.
    rows: Vec<Vec<usize>>,
    /// From the upper to the lower.
    lines: Vec<(usize, usize)>,
    /// By link: the spots it runs through, with both ends.
    ways: Vec<Vec<usize>>,
}

/// Lays boxes out. Every link leads from a smaller index to a greater one; others are left out.
pub(super) fn lay_out(sizes: &[Size], links: &[Link]) -> Layout {
    let links: Vec<Link> = links.iter().copied().filter(|link| link.from < link.to && link.to < sizes.len()).collect();
    let mut grid = grid(sizes, &links);
    order::improve(&mut grid);
    let centres = place::along(&grid);
    finish(sizes, &links, &grid, &centres)
}

/// Boxes without any link, in rows of about the same length.
pub(super) fn lay_out_unlinked(sizes: &[Size]) -> Layout {
    let columns = match sizes.len() {
        count @ 0..=4 => count.max(1),
        count => (3..).find(|columns| columns * columns >= count).unwrap_or(count),
    };
    let mut layout = Layout::default();
    let mut top = 0.0;
    for (layer, row) in sizes.chunks(columns).enumerate() {
        let mut x = 0.0;
        for size in row {
            layout.corners.push(Point { x, y: top });
            layout.layers.push(layer);
            layout.width = layout.width.max(x + size.width);
            x += size.width + BESIDE;
        }
        let height = row.iter().map(|size| size.height).fold(0.0, f64::max);
        layout.bands.push((top, top + height));
        layout.height = top + height;
        top = layout.height + BESIDE;
    }
    layout
}

fn grid(sizes: &[Size], links: &[Link]) -> Grid {
    let mut layers = vec![0; sizes.len()];
    let mut by_source: Vec<&Link> = links.iter().collect();
    by_source.sort_by_key(|link| link.from);
    for link in by_source {
        layers[link.to] = layers[link.to].max(layers[link.from] + 1);
    }
    let is_aside = |index: usize| !links.iter().any(|link| link.forward && (link.from == index || link.to == index));
    let boxes = sizes.iter().zip(&layers).enumerate();
    let mut spots: Vec<Spot> = boxes
        .map(|(index, (size, layer))| Spot { layer: *layer, width: size.width, is_line: false, is_aside: is_aside(index) })
        .collect();
    let mut lines = Vec::new();
    let mut ways = Vec::new();
    for link in links {
        let mut way = vec![link.from];
        for layer in layers[link.from] + 1..layers[link.to] {
            way.push(spots.len());
            // The way forward is in the middle, the way back beside it.
            let width = if link.forward && link.back { 2.0 * PORTS } else { 0.0 };
            spots.push(Spot { layer, width, is_line: true, is_aside: !link.forward });
        }
        way.push(link.to);
        lines.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
        ways.push(way);
    }
    let mut rows = vec![Vec::new(); layers.iter().max().map_or(0, |most| most + 1)];
    for (index, spot) in spots.iter().enumerate() {
        rows[spot.layer].push(index);
    }
    Grid { spots, rows, lines, ways }
}

impl Grid {
    /// How far the middles of two neighbours of a row are apart, at least.
    fn apart(&self, left: usize, right: usize) -> f64 {
        let (left, right) = (self.spots[left], self.spots[right]);
        let between = if left.is_line || right.is_line { LINE_BESIDE } else { BESIDE };
        f64::midpoint(left.width, right.width) + between
    }
}

/// Both ends of one piece of a line, between two layers.
struct Piece {
    link: usize,
    is_back: bool,
    /// Which spots it joins.
    upper: usize,
    lower: usize,
    top: f64,
    bottom: f64,
}

fn finish(sizes: &[Size], links: &[Link], grid: &Grid, centres: &[f64]) -> Layout {
    let mut pieces = pieces(links, grid);
    ports(grid, centres, &mut pieces, true);
    ports(grid, centres, &mut pieces, false);
    for piece in pieces.iter_mut().filter(|piece| !grid.spots[piece.lower].is_line) {
        if (piece.top - piece.bottom).abs() <= STRAIGHT {
            piece.bottom = piece.top;
        }
    }
    let bands = bands(sizes, grid, &pieces);
    let corner =
        |index: usize, size: &Size| Point { x: (centres[index] - size.width / 2.0).round(), y: bands[grid.spots[index].layer].0 };
    let corners: Vec<Point> = sizes.iter().enumerate().map(|(index, size)| corner(index, size)).collect();
    let mut routes: Vec<Route> = Vec::new();
    for piece in &pieces {
        let bottom_of = |spot: usize| match sizes.get(spot) {
            Some(size) => corners[spot].y + size.height,
            None => bands[grid.spots[spot].layer].0,
        };
        let known = routes.last_mut().filter(|route| route.link == piece.link && route.is_back == piece.is_back);
        let start = Point { x: piece.top, y: bottom_of(piece.upper) };
        let leave = Point { x: piece.top, y: bands[grid.spots[piece.upper].layer].1 };
        let arrive = Point { x: piece.bottom, y: bands[grid.spots[piece.lower].layer].0 };
        let points = [start, leave, arrive];
        match known {
            Some(route) => route.points.extend(points),
            None => routes.push(Route { link: piece.link, is_back: piece.is_back, points: points.to_vec() }),
        }
    }
    routes.iter_mut().for_each(|route| route.points.dedup());
    let mut layout = Layout {
        width: 0.0,
        height: bands.last().map_or(0.0, |band| band.1),
        corners,
        layers: grid.spots[..sizes.len()].iter().map(|spot| spot.layer).collect(),
        bands,
        routes,
    };
    layout.begin_at_the_corner(sizes);
    layout
}

/// The pieces of all lines, of each link one after the other from the top.
fn pieces(links: &[Link], grid: &Grid) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, (link, way)) in links.iter().zip(&grid.ways).enumerate() {
        for (is_there, is_back) in [(link.forward, false), (link.back, true)] {
            let joined = way.windows(2).filter(|_| is_there);
            pieces.extend(joined.map(|pair| Piece {
                link: index,
                is_back,
                upper: pair[0],
                lower: pair[1],
                top: 0.0,
                bottom: 0.0,
            }));
        }
    }
    pieces
}

/// Gives every piece its end at the upper spots' lower edges (`of_upper`) or at the lower spots' upper edges: in the order of where they
/// come from, so that they do not cross there, with the way forward in the middle.
fn ports(grid: &Grid, centres: &[f64], pieces: &mut [Piece], of_upper: bool) {
    let mut ends: Vec<Vec<usize>> = vec![Vec::new(); grid.spots.len()];
    for (index, piece) in pieces.iter().enumerate() {
        ends[if of_upper { piece.upper } else { piece.lower }].push(index);
    }
    for (spot, mut ends) in ends.into_iter().enumerate() {
        let other = |piece: &Piece| centres[if of_upper { piece.lower } else { piece.upper }];
        ends.sort_by(|a, b| {
            let (a, b) = (&pieces[*a], &pieces[*b]);
            other(a).total_cmp(&other(b)).then(a.link.cmp(&b.link)).then(a.is_back.cmp(&b.is_back))
        });
        let forward: Vec<usize> = (0..ends.len()).filter(|nth| !pieces[ends[*nth]].is_back).collect();
        let (count, room) = (ends.len() as f64, grid.spots[spot].width);
        let middle = match forward.len() {
            0 => (count - 1.0) / 2.0,
            many => forward.iter().sum::<usize>() as f64 / many as f64,
        };
        // All on the edge, however many they are.
        let reach = middle.max(count - 1.0 - middle).max(1.0);
        let step = if grid.spots[spot].is_line { PORTS } else { PORTS.min((room / 2.0 - 16.0).max(0.0) / reach) };
        for (nth, end) in ends.into_iter().enumerate() {
            let x = (centres[spot] + (nth as f64 - middle) * step).round();
            let piece = &mut pieces[end];
            *(if of_upper { &mut piece.top } else { &mut piece.bottom }) = x;
        }
    }
}

/// Where each layer begins and ends.
fn bands(sizes: &[Size], grid: &Grid, pieces: &[Piece]) -> Vec<(f64, f64)> {
    let mut bands: Vec<(f64, f64)> = Vec::new();
    for (layer, row) in grid.rows.iter().enumerate() {
        let height = row.iter().filter_map(|spot| sizes.get(*spot)).map(|size| size.height).fold(0.0, f64::max);
        let into = pieces.iter().filter(|piece| grid.spots[piece.lower].layer == layer);
        let aside = into.map(|piece| (piece.top - piece.bottom).abs()).fold(0.0, f64::max);
        let below = (BELOW + aside / 12.0).min(MOST_BELOW).round();
        let top = bands.last().map_or(0.0, |band| band.1 + below);
        bands.push((top, top + height));
    }
    bands
}

impl Layout {
    /// Moves everything so that it begins at 0, and takes the width.
    fn begin_at_the_corner(&mut self, sizes: &[Size]) {
        let lines = self.routes.iter().flat_map(|route| &route.points).map(|point| point.x);
        let left = self.corners.iter().map(|corner| corner.x).chain(lines).fold(f64::INFINITY, f64::min);
        let left = if left.is_finite() { left } else { 0.0 };
        self.corners.iter_mut().for_each(|corner| corner.x -= left);
        self.routes.iter_mut().flat_map(|route| &mut route.points).for_each(|point| point.x -= left);
        let boxes = self.corners.iter().zip(sizes).map(|(corner, size)| corner.x + size.width);
        let lines = self.routes.iter().flat_map(|route| &route.points).map(|point| point.x);
        self.width = boxes.chain(lines).fold(0.0, f64::max);
    }
}
