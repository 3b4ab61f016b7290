//! Texts with a grammar: checked where they stand, so that every wrong one is told at once, and parsed when they are read.

use std::{borrow::Cow, net::SocketAddr};

use http::{HeaderName, Method, Uri};
use ipnet::IpNet;
use saga_config::{
    diagnostic::{did_you_mean, quoted},
    names::{SecretName, UpstreamName},
    schema::{Format, STANDARD_FORMATS, parse_as},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::store_url::WrittenStoreUrl;
use crate::config::SignatureAlgorithm;
use crate::idempotency::policy::{JsonPointer, KeyPattern, StatusPattern};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident($value:ty), $format:literal, $expected:literal, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(in crate::config) struct $name(pub(in crate::config) $value);

        impl $name {
            const FORMAT: Format =
                Format { name: $format, expected: $expected, parse: |text| Self::parse(text).map(drop) };

            /// Reads the text; an error is a sentence that needs no context.
            pub(in crate::config) fn parse(text: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Result<$value, String> = $parse;
                parse(text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    };
}

text! {
    /// An address to listen on.
    Address(SocketAddr), "refrain-address", "an address with its port such as 127.0.0.1:8080", address
}
text! {
    /// Where an upstream is.
    Endpoint(Uri), "refrain-endpoint", "a URL such as http://127.0.0.1:8001", endpoint
}
text! {
    /// Where records are kept.
    StoreUrl(WrittenStoreUrl), "refrain-store", "memory:, embedded:PATH, redis://HOST or rediss://HOST", WrittenStoreUrl::parse
}
text! {
    /// A method.
    MethodName(Method), "refrain-method", "a method such as POST", method
}
text! {
    /// A header's name.
    Header(HeaderName), "refrain-header", "a header's name such as Idempotency-Key", header
}
text! {
    /// A set of statuses.
    Statuses(StatusPattern), "refrain-statuses", "a set of statuses such as 2xx, 500 or 503+retry-after",
    |text| text.parse().map_err(in_words)
}
text! {
    /// A place in a JSON body.
    Place(JsonPointer), "refrain-json-pointer", "a JSON pointer such as /items/0/price", |text| JsonPointer::parse(text).map_err(in_words)
}
text! {
    /// A regular expression that whole keys match.
    Pattern(KeyPattern), "refrain-pattern", "a regular expression such as [a-z0-9]{20}", pattern
}
text! {
    /// Whose TCP connections are believed.
    Network(IpNet), "refrain-network", "a network such as 10.0.0.0/8", network
}
text! {
    /// Where keys are.
    KeysUrl(Uri), "refrain-keys-url", "a URL such as https://auth.example/jwks/", keys_url
}
text! {
    /// What a token may be signed with.
    Algorithm(SignatureAlgorithm), "refrain-algorithm", "algorithms such as RS256", algorithm
}
text! {
    /// A host, as in the `Host` header but for the port.
    Host(String), "refrain-host", "a host without port such as shop.example", host
}

/// The names of upstreams, which are keys.
pub(in crate::config) const UPSTREAM_NAME: Format =
    Format { name: "refrain-upstream", expected: "a name such as `billing`", parse: parse_as::<UpstreamName> };

/// The names of secrets, which are keys.
pub(in crate::config) const SECRET_NAME: Format =
    Format { name: "refrain-secret", expected: "a name such as `visa_token`", parse: parse_as::<SecretName> };

/// The grammars of this file and those of units.
pub(in crate::config) fn formats() -> Vec<Format> {
    const OWN: [Format; 14] = [
        Address::FORMAT,
        Endpoint::FORMAT,
        UPSTREAM_NAME,
        SECRET_NAME,
        StoreUrl::FORMAT,
        MethodName::FORMAT,
        Header::FORMAT,
        Statuses::FORMAT,
        Place::FORMAT,
        Pattern::FORMAT,
        Network::FORMAT,
        Host::FORMAT,
        KeysUrl::FORMAT,
        Algorithm::FORMAT,
    ];
    [STANDARD_FORMATS, &OWN].concat()
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        Some(("", _)) => {
            format!("the IP address is missing: write 0.0.0.0{text} for every interface, 127.0.0.1{text} for this machine")
        }
        Some(("localhost", port)) => format!("a name is not an address: write 127.0.0.1:{port}"),
        _ if text.parse::<std::net::IpAddr>().is_ok() => "the port is missing".to_owned(),
        _ => format!("{} is not an IP address with a port", quoted(text)),
    })
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let uri = url(text, "an upstream is spoken to over http:// or https://")?;
    if text.contains(['?', '#']) {
        return Err("an upstream's URL has no query and no fragment: they belong to each request".to_owned());
    }
    if uri.path().split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the path has a segment `.` or `..`".to_owned());
    }
    Ok(uri)
}

