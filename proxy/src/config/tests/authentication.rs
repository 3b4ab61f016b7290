use std::{path::PathBuf, time::Duration};

use http::Method;
use saga_config::template::Method as CallMethod;
use serde_json::Value;

use super::*;
use crate::config::{JwtConfig, KeySource, PathMatch, SignatureAlgorithm, schema};

const UPSTREAMS: &str =
    "upstreams: {orders: {url: http://127.0.0.1:8001, local: true}, auth: {url: http://127.0.0.1:8104, refrain: true}}\n";

fn with(jwt: &str) -> String {
    format!("{UPSTREAMS}authentication: {{jwt: {jwt}}}\n")
}

/// With an issuer and keys, and `rest` beside them.
fn and(rest: &str) -> String {
    with(&format!("{{issuer: shop, jwks: {{call: auth GET /jwks/}}, {rest}}}"))
}

/// One mistake, at the last place where `what` is written in the second line.
#[track_caller]
fn one_at(text: &str, what: &str, said: &str) {
    let column = text.lines().nth(1).unwrap().rfind(what).unwrap() + 1;
    one_mistake(text, &format!("2:{column}: error: {said}"));
}

#[track_caller]
fn jwt(text: &str) -> JwtConfig {
    JwtConfig::clone(&config(text).authentication.unwrap())
}

