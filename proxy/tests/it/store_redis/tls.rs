//! `rediss://`: the system's roots of trust, and nothing else.

use std::process::Command;

use refrain::store::redis::OpenError;

use super::*;

/// Where the process that trusts the certificate finds Redis.
const URL: &str = "REFRAIN_TEST_REDISS_URL";

#[tokio::test]
async fn over_tls_a_certificate_that_nobody_vouches_for_is_refused_and_a_trusted_one_is_not() {
    if let Ok(url) = std::env::var(URL) {
        return use_trusted(url).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls_port = port.to_string();
    let mut options = vec!["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    options.extend(["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"]);
    let _server = RedisServer::start_with(&options);
    let url = format!("rediss://127.0.0.1:{port}");
    let error = RedisStore::open(&RedisConfig::new(&*url), Wakes::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Certificate(_)), "{error:?}");
    // The roots are read from the process's environment: another process, which runs this same test, trusts this certificate.
    let name = std::thread::current().name().unwrap().to_owned();
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env("SSL_CERT_FILE", &certificate)
        .env(URL, &url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trusting.stdout);
    assert!(trusting.status.success() && said.contains("1 passed"), "{said}");
}

async fn use_trusted(url: String) {
    let store = RedisStore::open(&RedisConfig::new(url), Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    assert!(store.health().ready.is_ok());
}