fn keys_url(text: &str) -> Result<Uri, String> {
    if text.contains('#') {
        return Err("a fragment is not sent: leave it out".to_owned());
    }
    url(text, "keys are asked for over http:// or https://")
}

/// A URL of a host without credentials. What is wrong with it is not quoted: it may hold some.
fn url(text: &str, another_scheme: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("this is not a URL: {error}"))?;
    let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) else {
        return Err("a URL begins with http:// or https:// and names a host".to_owned());
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(another_scheme.to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("a URL with credentials is not supported: they would be shown and logged with it".to_owned());
    }
    if authority.host().is_empty() {
        return Err("the host is missing".to_owned());
    }
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the port is a number from 1 to 65535".to_owned());
    }
    Ok(uri)
}

/// The algorithms with a key to sign and another to verify (RFC 7518, section 3.1; RFC 8037). Those with one secret are refused: whoever
/// takes a published key for such a secret can sign (RFC 8725, section 2.1).
fn algorithm(text: &str) -> Result<SignatureAlgorithm, String> {
    use SignatureAlgorithm as Known;
    const KNOWN: [(&str, Known); 9] = [
        ("RS256", Known::RS256),
        ("RS384", Known::RS384),
        ("RS512", Known::RS512),
        ("PS256", Known::PS256),
        ("PS384", Known::PS384),
        ("PS512", Known::PS512),
        ("ES256", Known::ES256),
        ("ES384", Known::ES384),
        ("EdDSA", Known::EdDSA),
    ];
    if let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == text) {
        return Ok(*known);
    }
    let name = text.to_ascii_uppercase();
    if name == "NONE" {
        return Err("a token without a signature says nothing that anybody could not write".to_owned());
    }
    if name.starts_with("HS") {
        return Err(format!(
            "{text} signs and verifies with one shared secret: with keys that are published, whoever reads them could sign"
        ));
    }
    let names = KNOWN.map(|(name, _)| name);
    Err(match did_you_mean(text, names) {
        Some(meant) => format!("{} is not an algorithm: did you mean {meant}?", quoted(text)),
        None => format!("{} is not supported: there are {}", quoted(text), names.join(", ")),
    })
}

fn method(text: &str) -> Result<Method, String> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    let meant = did_you_mean(text, KNOWN);
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if meant.is_none_or(|meant| meant == text) && !text.contains(|c: char| c.is_ascii_lowercase()) => Ok(method),
        _ => Err(match meant {
            Some(meant) => format!("{} is not a method: did you mean {meant}?", quoted(text)),
            None => format!("{} is not a method: methods are written in capitals", quoted(text)),
        }),
    }
}

fn header(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("{} is not a header's name: letters, digits and `-`, without a colon", quoted(text)))
}

fn pattern(text: &str) -> Result<KeyPattern, String> {
    const LONGEST: usize = 1024;
    if text.len() > LONGEST {
        return Err(format!("a regular expression has at most {LONGEST} bytes"));
    }
    KeyPattern::new(text).map_err(|error| {
        let error = error.to_string();
        // The crate draws the expression and a caret first; the reason is the last line.
        let reason = error.lines().last().unwrap_or_default();
        format!("this regular expression does not compile: {}", reason.trim_start_matches("error: "))
    })
}

fn network(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() != network => Err(format!("this is one address of a network: write {}", network.trunc())),
        Ok(network) => Ok(network),
        Err(_) => Err(match text.parse::<std::net::IpAddr>() {
            Ok(address) => format!("the prefix is missing: write {}", IpNet::from(address)),
            Err(_) => format!("{} is not a network", quoted(text)),
        }),
    }
}

