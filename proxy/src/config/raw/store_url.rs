//! `memory:`, `embedded:PATH`, `redis://…`, `rediss://…`.

use std::path::PathBuf;

use http::Uri;

use crate::config::Secret;

/// Where records are kept, as far as the text alone says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum WrittenStoreUrl {
    Memory,
    /// `None`: in the state folder.
    Embedded(Option<PathBuf>),
    Redis(Secret),
}

/// Deployments of Redis whose URLs are known and cannot be used.
const LATER: [&str; 5] = ["redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "redis+unix"];

impl WrittenStoreUrl {
    /// Reads the text. No error repeats it: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("a store's URL begins with `memory:`, `embedded:`, `redis://` or `rediss://`".to_owned());
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err("`memory:` takes nothing after the colon".to_owned()),
            "embedded" if rest.starts_with("//") => {
                Err("an embedded store is a file: write embedded:/var/lib/refrain/refrain.db".to_owned())
            }
            "embedded" if rest.contains('\0') => Err("a file's name has no NUL".to_owned()),
            "embedded" => Ok(Self::Embedded((!rest.is_empty()).then(|| rest.into()))),
            "redis" | "rediss" if !rest.starts_with("//") => {
                Err(format!("the host is missing: write {scheme}://HOST:PORT/DATABASE"))
            }
            "redis" | "rediss" => redis(text).map(|()| Self::Redis(Secret::new(text.to_owned()))),
            _ => match LATER.iter().find(|later| **later == scheme) {
                Some(later) => {
                    Err(format!("`{later}://` is not supported yet: use redis:// or rediss:// with the address of one server"))
                }
                None => {
                    Err("this is no kind of store: use `memory:`, `embedded:PATH`, `redis://HOST` or `rediss://HOST`".to_owned())
                }
            },
        }
    }
}

fn redis(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|_| {
        "this is not a URL: write redis://HOST:PORT/DATABASE, and percent-encode what is unusual in a user's name or password"
            .to_owned()
    })?;
    let authority = uri.authority().ok_or("the host is missing: write redis://HOST:PORT/DATABASE")?;
    if authority.host().is_empty() {
        return Err("the host is missing: write redis://HOST:PORT/DATABASE".to_owned());
    }
    let address = authority.as_str().rsplit('@').next().unwrap_or_default();
    if address.len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the port is a number from 1 to 65535".to_owned());
    }
    let database = uri.path().trim_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("what follows the host is the number of a database, such as redis://HOST/0".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn four_kinds_of_store_can_be_named() {
        let parse = |text| WrittenStoreUrl::parse(text).unwrap();
        assert_eq!(parse("memory:"), WrittenStoreUrl::Memory);
        assert_eq!(parse("embedded:"), WrittenStoreUrl::Embedded(None));
        assert_eq!(parse("embedded:./a.db"), WrittenStoreUrl::Embedded(Some("./a.db".into())));
        for redis in ["redis://h", "redis://h:6379/2", "rediss://:p%40w@h:1", "redis://user:pw@[::1]:6379/0?protocol=resp3"] {
            assert_eq!(parse(redis), WrittenStoreUrl::Redis(Secret::new(redis.to_owned())));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_repeating_it() {
        for (text, why) in [
            ("hunter2", "begins with"),
            ("hunter2:x", "no kind of store"),
            ("memory:x", "nothing after"),
            ("embedded://hunter2", "is a file"),
            ("redis+sentinel://:hunter2@h", "`redis+sentinel://` is not supported yet"),
            ("redis+cluster://:hunter2@h", "`redis+cluster://` is not supported yet"),
            ("redis:hunter2", "host"),
            ("redis://:hunter2@h:port", "port"),
            ("redis://:hunter2@h ", "not a URL"),
            ("redis://:hunter2@h:99999", "port"),
            ("redis://:hunter2@", "not a URL"),
            ("redis://h/hunter2", "number of a database"),
        ] {
            let reason = WrittenStoreUrl::parse(text).unwrap_err();
            assert!(reason.contains(why) && !reason.contains("hunter2"), "{text}: {reason}");
        }
    }
}
