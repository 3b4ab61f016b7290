//! Every YAML file and every YAML block of the documentation is sound; what is a whole configuration passes `refrain check`.
//!
//! A block is a whole configuration if its info string is `yaml refrain`. The `yaml saga` blocks of the same document are the saga files
//! that it may name: `sagas/*.yaml`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use saga_config::{diagnostic::Source, yaml::Document};

use crate::tree::{File, assert_none, files, root};

/// A block of a document.
pub(crate) struct Block {
    /// `file:line`.
    pub(crate) at: String,
    /// What stands after the fence.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The fenced blocks of a document (CommonMark, section 4.5), indented ones too.
pub(crate) fn blocks(file: &File) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for (index, line) in file.text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(info), None) => {
                let block =
                    Block { at: format!("{}:{}", file.path, index + 1), info: info.trim().to_owned(), text: String::new() };
                open = Some((line.len() - line.trim_start().len(), block));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (None, Some((indent, block))) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", file.path);
    blocks
}

/// Every block of every document.
pub(crate) fn all_blocks() -> Vec<Block> {
    files(".md").iter().flat_map(blocks).collect()
}

/// What `refrain diagram` prints of these files, in a folder.
fn drawn(folder: &Path, files: &[&str], format: &str) -> String {
    let drawn = Command::new(env!("CARGO_BIN_EXE_refrain"))
        .arg("diagram")
        .args(files)
        .args(["--format", format])
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    String::from_utf8(drawn.stdout).unwrap()
}

/// What samples take from the environment.
const VARIABLES: [(&str, &str); 6] = [
    ("REFRAIN_STORE_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
    ("FLIGHTS_TOKEN", "a-token"),
    ("PARTNER_TOKEN", "a-token"),
    ("VISA_TOKEN", "a-token"),
    ("SHOP_STORE_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
    ("SHOP_SAGA_KEY", "a key that all sidecars share"),
];

/// What `refrain check` says against a configuration.
fn refused(text: &str, folder: &Path) -> Option<String> {
    let path = folder.join("refrain.yaml");
    fs::write(&path, text).unwrap();
    refused_at(&path, folder)
}

/// The same, where it stands: it may name files beside it.
fn refused_at(path: &Path, state: &Path) -> Option<String> {
    let checked = Command::new(env!("CARGO_BIN_EXE_refrain"))
        .args(["check", "--config"])
        .arg(path)
        .env_clear()
        .env("XDG_STATE_HOME", state)
        .envs(VARIABLES)
        .output()
        .unwrap();
    (!checked.status.success()).then(|| String::from_utf8_lossy(&checked.stderr).into_owned())
}

/// What is wrong with a file that is applied to a cluster: it has several documents. What helm makes of a template is checked by
/// scripts/check-deployments.
fn unsound_manifest(file: &File) -> Option<String> {
    file.text.split("\n---\n").find_map(|document| unsound(&file.path, document))
}

/// What is wrong with a text as YAML.
fn unsound(at: &str, text: &str) -> Option<String> {
    Document::parse(&Source::new(at, text))
        .err()
        .map(|mistakes| format!("{at}: {}", mistakes.first().map_or("", |first| first.message())))
}

#[test]
fn every_yaml_file_is_sound() {
    let meant_to_be_wrong = |path: &str| path.contains("/golden/") || path.contains("/invalid/");
    // Those of the benches are filled in and read whenever a bench runs.
    let is_template = |path: &str| {
        (path.starts_with("deployments/helm/") && path.contains("/templates/"))
            || path.starts_with("benches/peers/")
            || path == "benches/long/refrain.yaml"
    };
    // Compose's own dialect has merge keys, which are not read here.
    let is_meant = |path: &str| !meant_to_be_wrong(path) && !is_template(path) && path != "deployments/compose.yaml";
    let all = files(".yaml").into_iter().chain(files(".yml")).filter(|file| is_meant(&file.path));
    let of_a_cluster = |file: &File| file.path.starts_with("deployments/");
    let what = |file: File| if of_a_cluster(&file) { unsound_manifest(&file) } else { unsound(&file.path, &file.text) };
    let wrong: Vec<_> = all.filter_map(what).collect();
    assert_none("not YAML", &wrong);
}

#[test]
fn every_configuration_of_an_example_or_a_deployment_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let is_configuration = |file: &File| {
        (file.path.starts_with("examples/") || file.path.starts_with("deployments/"))
            && file.text.lines().any(|line| line.starts_with("upstreams:"))
    };
    let all: Vec<_> = files(".yaml").into_iter().filter(is_configuration).collect();
    assert!(all.len() >= 2, "the shop has two sidecars");
    let wrong =
        all.iter().filter_map(|file| Some(format!("{}:\n{}", file.path, refused_at(&root().join(&file.path), folder.path())?)));
    assert_none("refused", &wrong.collect::<Vec<_>>());
}

/// What `refrain` says of the shop, run in its folder.
fn said_of_the_shop(arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_refrain"))
        .args(arguments)
        .current_dir(root().join("examples/services"))
        .env_clear()
        .env("XDG_STATE_HOME", state.path())
        .envs(VARIABLES)
        .output()
        .unwrap()
}

#[test]
fn nothing_is_said_against_the_shops_sidecars_and_their_sagas_not_even_a_warning() {
    let sidecars = ["edge", "orders", "billing", "users", "auth", "notifications"];
    for name in sidecars {
        let said = said_of_the_shop(&["check", "--format", "json", "--config", &format!("sidecars/{name}.yaml")]);
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success() && out.is_empty(), "{name}: {out}{err}");
    }
    let is_a_sidecar = |file: &File| file.path.starts_with("examples/services/sidecars/");
    assert_eq!(files(".yaml").into_iter().filter(is_a_sidecar).count(), sidecars.len(), "these are all");
}

