//! Tables and plots out of results: what stands between the marks of `docs/benchmarks.md`, and the pictures beside it.
//!
//! The page's own text is written by hand; of what is between two marks nothing is.

mod figures;
mod tables;
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::plot;
use crate::results::Results;

/// Suites with results, in the page's order.
const SUITES: [&str; 7] = ["pass", "keyed", "sagas", "engine", "footprint", "curves", "flames"];

/// The page that is kept.
const PAGE: &str = "docs/benchmarks.md";

/// The results that there are, by suite.
pub(crate) type All = BTreeMap<String, Results>;

/// Writes the page above `results`, and the pictures beside it, anew.
pub(crate) fn write(results: &Path) -> Result<(), Error> {
    let all = read(results)?;
    let pictures = results.parent().unwrap_or(results);
    let page = pictures.with_extension("md");
    for (name, picture) in plot::all(&all)? {
        let path = pictures.join(name);
        fs::write(&path, picture).map_err(Error::io(format!("write {}", path.display())))?;
    }
    // The page's own text is there once, whoever measures for himself.
    let text = if page.is_file() { page.clone() } else { PAGE.into() };
    let text = fs::read_to_string(&text).map_err(Error::io(format!("read {}", text.display())))?;
    fs::write(&page, render(&text, &all)?).map_err(Error::io(format!("write {}", page.display())))
}

fn read(results: &Path) -> Result<All, Error> {
    let read = SUITES.into_iter().filter_map(|suite| {
        let read = Results::read(results, suite).transpose()?;
        Some(read.map(|results| (suite.to_owned(), results)))
    });
    read.collect()
}

/// The page with everything between its marks made anew. What has no mark is not shown.
fn render(page: &str, all: &All) -> Result<String, Error> {
    let mut page = put(page, "targets", &targets::table(all))?;
    for suite in SUITES {
        let shown = match all.get(suite) {
            Some(results) => tables::suite(results),
            None => "Not measured yet.\n".to_owned(),
        };
        page = put(&page, suite, &shown)?;
    }
    Ok(page)
}

fn put(page: &str, name: &str, shown: &str) -> Result<String, Error> {
    let (begin, end) = (format!("<!-- bench: {name} -->\n"), format!("<!-- end of bench: {name} -->"));
    let missing = || Error::Invalid(format!("the page has no {} … {end}", begin.trim_end()));
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{shown}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_plots_are_what_the_results_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("benchmarks");
        let all = read(&folder.join("results")).expect("results are readable");
        let page = fs::read_to_string(folder.with_extension("md")).expect("the page is there");
        assert!(render(&page, &all).expect("the page has its marks") == page, "docs/benchmarks.md: run `scripts/bench report`");
        for (name, picture) in plot::all(&all).expect("results can be drawn") {
            let drawn = fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(drawn == picture, "docs/benchmarks/{name}: run `scripts/bench report`");
        }
    }

    #[test]
    fn what_stands_between_marks_is_replaced_and_nothing_else() {
        let page = "a\n<!-- bench: x -->\nold\n<!-- end of bench: x -->\nb\n";
        let put_once = put(page, "x", "| new |\n").expect("it has the mark");
        assert_eq!(put_once, "a\n<!-- bench: x -->\n\n| new |\n\n<!-- end of bench: x -->\nb\n");
        assert_eq!(put(&put_once, "x", "| new |\n").expect("it has the mark"), put_once);
        assert!(put(page, "y", "").is_err());
    }
}
