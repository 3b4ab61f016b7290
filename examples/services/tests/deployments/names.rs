//! Images, files and paths.

use std::collections::BTreeSet;

use crate::sidecars;
use crate::yaml::{document, documents, files, items, root, str_at, text, texts};

/// Every image that is pulled or built, with where it is named.
fn images() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let compose = document("deployments/compose.yaml");
    for service in compose["services"].as_object().unwrap().values() {
        found.push(("deployments/compose.yaml".to_owned(), str_at(service, "/image").to_owned()));
    }
    for path in files("deployments", "kustomization.yaml") {
        for image in items(&document(&path), "/images") {
            let name = image.get("newName").unwrap_or(&image["name"]).as_str().unwrap();
            found.push((path.clone(), format!("{name}:{}", str_at(image, "/newTag"))));
        }
    }
    let values = document("deployments/helm/shop/values.yaml");
    for image in values["images"].as_object().unwrap().values() {
        found.push(("deployments/helm/shop/values.yaml".to_owned(), image.as_str().unwrap().to_owned()));
    }
    found
}

#[test]
fn every_image_is_built_here_or_pinned_to_a_version() {
    let images = images();
    assert!(images.len() > 20, "{images:?}");
    for (at, image) in &images {
        let (name, tag) = image.rsplit_once(':').unwrap();
        if name.contains('/') {
            let is_version = tag.trim_start_matches('v').split(['.', '-']).take(2).all(|part| part.parse::<u16>().is_ok());
            assert!(is_version, "{at}: {image} is whatever is the newest");
        } else {
            assert!(root().join(format!("deployments/images/{name}.Dockerfile")).exists(), "{at}: nobody builds {image}");
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{at}: {image}");
        }
    }
    // The same thing is the same version everywhere.
    let third_party: BTreeSet<&String> = images.iter().map(|(_, image)| image).filter(|image| image.contains('/')).collect();
    let names: BTreeSet<&str> = third_party.iter().map(|image| image.rsplit_once(':').unwrap().0).collect();
    assert_eq!(third_party.len(), names.len(), "{third_party:?}");
}

#[test]
fn every_image_that_a_manifest_names_is_given_a_version() {
    let mut given = BTreeSet::new();
    let mut named = BTreeSet::new();
    for path in files("deployments", ".yaml").into_iter().filter(|path| !path.contains("/helm/")) {
        for document in documents(&path) {
            given.extend(items(&document, "/images").map(|image| str_at(image, "/name").to_owned()));
            let containers = ["initContainers", "containers"].map(|key| format!("/spec/template/spec/{key}"));
            let containers = containers.iter().flat_map(|pointer| items(&document, pointer));
            named.extend(containers.filter_map(|container| Some(container.get("image")?.as_str()?.to_owned())));
        }
    }
    assert!(named.len() >= 6, "{named:?}");
    assert_eq!(named, given);
}

#[test]
fn the_programs_of_the_images_are_those_of_the_workspace() {
    for (name, package) in [("refrain", "refrain"), ("shop", "shop")] {
        let file = text(&format!("deployments/images/{name}.Dockerfile"));
        assert!(file.contains(&format!("cargo build --release --locked -p {package} ")), "{name}");
        assert!(file.contains(&format!("COPY --from=build /out/{name} /usr/local/bin/{name}\n")), "{name}");
        assert!(file.contains(&format!("ENTRYPOINT [\"/usr/local/bin/{name}\"]\n")), "{name}");
    }
}

#[test]
fn every_sidecar_has_its_file_and_its_sagas_where_they_are_mounted() {
    let maps = document("examples/services/kustomization.yaml");
    for sidecar in sidecars::all() {
        let map = format!("{}-refrain", sidecar.name);
        let generated = items(&maps, "/configMapGenerator").find(|entry| entry["name"] == *map).unwrap();
        let sources = texts(generated, "/files");
        for source in &sources {
            assert!(root().join("examples/services").join(source).exists(), "{map}: {source}");
        }
        // `../sagas/x.yaml`, as the file in `sidecars/` says.
        let mut needed = vec![format!("sidecars/{}.yaml", sidecar.name)];
        needed.extend(sidecar.sagas.iter().map(|saga| saga.strip_prefix("../").unwrap().to_owned()));
        assert_eq!(sources, needed, "{map}");

        let path = format!("deployments/shop/base/{}.yaml", sidecar.name);
        let deployment = documents(&path).into_iter().find(|document| document["kind"] == "Deployment").unwrap();
        let volume = items(&deployment, "/spec/template/spec/volumes").find(|volume| volume["name"] == "refrain").unwrap();
        assert_eq!(str_at(volume, "/configMap/name"), map);
        let mounted: Vec<&str> = items(volume, "/configMap/items").map(|item| str_at(item, "/path")).collect();
        assert_eq!(mounted, sources, "{path}");
        for item in items(volume, "/configMap/items") {
            assert!(str_at(item, "/path").ends_with(&format!("/{}", str_at(item, "/key"))), "{path}: {item}");
        }
    }
}

#[test]
fn every_service_of_a_cluster_leads_to_the_port_of_its_sidecar() {
    for sidecar in sidecars::all() {
        let path = format!("deployments/shop/base/{}.yaml", sidecar.name);
        let mut ports = Vec::new();
        for service in documents(&path).iter().filter(|document| document["kind"] == "Service") {
            let port = service.pointer("/spec/ports/0/port").unwrap().as_u64().unwrap();
            ports.push((str_at(service, "/metadata/name").to_owned(), port));
        }
        let (name, listen, admin) = (sidecar.name.to_owned(), sidecar.listen.into(), sidecar.admin.into());
        assert_eq!(ports, [(name.clone(), listen), (name + "-admin", admin)], "{path}");
    }
}

#[test]
fn every_path_that_a_kustomization_or_the_page_names_exists() {
    for path in files("deployments", "kustomization.yaml").iter().chain([&"examples/services/kustomization.yaml".to_owned()]) {
        let file = document(path);
        let folder = root().join(path).parent().unwrap().to_owned();
        let lists = ["/resources", "/components", "/configMapGenerator/0/files"].map(|list| texts(&file, list));
        let patches = items(&file, "/patches").filter_map(|patch| Some(patch.get("path")?.as_str()?.to_owned()));
        for named in lists.into_iter().flatten().chain(patches) {
            assert!(folder.join(&named).exists(), "{path}: {named}");
        }
    }
    let page = text("deployments/README.md");
    let words = page.split_whitespace().map(|word| word.trim_matches(['`', '(', ')', ',', ';', ':', '.']));
    let paths: Vec<&str> = words.filter(|word| word.starts_with("deployments/") || word.starts_with("examples/")).collect();
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "deployments/README.md: {path}");
    }
}