#[test]
fn no_single_fault_leaves_an_effect_of_the_shops_sagas_neither_kept_nor_undone() {
    let sagas = [("orders", "create-order"), ("users", "register-user"), ("users", "login"), ("users", "logout")];
    for (sidecar, saga) in sagas {
        let (config, file) = (format!("sidecars/{sidecar}.yaml"), format!("sagas/{saga}.yaml"));
        let said = said_of_the_shop(&["simulate", "--check", "--faults", "1", "--config", &config, &file]);
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "{saga}: {out}{err}");
        assert!(out.contains("No ending leaves an effect neither kept nor undone."), "{saga}: {out}");
    }
    let is_a_saga = |file: &File| file.path.starts_with("examples/services/sagas/");
    assert_eq!(files(".yaml").into_iter().filter(is_a_saga).count(), sagas.len(), "these are all");
}

#[test]
fn every_yaml_block_of_the_documentation_is_sound_and_whole_configurations_pass_check() {
    let folder = tempfile::tempdir().unwrap();
    let blocks: Vec<_> = all_blocks().into_iter().filter(|block| block.info.starts_with("yaml")).collect();
    let (whole, parts): (Vec<_>, Vec<_>) = blocks.iter().partition(|block| block.info == "yaml refrain");
    assert!(whole.len() >= 8, "{} blocks are whole configurations: are they marked?", whole.len());
    let sagas = folder.path().join("sagas");
    let with_its_sagas = |block: &Block| {
        drop(fs::remove_dir_all(&sagas));
        fs::create_dir(&sagas).unwrap();
        let document = block.at.split(':').next();
        let its = parts.iter().filter(|part| part.info == "yaml saga" && part.at.split(':').next() == document);
        its.enumerate().for_each(|(n, saga)| fs::write(sagas.join(format!("{n}.yaml")), &saga.text).unwrap());
        refused(&block.text, folder.path())
    };
    let unsound = parts.iter().filter_map(|block| unsound(&block.at, &block.text));
    let refused = whole.iter().filter_map(|block| Some(format!("{}:\n{}", block.at, with_its_sagas(block)?)));
    assert_none("samples", &unsound.chain(refused).collect::<Vec<_>>());
}

#[test]
fn a_chart_in_the_documentation_is_that_of_the_saga_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut before: Option<Block> = None;
    let mut charts = 0;
    for block in all_blocks() {
        if block.info == "yaml saga" {
            before = Some(block);
        } else if block.info == "mermaid" {
            let saga = before.as_ref().expect("a saga stands before its chart");
            fs::write(folder.path().join("saga.yaml"), &saga.text).unwrap();
            assert_eq!(
                block.text,
                drawn(folder.path(), &["saga.yaml"], "mermaid"),
                "{} is not the chart of {}",
                block.at,
                saga.at
            );
            charts += 1;
        }
    }
    assert!(charts > 0);
}

#[test]
fn a_picture_in_the_documentation_is_that_of_its_sample() {
    let pictures: Vec<File> = files(".svg").into_iter().filter(|file| file.path.starts_with("docs/pictures/")).collect();
    assert!(!pictures.is_empty());
    for picture in pictures {
        let name = picture.path.trim_start_matches("docs/pictures/").trim_end_matches(".svg");
        let folder = if name == "create-order" { "examples/services/sagas" } else { "examples/sagas" };
        let sample = format!("{folder}/{name}.yaml");
        let parts: &[&str] = if name == "book-trip" { &["examples/sagas/book-hotel.yaml"] } else { &[] };
        let files = [&[sample.as_str()], parts].concat();
        let now = drawn(&root(), &files, "svg");
        assert!(picture.text == now, "draw it again: refrain diagram {} --format svg -o {}", files.join(" "), picture.path);
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused("upstreams: {a: {url: http://127.0.0.1:1, locall: true}}\n", folder.path()).unwrap();
    assert!(said.contains("locall"), "{said}");
    assert!(unsound("here", "a: [").is_some());
}
