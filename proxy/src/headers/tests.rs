use super::*;

#[test]
fn what_only_this_proxy_may_say_cannot_be_said_in_its_place_nor_be_taken_from_it_on_the_way() {
    let reserved = HeaderName::from_static("x-jwt-payload");
    let sent = [
        ("X-JWT-Payload", "a"),
        ("x_jwt_payload", "b"),
        ("X-JWT_Payload", "c"),
        ("x-jwt-payload-too", "kept"),
        ("Connection", "close, X-JWT-Payload"),
        ("Connection", "x-jwt-payload,te"),
    ];
    let mut headers = map(&sent);
    headers.append(&reserved, HeaderValue::from_static("d"));
    strip_reserved(&mut headers, &reserved);
    assert_eq!(headers, map(&[("x-jwt-payload-too", "kept"), ("connection", "close, te")]));
    let mut headers = map(&[("Connection", "X-JWT-Payload")]);
    strip_reserved(&mut headers, &reserved);
    assert_eq!(headers, HeaderMap::new());
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn hop(peer: &str) -> Hop<'_> {
    Hop {
        peer: peer.parse().unwrap(),
        peer_line: None,
        scheme: Scheme::Http,
        host: Some("shop.example:8080"),
        version: Version::HTTP_11,
    }
}

const ALL: Forwarded = Forwarded { x_forwarded: true, forwarded: true, via: true };

#[test]
fn what_belongs_to_one_connection_is_taken_out_and_the_rest_stays() {
    let mut headers = map(&[
        ("connection", "keep-alive, X-Hop"),
        ("connection", "x-other"),
        ("x-hop", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("trailer", "x-sum"),
        ("x-kept", "3"),
        ("x-kept", "4"),
    ]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("trailer", "x-sum"), ("x-kept", "3"), ("x-kept", "4")]));
}

#[test]
fn te_stays_where_it_asks_for_trailers_even_if_connection_names_it() {
    let mut headers = map(&[("connection", "TE"), ("te", "gzip;q=0.5, Trailers")]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("te", "trailers")]));
    let mut headers = map(&[("connection", "x, te, close"), ("te", "trailers")]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("te", "trailers")]));
}

#[test]
fn a_sender_cannot_hide_host_or_framing_through_connection() {
    let mut headers = map(&[("connection", "host, content-length"), ("host", "a"), ("content-length", "2")]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("host", "a"), ("content-length", "2")]));
}

#[test]
fn an_upgrade_handshake_keeps_its_protocol_and_nothing_else_of_the_hop() {
    let mut headers =
        map(&[("connection", "keep-alive, Upgrade, x-hop"), ("upgrade", "websocket"), ("x-hop", "1"), ("te", "gzip")]);
    assert_eq!(strip_all_but_upgrade(&mut headers), Upgrading::Yes);
    assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
}

#[test]
fn upgrades_to_h2c_and_unnamed_upgrades_are_not_passed_on() {
    for (connection, protocol) in [("upgrade, http2-settings", "h2c"), ("keep-alive", "websocket")] {
        let mut headers = map(&[("connection", connection), ("upgrade", protocol), ("http2-settings", "AAAA")]);
        assert_eq!(strip_all_but_upgrade(&mut headers), Upgrading::No);
        assert!(!headers.contains_key(UPGRADE) && !headers.contains_key(CONNECTION));
    }
}

#[test]
fn the_peer_is_appended_in_one_line_and_the_first_hops_word_stands() {
    let mut headers = map(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2"), ("x-forwarded-proto", "https")]);
    apply_forwarded(&mut headers, Forwarded { forwarded: false, via: false, ..ALL }, &hop("192.0.2.7"));
    assert_eq!(
        headers,
        map(&[
            ("x-forwarded-for", "10.0.0.1, 10.0.0.2, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example:8080"),
        ])
    );
}

#[test]
fn forwarded_quotes_what_is_no_token_and_brackets_ipv6() {
    let mut headers = map(&[("forwarded", "for=10.0.0.1")]);
    apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &hop("2001:db8::1"));
    assert_eq!(headers.get(FORWARDED).unwrap(), r#"for=10.0.0.1, for="[2001:db8::1]";host="shop.example:8080";proto=http"#);
    let mut headers = HeaderMap::new();
    let plain = Hop { host: Some("shop"), scheme: Scheme::Https, ..hop("::ffff:192.0.2.7") };
    apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &plain);
    assert_eq!(headers.get(FORWARDED).unwrap(), "for=192.0.2.7;host=shop;proto=https");
}

#[test]
fn a_host_cannot_break_out_of_its_quotes() {
    let mut headers = HeaderMap::new();
    let evil = Hop { host: Some(r#"a";for="b\"#), ..hop("192.0.2.7") };
    apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &evil);
    assert_eq!(headers.get(FORWARDED).unwrap(), r#"for=192.0.2.7;host="a\";for=\"b\\";proto=http"#);
    let evil = Hop { host: Some("a\r\nx: y"), ..hop("192.0.2.7") };
    let mut headers = HeaderMap::new();
    apply_forwarded(&mut headers, ALL, &evil);
    assert!(!headers.contains_key(FORWARDED) && !headers.contains_key(X_FORWARDED_HOST));
}

#[test]
fn via_names_the_version_received() {
    let mut headers = map(&[("via", "1.0 front")]);
    append_via(&mut headers, Version::HTTP_11);
    append_via(&mut headers, Version::HTTP_2);
    assert_eq!(headers, map(&[("via", "1.0 front, 1.1 refrain, 2 refrain")]));
}

#[test]
fn every_saga_header_of_a_stranger_goes_known_or_not() {
    let mut headers = map(&[("saga-step-key", "k"), ("saga-anything", "1"), ("saga-anything", "2"), ("sagas", "3")]);
    strip_saga(&mut headers);
    assert_eq!(headers, map(&[("sagas", "3")]));
}

#[test]
fn a_plain_upstream_cannot_speak_as_refrain() {
    let mut headers = map(&[("refrain-problem", "in-flight"), ("x", "1")]);
    distrust_answer(&mut headers);
    assert_eq!(headers, map(&[("x", "1")]));
}
