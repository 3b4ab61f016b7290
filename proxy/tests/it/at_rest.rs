//! What a thief of the store's files finds.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::support::{
    client::Call,
    origin::{Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
};

const KEY: &str = "key-8b1a9953c461";
const REQUEST: &str = "card 4111-1111-1111-1111";
const ANSWER: &str = "approved under 7f83b1657ff1";
const HEADER: &str = "token-9c56cc51b374";

/// Redis writes its values as they are: what is there can be found.
const PLAIN: [&str; 4] = ["--appendonly", "yes", "--rdbcompression", "no"];

/// Whether a text is in any file of a folder.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Does one exchange, and replays it.
async fn exchange(store: &str, sealed: Option<&TempDir>) -> Refrain {
    let origin = Origin::start();
    origin.on("/orders", Reply::status(201).header("x-token", HEADER).body(ANSWER));
    let text = match sealed {
        None => yaml(store, &origin, ""),
        Some(folder) => {
            let file = folder.path().join("seal.key");
            fs::write(&file, "5a".repeat(32)).unwrap();
            let whole = yaml(store, &origin, "");
            let encryption = format!("encryption: {{keys: [{{id: k1, key: {{file: {}}}}}]}}", file.display());
            whole.replacen(&format!("\"{store}\""), &format!("\"{store}\", {encryption}"), 1)
        }
    };
    let refrain = Refrain::start(&text).await;
    let send = || Call::post(&refrain.url("/orders")).key(KEY).body(REQUEST).send();
    assert_eq!(send().await.how(), "executed");
    let replayed = send().await;
    assert_eq!((replayed.how(), replayed.text(), replayed.header("x-token")), ("replayed", ANSWER, Some(HEADER)));
    refrain
}

#[tokio::test]
async fn with_a_key_redis_files_tell_nothing_of_request_and_answer() {
    let (redis, folder) = (RedisServer::start_with(&PLAIN), tempfile::tempdir().unwrap());
    exchange(&redis.url(), Some(&folder)).await;
    let saved: String = redis.admin(&["SAVE"]);
    assert_eq!(saved, "OK");
    for text in [KEY, REQUEST, ANSWER, HEADER] {
        assert!(!holds(redis.dir(), text), "{text}");
    }
}

#[tokio::test]
async fn with_a_key_the_embedded_file_tells_nothing_of_request_and_answer() {
    let folder = tempfile::tempdir().unwrap();
    let refrain = exchange("embedded:./refrain.db", Some(&folder)).await;
    assert!(refrain.folder().join("refrain.db").exists());
    for text in [KEY, REQUEST, ANSWER, HEADER] {
        assert!(!holds(refrain.folder(), text), "{text}");
    }
}

#[tokio::test]
async fn without_a_key_the_answer_can_be_found_and_still_neither_key_nor_request() {
    let redis = RedisServer::start_with(&PLAIN);
    exchange(&redis.url(), None).await;
    let refrain = exchange("embedded:./refrain.db", None).await;
    for folder in [redis.dir(), refrain.folder()] {
        for text in [ANSWER, HEADER] {
            assert!(holds(folder, text), "{text} in {}", folder.display());
        }
        for text in [KEY, REQUEST] {
            assert!(!holds(folder, text), "{text} in {}", folder.display());
        }
    }
}