#[test]
fn what_is_said_of_tokens_is_read() {
    let config = config(&and(r#"audience: [shop, admin], algorithms: [ES256, EdDSA], leeway: 0s, payload_header: X-Caller,
           required_on: [{path: /orders/, methods: [POST]}, {prefix: /admin/, host: Shop.example, check: "${claims.role == 'admin' && request.method == 'GET'}"}, {template: "/orders/{id}/"}],
           revoked: {call: "auth GET /jwt/blacklist/${claims.jti}/", when: "${response.status == 200}", cache: 10s, timeout: 2s}"#));
    let jwt = config.authentication.as_ref().unwrap();
    assert_eq!((jwt.issuer.as_str(), &jwt.audience[..]), ("shop", &["shop".to_owned(), "admin".to_owned()][..]));
    assert_eq!(jwt.algorithms, [SignatureAlgorithm::ES256, SignatureAlgorithm::EdDSA]);
    assert_eq!((jwt.leeway, jwt.payload_header.as_str()), (Duration::ZERO, "x-caller"));
    let KeySource::Upstream(auth, target) = &jwt.keys else { panic!("{:?}", jwt.keys) };
    assert_eq!((config.upstreams[*auth].name.as_str(), target.to_string().as_str()), ("auth", "/jwks/"));
    let [orders, admin, one] = &jwt.required_on[..] else { panic!("{:?}", jwt.required_on) };
    assert_eq!((&orders.matcher.path, &orders.matcher.methods[..]), (&PathMatch::Exact("/orders/".into()), &[Method::POST][..]));
    assert_eq!(admin.matcher.host.as_deref(), Some("shop.example"));
    assert!(admin.check.is_some() && orders.check.is_none() && matches!(one.matcher.path, PathMatch::Template(_)));
    let revoked = jwt.revoked.as_ref().unwrap();
    assert_eq!((revoked.upstream, revoked.call.method()), (*auth, CallMethod::Get));
    assert_eq!((revoked.cache.as_secs(), revoked.timeout.as_secs()), (10, 2));
}

#[test]
fn an_issuer_and_keys_are_enough_and_the_rest_is_as_editors_show_it() {
    let least = jwt(&with("{issuer: shop, jwks: {call: auth GET /jwks/}}"));
    assert!(least.audience.is_empty() && least.required_on.is_empty() && least.revoked.is_none());
    assert_eq!(least.algorithms, [SignatureAlgorithm::RS256]);
    assert_eq!((least.refresh, least.leeway), (Duration::from_secs(300), Duration::from_secs(30)));
    assert_eq!(least.payload_header.as_str(), "x-jwt-payload");
    const JWT: &str = "Authentication/properties/jwt";
    const JWKS: &str = "Authentication/properties/jwt/properties/jwks";
    let schema = schema();
    let shown = |of: &str| {
        let properties = schema.pointer(&format!("/$defs/{of}/properties")).and_then(Value::as_object).unwrap();
        let defaults = properties.iter().filter_map(|(name, property)| Some((name, property.get("default")?)));
        defaults.map(|(name, default)| format!(", {name}: {default}")).collect::<String>()
    };
    let written = |of_check: &str| {
        let revoked = format!("{{call: 'auth GET /${{claims.jti}}', when: '${{response.status == 200}}'{of_check}}}");
        jwt(&with(&format!("{{issuer: shop, jwks: {{call: auth GET /jwks/{}}}{}, revoked: {revoked}}}", shown(JWKS), shown(JWT))))
    };
    assert!(shown(JWT).contains("30s") && shown("Revoked").contains("5s") && shown(JWKS).contains("5m"));
    assert_eq!(written(&shown("Revoked")), written(""));
    assert_eq!(JwtConfig { revoked: None, ..written("") }, least);
}

#[test]
fn keys_are_with_an_upstream_at_a_url_or_in_a_file() {
    let KeySource::Upstream(local, target) = jwt(&with("{issuer: a, jwks: {call: 'GET /jwks?all=1'}}")).keys else { panic!() };
    assert_eq!((local, target.to_string().as_str()), (1, "/jwks?all=1"), "without a name, the local one");
    let KeySource::Url(upstream, target) = jwt(&with("{issuer: a, jwks: {url: 'https://auth.example:8443/k/jwks?x=1'}}")).keys
    else {
        panic!()
    };
    assert_eq!(upstream.endpoints, ["https://auth.example:8443/".parse::<http::Uri>().unwrap()]);
    assert_eq!(target.to_string(), "/k/jwks?x=1");
    let KeySource::Url(_, target) = jwt(&with("{issuer: a, jwks: {url: 'http://auth'}}")).keys else { panic!() };
    assert_eq!(target.to_string(), "/");
    let folder = tempfile::tempdir().unwrap();
    let of_file = |content: &str| {
        std::fs::write(folder.path().join("jwks.json"), content).unwrap();
        let around = Surroundings { folder: folder.path(), env: &env };
        let text = with("{issuer: a, jwks: {file: ./jwks.json}}");
        from_source(Some(&Source::new("refrain.yaml", text)), &Overrides::default(), around)
    };
    let read = of_file(r#"{"keys": [{"kty": "RSA"}]}"#).unwrap().config.authentication.unwrap();
    assert_eq!(read.keys, KeySource::File(PathBuf::from(folder.path()).join("jwks.json")), "relative to the file");
    for (content, why) in [("[", "it is not JSON"), ("{}", "it has no list `keys`"), (r#"{"keys": []}"#, "it has no key")] {
        let found = of_file(content).unwrap_err();
        assert!(found.iter().any(|found| found.code() == "unreadable" && found.message().contains(why)), "{content}");
    }
    std::fs::remove_file(folder.path().join("jwks.json")).unwrap();
    assert_eq!(mistakes(&with("{issuer: a, jwks: {file: jwks.json}}")).len(), 1);
}

#[test]
fn keys_are_in_one_place() {
    one_at(
        &with("{issuer: a, jwks: {refresh: 1m}}"),
        "{refresh",
        "nothing says where the keys are (write one of call: \"auth GET /jwks/\", url: https://auth.example/jwks/ and file: jwks.json)",
    );
    one_at(
        &with("{issuer: a, jwks: {url: http://a/, call: auth GET /jwks/}}"),
        "url",
        "`url` cannot stand beside `call`: the keys are in one place (keep one of them)",
    );
    one_at(&with("{issuer: a}"), "jwt", "missing key `jwks`");
    one_at(&with("{jwks: {url: http://a/}}"), "jwt", "missing key `issuer`");
    one_at(&format!("{UPSTREAMS}authentication: {{}}\n"), "authentication", "missing key `jwt`");
    one_at(&with("{issuer: a, jwks: {refresh: 1m, ulr: http://a/}}"), "ulr", "unknown key `ulr` (did you mean `url`?)");
}

#[test]
fn who_is_asked_is_there_and_is_only_asked() {
    let keys = |call: &str| with(&format!("{{issuer: a, jwks: {{call: '{call}'}}}}"));
    one_at(&keys("auht GET /jwks/"), "'auht", "there is no upstream `auht` (did you mean `auth`?)");
    one_at(&keys("auth HEAD /jwks/"), "'auth", "keys are in an answer to GET, not to HEAD (write it like auth GET /jwks/)");
    one_at(&keys("auth GET /${claims.sub}/"), "claims", "there is no `claims` here");
    one_at(
        &keys("auth GET /${1}/"),
        "'auth",
        "the keys are those of all tokens: this call is always the same (leave `${…}` out)",
    );
    let revoked = |call: &str| and(&format!("revoked: {{call: '{call}', when: '${{response.status == 200}}'}}"));
    one_at(
        &revoked("auth POST /introspect/${claims.jti}/"),
        "'auth",
        "a check only asks, it does not act: POST could (use GET or HEAD)",
    );
    one_at(
        &revoked("auth GET /revoked/"),
        "'auth",
        "this asks the same of every token (name the token by its id: auth GET /revoked/${claims.jti}/)",
    );
    one_at(
        &revoked("auth GET ${claims.url}"),
        "'auth",
        "the path of this call begins with `/` (write it like auth GET /revoked/${claims.jti}/)",
    );
    one_at(&and("revoked: {call: 'auth GET /${claims.jti}'}"), "revoked", "missing key `when`");
    one_at(
        &and("revoked: {call: 'auth GET /${claims.jti}', when: '${response.status}'}"),
        "response.status",
        "this is a whole number, and has to be true or false (compare it with something)",
    );
    one_at(
        &and("revoked: {call: 'auth GET /${claims.jti}', when: '${response.satus == 200}'}"),
        "response.satus",
        "`response` has no `satus` (did you mean `response.status`?)",
    );
    one_at(
        "upstreams: {auth: {url: http://auth}}\nauthentication: {jwt: {issuer: a, jwks: {call: GET /jwks/}}}\n",
        "GET",
        "this call names no upstream, and none is `local` (name one, like auth GET /jwks/, or mark the service beside this Refrain with `local: true`)",
    );
}

#[test]
fn algorithms_with_a_shared_secret_are_refused_with_the_reason() {
    one_at(
        &and("algorithms: [RS256, HS256]"),
        "HS256",
        "HS256 signs and verifies with one shared secret: with keys that are published, whoever reads them could sign (write algorithms such as RS256)",
    );
    one_at(
        &and("algorithms: [none]"),
        "none",
        "a token without a signature says nothing that anybody could not write (write algorithms such as RS256)",
    );
    one_at(&and("algorithms: [RS256, RS256]"), "RS256", "this algorithm is in the list already (name every algorithm once)");
    assert_eq!(mistakes(&and("algorithms: []")).len(), 1);
}

#[test]
fn times_are_within_bounds() {
    one_at(
        &and("leeway: 11m"),
        "11m",
        "with a leeway over 10m, tokens that have expired count for long (write at most 10m, and set the clocks by NTP)",
    );
    assert!(try_load(&and("leeway: 10m")).is_ok());
    let zero = "this is no time at all (write a duration such as 1s)";
    one_at(&with("{issuer: a, jwks: {url: http://a, refresh: 0s}}"), "0s", zero);
    let found = mistakes(&with("{issuer: a, jwks: {url: http://a, refresh: 500ms}}"));
    assert!(found.len() == 1 && found[0].contains("write at least 1s"), "{found:?}");
    let revoked = |rest: &str| and(&format!("revoked: {{call: 'auth GET /${{claims.jti}}', when: '${{true}}', {rest}}}"));
    for rest in ["cache: 0s", "timeout: 0s"] {
        let found = mistakes(&revoked(rest));
        assert!(found.len() == 1 && found[0].contains("no time at all"), "{found:?}");
    }
}

#[test]
fn the_payload_has_a_header_of_its_own() {
    for taken in
        ["Authorization", "Connection", "TE", "Content-Type", "Saga-Step-Key", "X-Forwarded-For", "Idempotency-Key", "Host"]
    {
        let found = mistakes(&and(&format!("payload_header: {taken}")));
        assert!(found.len() == 1 && found[0].contains("means something else already"), "{taken}: {found:?}");
    }
    assert_eq!(jwt(&and("payload_header: X-Endpoint-API-UserInfo")).payload_header, "x-endpoint-api-userinfo");
}

#[test]
fn where_a_token_is_required_is_said_as_routes_are() {
    let on = |entries: &str| and(&format!("required_on: [{entries}]"));
    let found = mistakes(&on("{path: orders/}"));
    assert!(found.len() == 1 && found[0].contains("a path begins with `/`"), "{found:?}");
    let found = mistakes(&on("{path: /a, prefix: /b}"));
    assert!(found.len() == 1 && found[0].contains("`prefix` cannot stand beside `path`"), "{found:?}");
    let found = mistakes(&on("{check: '${claims.a == 1}'}"));
    assert!(found.len() == 1 && found[0].contains("this matches everything"), "{found:?}");
    let several = on("{path: /a}, {path: /a, check: '${claims.a == 1}'}");
    assert_eq!(jwt(&several).required_on.len(), 2, "both hold");
    let found = mistakes(&on("{path: /a, check: '${claims.role}', methods: [post]}"));
    assert!(found.len() == 1 && found[0].contains("POST?"), "{found:?}");
    let found = mistakes(&on("{path: /a, check: \"${'admin'}\"}"));
    assert!(found.len() == 1 && found[0].contains("has to be true or false"), "{found:?}");
    let found = mistakes(&on("{path: /a, check: '${claims.a == request.body.a}'}"));
    assert!(found.len() == 1 && found[0].contains("body is not read before"), "{found:?}");
    assert_eq!(warnings(&on("{path: /a, check: \"${request.path == '/a'}\"}")).len(), 1);
}

#[test]
fn claims_without_tokens_are_a_mistake_where_they_stand() {
    let said = "`claims` are those of a verified token, and no token is verified here (say how with `authentication: {jwt: …}`, or take the value from `request`)";
    let route = "routes: [{match: {path: /a}, idempotency: {scope: 'a-${claims.sub}'}}]\n";
    for written in
        ["idempotency: {scope: '${claims.sub}'}\n", "idempotency: {key: {from: '${request.path + claims.jti}'}}\n", route]
    {
        one_at(&format!("{LOCAL}{written}"), "claims", said);
    }
    for sound in ["idempotency: {scope: '${claims.sub}', key: {from: '${claims.jti}'}}\n", route] {
        let text = format!("{}{sound}", and("leeway: 1s"));
        assert_eq!(try_load(&text).map(|_| ()).map_err(|found| render(&found, Colour::Never)), Ok(()));
        let broken = format!("{}{sound}", and("leeway: long"));
        assert_eq!(mistakes(&broken).len(), 1, "a mistake in what is said of tokens is one mistake");
    }
}

#[test]
fn what_is_said_of_tokens_can_be_reloaded() {
    let (old, new) = (config(UPSTREAMS), config(&and("leeway: 1s")));
    assert_eq!(new.needs_restart(&old), Vec::<&str>::new());
    assert!(new.keeping_what_needs_a_restart(&old).authentication.is_some());
    let revoked = |when: &str| jwt(&and(&format!("revoked: {{call: 'auth GET /${{claims.jti}}', when: '{when}'}}")));
    assert_eq!(revoked("${response.status == 200}"), revoked("${response.status == 200}"));
    assert_ne!(revoked("${response.status == 200}"), revoked("${response.status == 204}"));
    let on = |check: &str| jwt(&and(&format!("required_on: [{{path: /a, check: '${{claims.a == {check}}}'}}]")));
    assert_eq!(on("1"), on("1"));
    assert_ne!(on("1"), on("2"));
}