fn host(text: &str) -> Result<String, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| format!("{} is not a host", quoted(text)))?;
    if authority.host().len() != text.len() {
        return Err(match text.contains('@') {
            true => format!("{} is not a host", quoted(text)),
            false => format!("a host is matched without its port: write {}", authority.host()),
        });
    }
    if text.contains('*') {
        return Err("a host is matched whole, `*` means nothing here: write one route for every host".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused<T>(parsed: Result<T, String>, why: &str) {
        let reason = parsed.err().unwrap();
        assert!(reason.contains(why), "{reason}");
    }

    #[test]
    fn an_address_has_an_ip_and_a_port() {
        assert_eq!(address("[::1]:80").unwrap().port(), 80);
        refused(address(":8080"), "0.0.0.0:8080");
        refused(address("localhost:80"), "127.0.0.1:80");
        refused(address("127.0.0.1"), "port is missing");
        refused(address("shop.example:80"), "not an IP address");
    }

    #[test]
    fn an_endpoint_is_an_origin_and_perhaps_a_path() {
        for right in ["http://127.0.0.1:8001", "https://psp.example/v1/", "http://[::1]:80"] {
            assert!(endpoint(right).is_ok(), "{right}");
        }
        refused(endpoint("127.0.0.1:8001"), "http://");
        refused(endpoint("ftp://a/"), "http:// or https://");
        refused(endpoint("http://u:hunter2@a/"), "credentials");
        refused(endpoint("http://a:99999"), "65535");
        refused(endpoint("http://a:0"), "65535");
        refused(endpoint("http://a/?x"), "query");
        refused(endpoint("http://a/#x"), "fragment");
        refused(endpoint("http://a/../b"), "..");
        assert!(!endpoint("http://u:hunter2@a b/").err().unwrap().contains("hunter2"));
    }

    #[test]
    fn keys_are_at_a_url_that_may_have_a_query() {
        assert_eq!(keys_url("https://auth.example/jwks/?tenant=a").unwrap().query(), Some("tenant=a"));
        refused(keys_url("ftp://auth.example/jwks"), "http:// or https://");
        refused(keys_url("https://auth.example/jwks#keys"), "fragment");
        refused(keys_url("https://u:hunter2@auth.example/"), "credentials");
    }

    #[test]
    fn an_algorithm_with_one_secret_or_none_at_all_is_refused_with_the_reason() {
        assert_eq!(algorithm("EdDSA").unwrap(), SignatureAlgorithm::EdDSA);
        for one_secret in ["HS256", "HS384", "HS512", "hs256"] {
            refused(algorithm(one_secret), "one shared secret");
        }
        refused(algorithm("none"), "anybody could");
        refused(algorithm("None"), "anybody could");
        refused(algorithm("rs256"), "did you mean RS256?");
        refused(algorithm("ES256K"), "did you mean ES256?");
        refused(algorithm("Blowfish"), "there are RS256, ");
    }

    #[test]
    fn a_method_is_in_capitals_and_a_near_miss_is_a_mistake() {
        assert_eq!(method("PATCH").unwrap(), Method::PATCH);
        assert_eq!(method("PROPFIND").unwrap().as_str(), "PROPFIND");
        refused(method("post"), "POST?");
        refused(method("PSOT"), "POST?");
        refused(method("propfind"), "capitals");
        refused(method("A B"), "not a method");
    }

    #[test]
    fn a_network_names_its_first_address() {
        assert!(network("10.0.0.0/8").is_ok());
        refused(network("10.1.2.3/8"), "10.0.0.0/8");
        refused(network("10.1.2.3"), "10.1.2.3/32");
        refused(network("all"), "not a network");
    }

    #[test]
    fn a_host_has_no_port_and_counts_in_lower_case() {
        assert_eq!(host("Shop.Example").unwrap(), "shop.example");
        assert_eq!(host("[::1]").unwrap(), "[::1]");
        refused(host("shop.example:80"), "write shop.example");
        refused(host("*.example"), "whole");
        refused(host("a/b"), "not a host");
        refused(host("a@b"), "not a host");
    }

    #[test]
    fn a_broken_regular_expression_says_why_in_one_line() {
        refused(pattern("[a-z"), "unclosed character class");
        assert!(!pattern("[a-z").err().unwrap().contains('\n'));
        assert!(pattern("^[a-z]{20}$").is_ok());
    }

    #[test]
    fn a_header_has_no_colon() {
        assert_eq!(header("Idempotency-Key").unwrap(), "idempotency-key");
        refused(header("X-Key:"), "colon");
    }
}
