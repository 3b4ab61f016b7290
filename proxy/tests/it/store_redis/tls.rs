//! `rediss://`: the system's roots of trust, and nothing else.

use std::process::Command;

use refrain::store::redis::OpenError;

use super::*;

/// Where the child process finds Redis.
const URL: &str = "REFRAIN_TEST_REDISS_URL";

#[tokio::test]
async fn over_tls_a_certificate_that_nobody_vouches_for_is_refused_and_a_trusted_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    certify(&certificate, &key);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls_port = port.to_string();
    let mut options = vec!["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    options.extend(["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"]);
    let _server = RedisServer::start_with(&options);
    let url = format!("rediss://127.0.0.1:{port}");
    let error = RedisStore::open(&RedisConfig::new(&*url), Wakes::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Certificate(_)), "{error:?}");
    // The roots are read from the environment of the process: another process trusts this certificate.
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_redis::tls::a_process_that_trusts_the_certificate", "--ignored"])
        .env("SSL_CERT_FILE", &certificate)
        .env(URL, &url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trusting.stdout);
    assert!(trusting.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn a_process_that_trusts_the_certificate() {
    let url = std::env::var(URL).unwrap();
    let store = RedisStore::open(&RedisConfig::new(url), Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    assert!(store.health().ready.is_ok());
}

fn certify(certificate: &str, key: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", key, "-out", certificate])
        .output();
    match made {
        Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        Err(error) => panic!("openssl does not start ({error}); scripts/test tells what the tests need"),
    }
}
